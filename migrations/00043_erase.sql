-- +goose Up

-- Functions keep this schema. Those that run with their owner's rights find nothing in their caller's temporary one, which is searched
-- first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- In the order in which record_ends_with_differences and those who write invoices take them.
LOCK TABLE invoices, invoice_links, duplicate_attempts IN ACCESS EXCLUSIVE MODE;

-- Who erased, when, and why. What says of whom the invoices were is gone with the rest: a customer's id isn't kept.
CREATE TABLE erasures (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    selection text        NOT NULL,
    issuer    text,
    before    timestamptz,
    reason    text        NOT NULL,
    actor     text        NOT NULL,
    role      text        NOT NULL DEFAULT session_user,
    begun_at  timestamptz NOT NULL DEFAULT now(),
    ended_at  timestamptz,
    invoices  bigint      NOT NULL DEFAULT 0,
    held      bigint      NOT NULL DEFAULT 0,
    payloads  bigint      NOT NULL DEFAULT 0,
    CONSTRAINT erasures_pkey PRIMARY KEY (id),
    CONSTRAINT erasures_selection_check CHECK (selection = 'customer' AND before IS NULL OR selection = 'age' AND before IS NOT NULL),
    CONSTRAINT erasures_reason_check CHECK (btrim(reason) <> ''),
    CONSTRAINT erasures_actor_check CHECK (actor <> '')
);

-- What must not be erased: all of an issuer, or a transaction or customer of one issuer, or of all if it is NULL.
CREATE TABLE erasure_holds (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    issuer         text,
    scope          text        NOT NULL,
    transaction_id text,
    customer_id    text,
    reason         text        NOT NULL,
    actor          text        NOT NULL,
    role           text        NOT NULL DEFAULT session_user,
    held_at        timestamptz NOT NULL DEFAULT now(),
    released_at    timestamptz,
    released_by    text,
    released_by_role text,
    released_reason  text,
    CONSTRAINT erasure_holds_pkey PRIMARY KEY (id),
    CONSTRAINT erasure_holds_scope_check CHECK (CASE scope WHEN 'issuer' THEN issuer IS NOT NULL AND num_nonnulls(transaction_id, customer_id) = 0
        WHEN 'transaction' THEN transaction_id IS NOT NULL AND customer_id IS NULL
        WHEN 'customer' THEN transaction_id IS NULL AND (customer_id IS NOT NULL) = (released_at IS NULL) ELSE false END),
    CONSTRAINT erasure_holds_reason_check CHECK (btrim(reason) <> ''),
    CONSTRAINT erasure_holds_actor_check CHECK (actor <> ''),
    CONSTRAINT erasure_holds_released_check CHECK ((released_at IS NULL) = (coalesce(released_by, '') = ''))
);

ALTER TABLE invoices ADD COLUMN erasure_id bigint;
ALTER TABLE invoice_links ALTER COLUMN salt DROP NOT NULL;
ALTER TABLE duplicate_attempts ADD COLUMN erased boolean;

-- The lock that whoever ends jobs shares, and erase_invoices has alone.
-- +goose StatementBegin
CREATE FUNCTION erasing_lock() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS 'SELECT hashtextextended(''invoicer erasing'', 43)';
-- +goose StatementEnd

-- What stands in the place of an erased invoice's fingerprint. It has the form of one, and no content has it.
-- +goose StatementBegin
CREATE FUNCTION erased_fingerprint() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS 'SELECT ''v0:'' || repeat(''0'', 64)';
-- +goose StatementEnd

-- Whether the trigger that asks was fired by erase_invoices. Postgres tells it by the stack of calls, whose last line is the outermost
-- one: no setting of a session, and no statement of anybody's, makes it say so. Another schema's function of that name has its schema
-- before it, since this one is the first in the search path.
-- +goose StatementBegin
CREATE FUNCTION is_erasing() RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    RETURN reverse(split_part(reverse(stack), chr(10), 1)) ~ '^[^"]*[^A-Za-z0-9_.$"]erase_invoices\(bigint,text,text,timestamp with time zone,bigint,integer\)[^"]*$';
END $$;
-- +goose StatementEnd

-- It refuses every change, but one: erase_invoices names the erasure, and this takes away whatever a person could be told by. All else
-- stays as it was, whatever the statement says.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    invoice invoices;
    line    invoice_lines;
BEGIN
    IF TG_OP = 'UPDATE' AND is_erasing() THEN
        IF TG_RELID = 'invoices'::regclass THEN
            invoice := OLD;
            invoice.erasure_id := coalesce(OLD.erasure_id, NEW.erasure_id);
            invoice.fingerprint := erased_fingerprint();
            invoice.content_hash := NULL;
            invoice.salt := NULL;
            invoice.customer_id := NULL;
            invoice.customer_name := NULL;
            invoice.country := NULL;
            invoice.parties := NULL;
            invoice.metadata := '{}';
            RETURN invoice;
        ELSIF TG_RELID = 'invoice_lines'::regclass THEN
            line := OLD;
            line.sku := NULL;
            line.description := NULL;
            line.texts := NULL;
            RETURN line;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: a stored invoice is immutable; issue a credit note instead', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_links() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    was invoice_links;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM invoices WHERE id = NEW.invoice_id AND chain IS NULL) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'INSERT into % refused: the invoice has its link, or isn''t there', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_links_linked', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := OLD;
        was.salt := NULL;
        IF NEW IS NOT DISTINCT FROM was AND is_erasing() THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: a link is immutable, as its invoice is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_links_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- An invoice is whole when it is written.
-- +goose StatementBegin
CREATE FUNCTION refuse_erased() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'INSERT into % refused: an invoice is whole when it is written', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_whole', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_erased() FROM PUBLIC;
CREATE TRIGGER invoices_whole BEFORE INSERT ON invoices FOR EACH ROW WHEN (NEW.erasure_id IS NOT NULL) EXECUTE FUNCTION refuse_erased();

-- +goose StatementBegin
CREATE FUNCTION guard_erasures() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    was erasures;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        was := OLD;
        was.ended_at := NEW.ended_at;
        was.invoices := NEW.invoices;
        was.held := NEW.held;
        was.payloads := NEW.payloads;
        IF OLD.ended_at IS NULL AND NEW IS NOT DISTINCT FROM was THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: who has erased, and why, stays as it is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'erasures_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION guard_erasures() FROM PUBLIC;
CREATE TRIGGER erasures_immutable BEFORE UPDATE OR DELETE ON erasures FOR EACH ROW EXECUTE FUNCTION guard_erasures();
CREATE TRIGGER erasures_no_truncate BEFORE TRUNCATE ON erasures FOR EACH STATEMENT EXECUTE FUNCTION guard_erasures();

-- +goose StatementBegin
CREATE FUNCTION guard_holds() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    was erasure_holds;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.role := session_user; -- the database's word for whoever does it
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := OLD;
        was.released_at := NEW.released_at;
        was.released_by := NEW.released_by;
        was.released_by_role := NEW.released_by_role;
        was.released_reason := NEW.released_reason;
        IF OLD.released_at IS NULL AND NEW.released_at IS NOT NULL AND NEW IS NOT DISTINCT FROM was THEN
            NEW.released_by_role := session_user;
            NEW.customer_id := NULL; -- nothing needs it any more
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: a hold is only released', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'erasure_holds_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION guard_holds() FROM PUBLIC;
CREATE TRIGGER erasure_holds_immutable BEFORE INSERT OR UPDATE OR DELETE ON erasure_holds FOR EACH ROW EXECUTE FUNCTION guard_holds();
CREATE TRIGGER erasure_holds_no_truncate BEFORE TRUNCATE ON erasure_holds FOR EACH STATEMENT EXECUTE FUNCTION guard_holds();

-- +goose StatementBegin
CREATE FUNCTION is_held(of_issuer text, of_transaction text, of_customer text) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT EXISTS (SELECT FROM erasure_holds h WHERE h.released_at IS NULL AND (h.issuer IS NULL OR h.issuer = of_issuer)
        AND (h.scope = 'issuer' OR h.transaction_id = of_transaction OR h.customer_id = of_customer))
$$;
-- +goose StatementEnd

-- Begins an erasure: of one customer, or of all invoices from before a time; of an issuer, or of all if it is NULL.
-- +goose StatementBegin
CREATE FUNCTION begin_erasure(selection text, of_issuer text, before timestamptz, reason text, actor text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO erasures (selection, issuer, before, reason, actor)
    VALUES (begin_erasure.selection, of_issuer, begin_erasure.before, begin_erasure.reason, begin_erasure.actor) RETURNING id INTO made;
    RETURN made;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION begin_erasure(text, text, timestamptz, text, text) FROM PUBLIC;

-- Ends an erasure: all that it selects is erased, and Redis has forgotten it.
-- +goose StatementBegin
CREATE FUNCTION end_erasure(erasure bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE erasures SET ended_at = clock_timestamp() WHERE id = erasure AND ended_at IS NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION end_erasure(bigint) FROM PUBLIC;

-- Erases the next invoices that an erasure selects, most at once, beginning after an id. Call it in a transaction of its own, with what it
-- returns as upto, until it is complete; a call that is broken off has erased nothing. Of erasure NULL it only counts. An invoice is as
-- old as the later of its own date and of when it was stored.
--
-- What it returns beside counts is what Redis may still have: transactions as [issuer, transaction_id], and tasks as
-- [queue, job_id, dispatch], with a queue of null where the ledger knows none.
-- +goose StatementBegin
CREATE FUNCTION erase_invoices(erasure bigint, of_issuer text, customer text, before timestamptz, after bigint, most integer)
RETURNS TABLE (upto bigint, complete boolean, erased bigint, held bigint, payloads bigint, transactions jsonb, tasks jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    span   CONSTANT bigint := 50000; -- of ids that one call reads at most
    newest bigint;
    page   bigint[];
    ids    bigint[];
BEGIN
    IF (customer IS NULL) = (before IS NULL) OR most < 1 THEN
        RAISE EXCEPTION 'erase_invoices selects by a customer or by a time, and at least one invoice at a time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF erasure IS NOT NULL THEN
        PERFORM FROM erasures e WHERE e.id = erasure AND e.ended_at IS NULL AND e.issuer IS NOT DISTINCT FROM of_issuer
            AND e.before IS NOT DISTINCT FROM erase_invoices.before FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no erasure % that selects these', erasure USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END IF;
    SELECT coalesce(max(id), 0) INTO newest FROM invoices;
    upto := least(after + span, newest);
    SELECT array_agg(id ORDER BY id), array_agg(id ORDER BY id) FILTER (WHERE NOT kept) INTO page, ids FROM (
        SELECT i.id, is_held(i.issuer, i.transaction_id, i.customer_id) AS kept FROM invoices i
        WHERE i.id > after AND i.id <= upto AND i.erasure_id IS NULL AND (of_issuer IS NULL OR i.issuer = of_issuer)
            AND (customer IS NULL OR i.customer_id = customer)
            AND (erase_invoices.before IS NULL OR greatest(i.issued_at, i.document_date::timestamptz, i.created_at) < erase_invoices.before)
        ORDER BY i.id LIMIT most
    ) AS selected;
    IF cardinality(page) = most THEN
        upto := page[most];
    END IF;
    complete := upto >= newest;
    erased := coalesce(cardinality(ids), 0);
    held := coalesce(cardinality(page), 0) - erased;
    payloads := 0;
    transactions := '[]';
    tasks := '[]';
    IF erasure IS NULL OR page IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    -- Another erasure may be at the same invoices: those are its.
    WITH cleared AS (
        UPDATE invoices SET erasure_id = erasure WHERE id = ANY (ids) AND erasure_id IS NULL RETURNING id, issuer, transaction_id
    ) SELECT coalesce(array_agg(id ORDER BY id), '{}'), count(*), coalesce(jsonb_agg(jsonb_build_array(issuer, transaction_id)), '[]')
    INTO ids, erased, transactions FROM cleared;
    UPDATE invoice_lines SET sku = NULL WHERE invoice_id = ANY (ids) AND num_nonnulls(sku, description, texts) > 0;
    UPDATE invoice_links SET salt = NULL WHERE invoice_id = ANY (ids);

    -- Whoever ends a job from now on waits, and then sees what was erased. Who has ended one before is seen here.
    PERFORM pg_advisory_xact_lock(erasing_lock());
    WITH left_behind AS MATERIALIZED (
        SELECT j.id FROM invoice_jobs j JOIN jsonb_array_elements(transactions) AS t ON j.transaction_id = t ->> 1 AND j.issuer = t ->> 0
        WHERE j.state IN ('done', 'failed', 'dismissed') AND num_nonnulls(j.payload, j.payload_raw) > 0 ORDER BY j.id FOR UPDATE OF j
    ), cleared AS (
        UPDATE invoice_jobs SET payload = NULL, payload_raw = NULL WHERE id IN (SELECT id FROM left_behind) RETURNING 1
    ) SELECT count(*) INTO payloads FROM cleared;
    SELECT coalesce(jsonb_agg(DISTINCT task), '[]') INTO tasks FROM (
        SELECT jsonb_build_array(j.queue, j.job_id, j.dispatch) AS task
        FROM invoice_jobs j JOIN jsonb_array_elements(transactions) AS t ON j.transaction_id = t ->> 1 AND j.issuer = t ->> 0
        UNION ALL
        SELECT jsonb_build_array(NULL, d.job_id, 0)
        FROM duplicate_attempts d JOIN jsonb_array_elements(transactions) AS t ON d.transaction_id = t ->> 1 AND d.issuer = t ->> 0
        UNION ALL
        SELECT jsonb_build_array(NULL, i.job_id, 0) FROM invoices i WHERE i.id = ANY (ids)
    ) AS known;
    UPDATE erasures e SET invoices = e.invoices + erased, held = e.held + erase_invoices.held, payloads = e.payloads + erase_invoices.payloads WHERE e.id = erasure;
    RETURN NEXT;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION erase_invoices(bigint, text, text, timestamptz, bigint, integer) FROM PUBLIC;

-- Clears the payloads of jobs of a customer that have failed, or were dismissed, most at once: their transactions may have no invoice.
-- Otherwise it is as erase_invoices.
-- +goose StatementBegin
CREATE FUNCTION erase_payloads(erasure bigint, of_issuer text, customer text, after bigint, most integer)
RETURNS TABLE (upto bigint, complete boolean, held bigint, payloads bigint, tasks jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    page bigint[];
    ids  bigint[];
BEGIN
    IF erasure IS NOT NULL AND NOT EXISTS (SELECT FROM erasures e WHERE e.id = erasure AND e.ended_at IS NULL AND e.selection = 'customer' AND e.issuer IS NOT DISTINCT FROM of_issuer) THEN
        RAISE EXCEPTION 'there is no erasure % that selects these', erasure USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT array_agg(id ORDER BY id), array_agg(id ORDER BY id) FILTER (WHERE NOT kept) INTO page, ids FROM (
        SELECT j.id, is_held(j.issuer, j.transaction_id, customer) AS kept FROM invoice_jobs j
        WHERE j.id > after AND j.state IN ('failed', 'dismissed') AND j.payload IS NOT NULL AND (of_issuer IS NULL OR j.issuer = of_issuer)
            AND job_field(j.payload, 'customer_id') = customer
        ORDER BY j.id LIMIT most FOR UPDATE OF j
    ) AS selected;
    upto := coalesce(page[cardinality(page)], after);
    complete := coalesce(cardinality(page), 0) < most;
    payloads := coalesce(cardinality(ids), 0);
    held := coalesce(cardinality(page), 0) - payloads;
    tasks := '[]';
    IF erasure IS NOT NULL AND ids IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(j.queue, j.job_id, j.dispatch)) INTO tasks FROM invoice_jobs j WHERE j.id = ANY (ids);
        UPDATE invoice_jobs SET payload = NULL, payload_raw = NULL WHERE id = ANY (ids);
        UPDATE erasures e SET payloads = e.payloads + erase_payloads.payloads WHERE e.id = erasure;
    END IF;
    RETURN NEXT;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION erase_payloads(bigint, text, text, bigint, integer) FROM PUBLIC;

-- As before, but the end of a job whose transaction was erased takes the job's payload with it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_ends_with_differences(
    issuers text[], job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], imported_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[],
    took double precision[], differing text[], counting_worker text, counting_lane integer
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one's snapshot sees another end of the same job, or a dismissal, that is being
    -- recorded.
    PERFORM pg_advisory_xact_lock(job) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(job_ids) AS id ORDER BY 1) AS ends;
    -- The next statement sees whether a transaction was erased, or erase_invoices sees what it leaves behind.
    PERFORM pg_advisory_xact_lock_shared(erasing_lock());
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.*, jobs.id AS row_id, jobs.payload, made.id AS found_id, made.created_at AS made_at, made.erasure_id IS NOT NULL AS erased, imported.id AS found_import, CASE
            WHEN jobs.state = 'dismissed' AND (jobs.ours OR jobs.transaction_id IS NOT DISTINCT FROM a.transaction_id) THEN 'dismissed'
            WHEN jobs.ours AND CASE
                WHEN jobs.payload IS NULL THEN (jobs.issuer, jobs.transaction_id) <> (a.issuer, a.transaction_id)
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL AND imported.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(issuers, job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, imported_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only, took, differing)
            WITH ORDINALITY AS a (issuer, job_id, outcome, transaction_id, idempotency_key, invoice_id, imported_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, took, differs, member)
        LEFT JOIN LATERAL (
            SELECT id, state, issuer, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id, created_at, erasure_id FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.issuer = a.issuer AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
        LEFT JOIN LATERAL (
            SELECT id FROM imported_invoices
            WHERE imported_invoices.id = a.imported_id AND imported_invoices.issuer = a.issuer AND imported_invoices.transaction_id = a.transaction_id AND a.outcome = 'duplicate'
                AND imported_invoices.invoice_number = a.invoice_number AND imported_invoices.withdrawn_at IS NULL AND a.invoice_id IS NULL
        ) AS imported ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, issuer, transaction_id, idempotency_key, invoice_id, imported_id, reason, producer, worker, before_invoice, differs, erased)
        SELECT job_id, issuer, transaction_id, idempotency_key, found_id, found_import, reason, producer, worker,
            CASE WHEN statement_timestamp() - took * interval '1 second' < made_at THEN made_at - (statement_timestamp() - took * interval '1 second') END,
            string_to_array(differs, chr(10)), nullif(erased, false)
        FROM asked WHERE problem IS NULL AND outcome = 'duplicate' ORDER BY job_id
        ON CONFLICT (job_id) DO NOTHING
        RETURNING coalesce(producer, '') AS producer, reason
    ), counted AS (
        INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates, lost_races)
        SELECT to_timestamp(floor(extract(epoch FROM now()) / 300) * 300), recorded.producer, counting_worker, counting_lane,
            count(*), count(*), count(*) FILTER (WHERE recorded.reason = 'lost_race')
        FROM recorded GROUP BY recorded.producer
        ON CONFLICT ON CONSTRAINT producer_counts_pkey DO UPDATE SET ended = producer_counts.ended + excluded.ended,
            duplicates = producer_counts.duplicates + excluded.duplicates, lost_races = producer_counts.lost_races + excluded.lost_races
    ), ledger AS (
        UPDATE invoice_jobs SET state = 'done', outcome = asked.outcome, reason = asked.reason, invoice_id = asked.found_id, imported_id = asked.found_import,
            attempts = asked.attempts, updated_at = now(),
            payload = CASE WHEN NOT asked.erased THEN invoice_jobs.payload END, payload_raw = CASE WHEN NOT asked.erased THEN invoice_jobs.payload_raw END
        FROM asked WHERE asked.problem IS NULL
            AND invoice_jobs.id = asked.row_id AND invoice_jobs.issuer = asked.issuer AND invoice_jobs.transaction_id = asked.transaction_id AND state <> 'done'
    )
    SELECT asked.member, coalesce(asked.problem, 'ended'), CASE WHEN asked.problem = 'altered' THEN asked.payload END FROM asked
    WHERE asked.problem IS NOT NULL OR asked.outcome = 'duplicate' AND EXISTS (
        SELECT FROM duplicate_attempts d WHERE d.job_id = asked.job_id AND (d.issuer, d.transaction_id) <> (asked.issuer, asked.transaction_id));
    -- What was only found may have been committed on this server alone: see accept.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM pg_logical_emit_message(true, 'invoicer', '');
    END IF;
END $$;
-- +goose StatementEnd

COMMENT ON TABLE erasures IS 'Who has erased personal data of invoices, when, and why. The numbers, amounts and links of those invoices stay.';
COMMENT ON COLUMN erasures.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN erasures.selection IS 'customer: what was known of one customer, whose id isn''t kept; age: what was older than before.';
COMMENT ON COLUMN erasures.issuer IS 'The issuer whose invoices were erased; NULL for those of all.';
COMMENT ON COLUMN erasures.before IS 'By age: invoices from before this time were erased.';
COMMENT ON COLUMN erasures.reason IS 'Why, in the words of whoever did it.';
COMMENT ON COLUMN erasures.actor IS 'Who did it, as they call themselves.';
COMMENT ON COLUMN erasures.role IS 'The database role of whoever did it.';
COMMENT ON COLUMN erasures.begun_at IS 'When it began.';
COMMENT ON COLUMN erasures.ended_at IS 'When all was erased, in Redis too. NULL: it was broken off, or is under way.';
COMMENT ON COLUMN erasures.invoices IS 'How many invoices it has erased.';
COMMENT ON COLUMN erasures.held IS 'How many it has left alone, because a hold exempts them.';
COMMENT ON COLUMN erasures.payloads IS 'How many payloads of jobs it has cleared.';
COMMENT ON TABLE erasure_holds IS 'What must not be erased, such as what a court has asked for.';
COMMENT ON COLUMN erasure_holds.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN erasure_holds.issuer IS 'Of this issuer, '''' for the one without a name. NULL: of every one.';
COMMENT ON COLUMN erasure_holds.scope IS 'What is held: issuer (all that is the issuer''s), transaction or customer.';
COMMENT ON COLUMN erasure_holds.transaction_id IS 'The transaction that is held.';
COMMENT ON COLUMN erasure_holds.customer_id IS 'The customer who is held. It goes when the hold is released.';
COMMENT ON COLUMN erasure_holds.reason IS 'Why, in the words of whoever holds it.';
COMMENT ON COLUMN erasure_holds.actor IS 'Who holds it, as they call themselves.';
COMMENT ON COLUMN erasure_holds.role IS 'The database role of whoever holds it.';
COMMENT ON COLUMN erasure_holds.held_at IS 'Since when.';
COMMENT ON COLUMN erasure_holds.released_at IS 'When it was released. NULL: it holds.';
COMMENT ON COLUMN erasure_holds.released_by IS 'Who released it, as they call themselves.';
COMMENT ON COLUMN erasure_holds.released_by_role IS 'The database role of whoever released it.';
COMMENT ON COLUMN erasure_holds.released_reason IS 'Why it was released.';
COMMENT ON COLUMN invoices.erasure_id IS 'The erasure by which its personal data went; NULL while it has them.';
COMMENT ON COLUMN duplicate_attempts.erased IS 'Whether the invoice was erased by then, so that the content couldn''t be compared. NULL: no.';
COMMENT ON FUNCTION erasing_lock() IS 'The advisory lock that whoever ends jobs shares, and erase_invoices has alone.';
COMMENT ON FUNCTION erased_fingerprint() IS 'What stands in the place of an erased invoice''s fingerprint.';
COMMENT ON FUNCTION is_erasing() IS 'Whether erase_invoices is what has fired the trigger that asks.';
COMMENT ON FUNCTION refuse_erased() IS 'Trigger: an invoice is whole when it is written.';
COMMENT ON FUNCTION guard_erasures() IS 'Trigger: who has erased, and why, stays as it is.';
COMMENT ON FUNCTION guard_holds() IS 'Trigger: a hold is only released.';
COMMENT ON FUNCTION is_held(text, text, text) IS 'Whether a hold exempts the issuer, the transaction or the customer.';
COMMENT ON FUNCTION begin_erasure(text, text, timestamptz, text, text) IS 'Begins an erasure, and returns its id. The operator may call it.';
COMMENT ON FUNCTION end_erasure(bigint) IS 'Ends an erasure.';
COMMENT ON FUNCTION erase_invoices(bigint, text, text, timestamptz, bigint, integer) IS 'Erases the personal data of the next invoices that an erasure selects.';
COMMENT ON FUNCTION erase_payloads(bigint, text, text, bigint, integer) IS 'Clears the payloads of the next failed jobs of a customer.';
COMMENT ON FUNCTION refuse_change() IS 'Trigger: what is invoiced is never changed or deleted. Only erase_invoices takes personal data away.';

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
LOCK TABLE invoices, invoice_links, duplicate_attempts IN ACCESS EXCLUSIVE MODE; -- as above
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM erasures) OR EXISTS (SELECT FROM erasure_holds WHERE released_at IS NULL) THEN
        RAISE EXCEPTION 'migrating down refused: the release before takes erased invoices for broken ones, and knows no holds'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'erasures';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoices_whole ON invoices;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: a stored invoice is immutable; issue a credit note instead', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_links() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM invoices WHERE id = NEW.invoice_id AND chain IS NULL) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'INSERT into % refused: the invoice has its link, or isn''t there', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_links_linked', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RAISE EXCEPTION '% on % refused: a link is immutable, as its invoice is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_links_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
-- record_ends_with_differences, without what was added to it.
-- +goose StatementBegin
DO $down$
DECLARE
    definition text := pg_get_functiondef('record_ends_with_differences'::regproc);
    part       text[];
BEGIN
    FOREACH part SLICE 1 IN ARRAY ARRAY[
        ARRAY[$$
    -- The next statement sees whether a transaction was erased, or erase_invoices sees what it leaves behind.
    PERFORM pg_advisory_xact_lock_shared(erasing_lock());
$$, $$
$$],
        ARRAY[$$ made.erasure_id IS NOT NULL AS erased,$$, $$$$],
        ARRAY[$$SELECT id, created_at, erasure_id FROM$$, $$SELECT id, created_at FROM$$],
        ARRAY[$$, differs, erased)$$, $$, differs)$$],
        ARRAY[$$, nullif(erased, false)$$, $$$$],
        ARRAY[$$,
            payload = CASE WHEN NOT asked.erased THEN invoice_jobs.payload END, payload_raw = CASE WHEN NOT asked.erased THEN invoice_jobs.payload_raw END
$$, $$
$$]] LOOP
        definition := replace(definition, part[1], part[2]);
    END LOOP;
    EXECUTE definition;
END $down$;
-- +goose StatementEnd
COMMENT ON FUNCTION refuse_change() IS 'Trigger: what is invoiced is never changed or deleted.';
DROP FUNCTION begin_erasure(text, text, timestamptz, text, text), end_erasure(bigint), erase_invoices(bigint, text, text, timestamptz, bigint, integer),
    erase_payloads(bigint, text, text, bigint, integer), is_held(text, text, text), is_erasing(), erasing_lock(), erased_fingerprint(), refuse_erased();
DROP TABLE erasures, erasure_holds;
DROP FUNCTION guard_erasures(), guard_holds();
ALTER TABLE invoices DROP COLUMN erasure_id;
ALTER TABLE invoice_links ALTER COLUMN salt SET NOT NULL;
ALTER TABLE duplicate_attempts DROP COLUMN erased;
