-- +goose Up

-- In the order in which record_ends takes them: else the two might wait for each other. Whoever writes invoices takes the
-- first two the other way round, and gives up after a fraction of a second to try again.
LOCK TABLE invoice_jobs, invoices, duplicate_attempts, series IN ACCESS EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Transactions that were invoiced elsewhere, before this installation or beside it. What isn't known is NULL. Several may
-- stand on one document, so an invoice number may occur more than once. A wrong row is never changed: it is withdrawn, and
-- stays on record.
CREATE TABLE imported_invoices (
    id                   bigint GENERATED ALWAYS AS IDENTITY,
    issuer               text        NOT NULL DEFAULT '',
    transaction_id       text        NOT NULL,
    idempotency_key      text        NOT NULL,
    invoice_number       text        NOT NULL,
    currency             text,
    total_minor          bigint,
    credited_total_minor bigint,
    issued_at            timestamptz,
    imported_at          timestamptz NOT NULL DEFAULT now(),
    withdrawn_at         timestamptz,
    withdrawn_by         text,
    withdrawn_by_role    text,
    withdrawn_note       text,
    CONSTRAINT imported_invoices_pkey PRIMARY KEY (id),
    CONSTRAINT imported_invoices_issuer_check CHECK (issuer !~ '[^A-Z0-9-]' AND length(issuer) <= 32),
    CONSTRAINT imported_invoices_transaction_id_check
        CHECK (transaction_id !~ '[^A-Za-z0-9._:/@+=-]' AND length(transaction_id) >= 1 AND length(transaction_id) <= 128),
    CONSTRAINT imported_invoices_idempotency_key_check
        CHECK (idempotency_key !~ '[^A-Za-z0-9._:/@+=-]' AND length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
    CONSTRAINT imported_invoices_invoice_number_check
        CHECK (invoice_number = btrim(invoice_number) AND length(invoice_number) >= 1 AND length(invoice_number) <= 128),
    CONSTRAINT imported_invoices_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT imported_invoices_amounts_check CHECK (currency IS NOT NULL OR (total_minor IS NULL AND credited_total_minor IS NULL)),
    CONSTRAINT imported_invoices_credited_total_check CHECK (credited_total_minor >= 0),
    CONSTRAINT imported_invoices_withdrawn_check CHECK (withdrawn_at IS NULL OR coalesce(withdrawn_by, '') <> '')
);
-- No index is partial: of an empty table, the planner takes a scan of a whole partial index for as cheap as a look-up, and sessions
-- keep the plan when the table has grown. What was withdrawn has a time of its own, and what holds has none to tell it apart.
CREATE UNIQUE INDEX imported_invoices_transaction_id_key ON imported_invoices (transaction_id, issuer, coalesce(withdrawn_at, '-infinity'));
CREATE UNIQUE INDEX imported_invoices_idempotency_key_key ON imported_invoices (idempotency_key, issuer, coalesce(withdrawn_at, '-infinity'));
CREATE INDEX imported_invoices_invoice_number_idx ON imported_invoices (invoice_number, issuer);

-- +goose StatementBegin
CREATE FUNCTION guard_imports() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before imported_invoices;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD;
        before.withdrawn_at := NEW.withdrawn_at;
        before.withdrawn_by := NEW.withdrawn_by;
        before.withdrawn_by_role := NEW.withdrawn_by_role;
        before.withdrawn_note := NEW.withdrawn_note;
        IF OLD.withdrawn_at IS NULL AND NEW.withdrawn_at IS NOT NULL AND before IS NOT DISTINCT FROM NEW THEN
            NEW.withdrawn_by_role := session_user; -- the database's word for whoever does it
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: what was imported is never changed or deleted, only withdrawn', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'imported_invoices_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
CREATE TRIGGER imported_invoices_immutable BEFORE UPDATE OR DELETE ON imported_invoices FOR EACH ROW EXECUTE FUNCTION guard_imports();
CREATE TRIGGER imported_invoices_no_truncate BEFORE TRUNCATE ON imported_invoices FOR EACH STATEMENT EXECUTE FUNCTION guard_imports();

-- The numbers that series could still print, as one form for each counter, and one for each series' periods that have no counter yet:
-- a number is of that form if it begins with the literal and matches the pattern, whose group has at least width digits, and it is
-- still to be printed if that is at least next.
CREATE FUNCTION printed_forms() RETURNS TABLE (printer text, own boolean, literal text, pattern text, width integer, next numeric)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH newest AS MATERIALIZED (
        SELECT DISTINCT ON (series) *, replace(format, '{series}', series) AS named FROM series ORDER BY series, version DESC
    ), quoted AS (
        SELECT *, regexp_replace(named, '([][\\.^$*+?(){}|])', '\\\1', 'g') AS text FROM newest WHERE state <> 'closed'
    )
    SELECT series, true, prefix, '^' || regexp_replace(prefix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '([0-9]+)'
        || regexp_replace(suffix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '$', invoice_series.width, last_number + 1
    FROM invoice_series WHERE state <> 'closed' AND settings > 0
    UNION ALL
    SELECT series, true, affixes.prefix, '^' || regexp_replace(affixes.prefix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '([0-9]+)'
        || regexp_replace(affixes.suffix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '$', affixes.width, first_number
    FROM quoted, number_affixes(format, series, first_period) AS affixes
    WHERE NOT EXISTS (SELECT FROM invoice_series c WHERE c.series = quoted.series AND c.period = first_period) AND (period = 'none' OR first_period <> '')
    UNION ALL
    SELECT series, false, substring(named FROM '^[^{]*'),
        '^' || regexp_replace(replace(replace(replace(replace(text,
            '\{period\}', CASE WHEN period = 'year' AND first_month = 1 THEN '[0-9]{4}' ELSE '[0-9]{4}-[0-9]{2}' END),
            '\{year\}', '[0-9]{4}'), '\{yy\}', '[0-9]{2}'), '\{month\}', '[0-9]{2}'), '\\\{number(:0[0-9]+)?\\\}', '([0-9]+)') || '$',
        coalesce(substring(named FROM '\{number:0([0-9]+)\}')::integer, 1), 1
    FROM quoted WHERE period <> 'none'
$$;

-- Those of the numbers that a series could still print. Where a counter's form fits, it decides, and not the form of other periods.
CREATE FUNCTION still_printed(numbers text[]) RETURNS TABLE (printed text, printer text) LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH forms AS MATERIALIZED (SELECT * FROM printed_forms())
    SELECT number, f.printer FROM unnest(numbers) AS number
    JOIN forms AS f ON starts_with(number, f.literal)
    CROSS JOIN LATERAL (SELECT (regexp_match(number, f.pattern))[1]) AS matched (digits)
    WHERE digits IS NOT NULL AND length(digits) = greatest(f.width, length(digits::numeric::text)) AND digits::numeric >= f.next
        AND (own OR NOT EXISTS (SELECT FROM forms AS o WHERE o.own AND o.printer = f.printer AND number ~ o.pattern))
$$;

-- The number of an import, from the given id on, that a series could still print.
CREATE FUNCTION import_printed_by(of_series text, from_id bigint) RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH forms AS MATERIALIZED (SELECT * FROM printed_forms() WHERE printer = of_series)
    SELECT invoice_number FROM imported_invoices AS i
    JOIN forms AS f ON starts_with(invoice_number, f.literal)
    CROSS JOIN LATERAL (SELECT (regexp_match(invoice_number, f.pattern))[1]) AS matched (digits)
    WHERE i.id >= from_id AND withdrawn_at IS NULL
        AND digits IS NOT NULL AND length(digits) = greatest(f.width, length(digits::numeric::text)) AND digits::numeric >= f.next
        AND (own OR NOT EXISTS (SELECT FROM forms AS o WHERE o.own AND invoice_number ~ o.pattern))
    LIMIT 1
$$;

-- A transaction is invoiced or imported, never both. No unique constraint spans two tables, so whoever writes into one of the
-- two looks into the other under a lock that both take: shared by those who write invoices, and exclusive by an import. A
-- function that is volatile looks with a new snapshot, and so sees what was committed while it waited. In a transaction with
-- one snapshot for all its statements it wouldn't, so these are refused.
--
-- The lock is taken when the statement has written its rows: it is the last lock of its transaction, and who holds it waits for
-- nothing but its own commit. Whoever else takes it must take it last, too.
--
-- Both look with their owner's rights, so that workers of the release before, whose role may not read the new table, obey.
-- A subquery reads by the index whatever the planner thinks of the tables' sizes.
-- +goose StatementBegin
CREATE FUNCTION refuse_imported() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    claimed record;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_imported is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'invoices are written in transactions that are read committed'
            USING ERRCODE = 'invalid_transaction_state', CONSTRAINT = 'invoices_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_TABLE_SCHEMA || '.imported_invoices', 20));
    IF NOT EXISTS (SELECT FROM imported_invoices) THEN
        RETURN NULL;
    END IF;
    SELECT transaction_id, idempotency_key INTO claimed FROM added
    WHERE (SELECT id FROM imported_invoices i WHERE i.issuer = '' AND i.transaction_id = added.transaction_id AND i.withdrawn_at IS NULL) IS NOT NULL
       OR (SELECT id FROM imported_invoices i WHERE i.issuer = '' AND i.idempotency_key = added.idempotency_key AND i.withdrawn_at IS NULL) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction_id % refused: it, or its idempotency_key %, was invoiced elsewhere, as imported_invoices says',
            claimed.transaction_id, claimed.idempotency_key
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoices_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    SELECT invoice_number INTO claimed FROM added
    WHERE (SELECT id FROM imported_invoices i WHERE i.issuer = '' AND i.invoice_number = added.invoice_number AND i.withdrawn_at IS NULL LIMIT 1) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'invoice_number % refused: an invoice of elsewhere has it, as imported_invoices says', claimed.invoice_number
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoices_number_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_invoiced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    invoiced record;
BEGIN
    IF TG_RELID <> 'imported_invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_invoiced is for imported_invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'imports are written in transactions that are read committed' USING ERRCODE = 'invalid_transaction_state',
            CONSTRAINT = 'imported_invoices_not_invoiced', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_numbers', 20)); -- against series, as below
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_invoices', 20));
    SELECT printed, printer INTO invoiced FROM still_printed((SELECT array_agg(invoice_number) FROM added)) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import of invoice_number % refused: series % could still print it', invoiced.printed, invoiced.printer
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'imported_invoices_number_not_printable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF NOT EXISTS (SELECT FROM invoices) THEN
        RETURN NULL;
    END IF;
    SELECT transaction_id, idempotency_key INTO invoiced FROM added
    WHERE (SELECT id FROM invoices i WHERE i.transaction_id = added.transaction_id) IS NOT NULL
       OR (SELECT id FROM invoices i WHERE i.idempotency_key = added.idempotency_key) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import of transaction_id % refused: it, or its idempotency_key %, is invoiced here', invoiced.transaction_id, invoiced.idempotency_key
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'imported_invoices_not_invoiced', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    SELECT invoice_number INTO invoiced FROM added
    WHERE (SELECT id FROM invoices i WHERE i.invoice_number = added.invoice_number) IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import of invoice_number % refused: it is the number of an invoice here', invoiced.invoice_number
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'imported_invoices_number_not_printed', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- What was imported is a number that no series may come to print. A change that prints no other numbers than before needs no look.
-- +goose StatementBegin
CREATE FUNCTION refuse_imported_numbers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    before  series;
    newest  bigint;
    claimed text;
BEGIN
    IF TG_RELID <> 'series'::regclass THEN
        RAISE EXCEPTION 'refuse_imported_numbers is for series' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT * INTO before FROM series WHERE series = NEW.series AND version = NEW.version - 1;
    IF NEW.state = 'closed' OR (before.format, before.period, before.first_month, before.first_number, before.first_period)
        = (NEW.format, NEW.period, NEW.first_month, NEW.first_number, NEW.first_period) THEN
        RETURN NULL;
    END IF;
    -- Most is looked through before the lock, for which imports wait: then only what may have been committed since, by imports that
    -- had drawn their ids already. The lock isn't that of the writers of invoices, who would wait for it whatever their series.
    SELECT coalesce(max(id), 0) INTO newest FROM imported_invoices;
    claimed := import_printed_by(NEW.series, 0);
    IF claimed IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_numbers', 20));
        claimed := import_printed_by(NEW.series, newest - 100000);
    END IF;
    IF claimed IS NOT NULL THEN
        RAISE EXCEPTION 'it could print %, which is the number of an import: choose another format, or a later first number', claimed
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER series_not_imported AFTER INSERT ON series FOR EACH ROW EXECUTE FUNCTION refuse_imported_numbers();

REVOKE ALL ON FUNCTION refuse_imported(), refuse_invoiced(), refuse_imported_numbers() FROM PUBLIC;
CREATE TRIGGER invoices_not_imported AFTER INSERT ON invoices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_imported();
CREATE TRIGGER imported_invoices_not_invoiced AFTER INSERT ON imported_invoices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_invoiced();

-- A good end names an invoice or an import, one of the two. The checks are validated by the next migration, which lets workers
-- write meanwhile.
ALTER TABLE duplicate_attempts
    ADD COLUMN imported_id bigint,
    ALTER COLUMN invoice_id DROP NOT NULL,
    ADD CONSTRAINT duplicate_attempts_of_check CHECK ((invoice_id IS NULL) <> (imported_id IS NULL)) NOT VALID;
ALTER TABLE invoice_jobs
    ADD COLUMN imported_id bigint,
    DROP CONSTRAINT invoice_jobs_end_check,
    ADD CONSTRAINT invoice_jobs_end_check CHECK (CASE
        WHEN state IN ('accepted', 'enqueued') THEN outcome IS NULL AND invoice_id IS NULL AND imported_id IS NULL
        WHEN state = 'done' THEN outcome IS NOT NULL AND outcome IN ('created', 'duplicate') AND (invoice_id IS NULL) <> (imported_id IS NULL)
            AND (imported_id IS NULL OR outcome = 'duplicate')
        ELSE outcome IS NOT NULL AND outcome IN ('conflict', 'invalid', 'failed') AND reason IS NOT NULL AND imported_id IS NULL END) NOT VALID;

-- That an import exists is checked as for an invoice.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unknown_invoice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    missing record;
BEGIN
    -- On a table of somebody else's, "changed" could be a view that runs their code with the owner's rights.
    IF TG_RELID NOT IN ('invoice_jobs'::regclass, 'duplicate_attempts'::regclass) THEN
        RAISE EXCEPTION 'refuse_unknown_invoice is for invoice_jobs and duplicate_attempts' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_LEVEL = 'ROW' THEN
        SELECT NEW.invoice_id, NEW.imported_id INTO missing
        WHERE NEW.invoice_id IS NOT NULL AND NOT EXISTS (SELECT FROM invoices WHERE id = NEW.invoice_id)
           OR NEW.imported_id IS NOT NULL AND NOT EXISTS (SELECT FROM imported_invoices WHERE id = NEW.imported_id);
    ELSE
        SELECT invoice_id, imported_id INTO missing FROM changed
        WHERE invoice_id IS NOT NULL AND (SELECT id FROM invoices WHERE id = changed.invoice_id) IS NULL
           OR imported_id IS NOT NULL AND (SELECT id FROM imported_invoices WHERE id = changed.imported_id) IS NULL LIMIT 1;
    END IF;
    IF FOUND AND missing.imported_id IS NULL THEN
        RAISE EXCEPTION '% refused: there is no invoice with id %', TG_TABLE_NAME, missing.invoice_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '_invoice_known', COLUMN = 'invoice_id',
                TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    ELSIF FOUND THEN
        RAISE EXCEPTION '% refused: there is no import with id %', TG_TABLE_NAME, missing.imported_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '_invoice_known', COLUMN = 'imported_id',
                TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoice_jobs_new_invoice_known ON invoice_jobs;
CREATE TRIGGER invoice_jobs_new_invoice_known AFTER INSERT ON invoice_jobs
    FOR EACH ROW WHEN (NEW.invoice_id IS NOT NULL OR NEW.imported_id IS NOT NULL) EXECUTE FUNCTION refuse_unknown_invoice();
DROP TRIGGER duplicate_attempts_new_invoice_known ON duplicate_attempts;
CREATE TRIGGER duplicate_attempts_new_invoice_known AFTER UPDATE ON duplicate_attempts
    FOR EACH ROW WHEN ((NEW.invoice_id, NEW.imported_id) IS DISTINCT FROM (OLD.invoice_id, OLD.imported_id)) EXECUTE FUNCTION refuse_unknown_invoice();

-- record_counted_ends, which workers of the release before still call, under a new name, since grants don't tell two functions of
-- one name apart, and with one more argument: imported_ids has the import of
-- each duplicate of one, and NULL for each other end. An import that was withdrawn meanwhile is as an invoice that isn't there.
-- +goose StatementBegin
CREATE FUNCTION record_good_ends(
    job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], imported_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[],
    took double precision[], counting_worker text, counting_lane integer
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one's snapshot sees another end of the same job, or a dismissal, that is being
    -- recorded.
    PERFORM pg_advisory_xact_lock(job) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(job_ids) AS id ORDER BY 1) AS ends;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.*, jobs.id AS row_id, jobs.payload, made.id AS found_id, made.created_at AS made_at, imported.id AS found_import, CASE
            WHEN jobs.state = 'dismissed' AND (jobs.ours OR jobs.transaction_id IS NOT DISTINCT FROM a.transaction_id) THEN 'dismissed'
            WHEN jobs.ours AND CASE
                WHEN jobs.payload IS NULL THEN jobs.transaction_id <> a.transaction_id
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL AND imported.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, imported_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only, took)
            WITH ORDINALITY AS a (job_id, outcome, transaction_id, idempotency_key, invoice_id, imported_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, took, member)
        LEFT JOIN LATERAL (
            SELECT id, state, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id, created_at FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
        LEFT JOIN LATERAL (
            SELECT id FROM imported_invoices
            WHERE imported_invoices.id = a.imported_id AND imported_invoices.transaction_id = a.transaction_id AND a.outcome = 'duplicate'
                AND imported_invoices.invoice_number = a.invoice_number AND imported_invoices.withdrawn_at IS NULL AND a.invoice_id IS NULL
        ) AS imported ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, imported_id, reason, producer, worker, before_invoice)
        SELECT job_id, transaction_id, idempotency_key, found_id, found_import, reason, producer, worker,
            CASE WHEN statement_timestamp() - took * interval '1 second' < made_at THEN made_at - (statement_timestamp() - took * interval '1 second') END
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
            attempts = asked.attempts, updated_at = now()
        FROM asked WHERE asked.problem IS NULL
            AND invoice_jobs.id = asked.row_id AND invoice_jobs.transaction_id = asked.transaction_id AND state <> 'done'
    )
    SELECT asked.member, coalesce(asked.problem, 'ended'), CASE WHEN asked.problem = 'altered' THEN asked.payload END FROM asked
    WHERE asked.problem IS NOT NULL OR asked.outcome = 'duplicate' AND EXISTS (
        SELECT FROM duplicate_attempts d WHERE d.job_id = asked.job_id AND d.transaction_id <> asked.transaction_id);
    -- What was only found may have been committed on this server alone: see accept.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM pg_logical_emit_message(true, 'invoicer', '');
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down

LOCK TABLE invoice_jobs, invoices, duplicate_attempts, series, imported_invoices IN ACCESS EXCLUSIVE MODE; -- as above

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM imported_invoices) THEN
        RAISE EXCEPTION 'migrating down refused: it would forget which transactions were invoiced elsewhere'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'imported_invoices';
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION record_good_ends(text[], text[], text[], text[], bigint[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[],
    double precision[], text, integer);
DROP TRIGGER series_not_imported ON series;
DROP FUNCTION refuse_imported_numbers(), import_printed_by(text, bigint);
DROP TRIGGER invoices_not_imported ON invoices;
DROP TRIGGER invoice_jobs_new_invoice_known ON invoice_jobs;
DROP TRIGGER duplicate_attempts_new_invoice_known ON duplicate_attempts;
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unknown_invoice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    missing bigint;
BEGIN
    -- On a table of somebody else's, "changed" could be a view that runs their code with the owner's rights.
    IF TG_RELID NOT IN ('invoice_jobs'::regclass, 'duplicate_attempts'::regclass) THEN
        RAISE EXCEPTION 'refuse_unknown_invoice is for invoice_jobs and duplicate_attempts' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_LEVEL = 'ROW' THEN
        SELECT NEW.invoice_id INTO missing WHERE NOT EXISTS (SELECT FROM invoices WHERE id = NEW.invoice_id);
    ELSE
        SELECT invoice_id INTO missing FROM changed
        WHERE invoice_id IS NOT NULL AND (SELECT id FROM invoices WHERE id = changed.invoice_id) IS NULL LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION '% refused: there is no invoice with id %', TG_TABLE_NAME, missing
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '_invoice_known', COLUMN = 'invoice_id',
                TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
ALTER TABLE invoice_jobs
    DROP CONSTRAINT invoice_jobs_end_check,
    ADD CONSTRAINT invoice_jobs_end_check CHECK (CASE
        WHEN state IN ('accepted', 'enqueued') THEN outcome IS NULL AND invoice_id IS NULL
        WHEN state = 'done' THEN outcome IS NOT NULL AND outcome IN ('created', 'duplicate') AND invoice_id IS NOT NULL
        ELSE outcome IS NOT NULL AND outcome IN ('conflict', 'invalid', 'failed') AND reason IS NOT NULL END),
    DROP COLUMN imported_id;
ALTER TABLE duplicate_attempts DROP CONSTRAINT duplicate_attempts_of_check, DROP COLUMN imported_id, ALTER COLUMN invoice_id SET NOT NULL;
CREATE TRIGGER invoice_jobs_new_invoice_known AFTER INSERT ON invoice_jobs
    FOR EACH ROW WHEN (NEW.invoice_id IS NOT NULL) EXECUTE FUNCTION refuse_unknown_invoice();
CREATE TRIGGER duplicate_attempts_new_invoice_known AFTER UPDATE ON duplicate_attempts
    FOR EACH ROW WHEN (NEW.invoice_id <> OLD.invoice_id) EXECUTE FUNCTION refuse_unknown_invoice();
DROP TABLE imported_invoices;
DROP FUNCTION guard_imports(), refuse_imported(), refuse_invoiced(), still_printed(text[]), printed_forms();
