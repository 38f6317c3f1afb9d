-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE settings IN ACCESS EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

ALTER TABLE settings
    ADD COLUMN replaces text NOT NULL DEFAULT 'free',
    ADD CONSTRAINT settings_replaces_check CHECK (replaces IN ('free', 'must_credit'));

-- An issuer begins with all of the settings that hold without one. Those that migrations 27 and 28 have added were left out.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_issuer() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO settings (issuer, version, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, ignore, replaces, change, actor, note)
        SELECT NEW.issuer, 1, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, ignore, replaces, 'those that held without an issuer', NEW.actor, NEW.note
        FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- What is left of a document that another one is to stand in for, NULL if nothing is, or if nobody can know: it isn't here, or was
-- imported without a total. It is counted as credit_problem counts: its total, and all that credits it at any depth, in its currency.
-- The document that is to replace it doesn't count, wherever it stands: what it replaces has to be credited before.
-- +goose StatementBegin
CREATE FUNCTION replace_problem(of_issuer text, of_transaction text, replaced text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    document record;
    left_of  numeric;
BEGIN
    SELECT i.invoice_number, i.currency, i.total_minor, 0::bigint AS before INTO document
        FROM invoices i WHERE i.issuer = of_issuer AND i.transaction_id = replaced;
    IF NOT FOUND THEN
        SELECT i.invoice_number, i.currency, i.total_minor, sign(i.total_minor)::bigint * coalesce(i.credited_total_minor, 0) AS before INTO document
            FROM imported_invoices i WHERE i.issuer = of_issuer AND i.transaction_id = replaced AND i.withdrawn_at IS NULL;
    END IF;
    IF document.total_minor IS NULL THEN
        RETURN NULL;
    END IF;
    WITH RECURSIVE family (id, transaction_id, currency) AS (
        SELECT i.id, i.transaction_id, i.currency FROM invoices i
            WHERE i.issuer = of_issuer AND i.credits_transaction_id = replaced AND i.transaction_id <> of_transaction
        UNION
        SELECT i.id, i.transaction_id, i.currency FROM family JOIN invoices i ON i.issuer = of_issuer AND i.credits_transaction_id = family.transaction_id
            WHERE i.transaction_id <> of_transaction
    )
    SELECT document.total_minor - document.before + coalesce(sum(i.total_minor), 0) INTO left_of FROM family JOIN invoices i USING (id)
        WHERE family.currency = document.currency AND family.transaction_id <> replaced;
    IF sign(left_of) = sign(document.total_minor) AND left_of <> 0 THEN
        RETURN jsonb_build_object('number', document.invoice_number, 'currency', document.currency, 'full', document.total_minor,
            'left', greatest(-9223372036854775808, least(9223372036854775807, left_of)));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Refuses documents that stand in for one of which something is left. They take turns with those who credit documents of the same
-- family, or cancel what credits them, by the lock that refuse_credits takes; the locks of both are taken here, in one order. Each
-- statement of a volatile function has a snapshot of its own, and so sees what was committed while it waited.
-- +goose StatementBegin
CREATE FUNCTION refuse_replacements(replacing bigint[], crediting bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off AS $$
DECLARE
    document record;
    problem  jsonb;
    wanted   bigint[];
    locked   bigint[] := '{}';
BEGIN
    LOOP
        wanted := ARRAY(
            SELECT DISTINCT hashtextextended(families.issuer || ' ' || families.transaction_id, 27) AS family FROM (
                SELECT issuer, credit_root(issuer, terms ->> 'replaces_transaction_id') AS transaction_id FROM invoices WHERE id = ANY (replacing)
                UNION ALL
                SELECT issuer, transaction_id FROM invoices WHERE id = ANY (crediting)
                UNION ALL
                SELECT issuer, credit_root(issuer, credits_transaction_id) FROM invoices WHERE id = ANY (crediting)
            ) AS families EXCEPT SELECT unnest(locked) ORDER BY 1);
        EXIT WHEN cardinality(wanted) = 0;
        PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;
        locked := locked || wanted;
    END LOOP;
    FOR document IN SELECT issuer, transaction_id, terms ->> 'replaces_transaction_id' AS replaced FROM invoices WHERE id = ANY (replacing) ORDER BY id LOOP
        problem := replace_problem(document.issuer, document.transaction_id, document.replaced);
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'transaction_id % refused: by the setting replaces, transaction_id % has to be credited in full first', document.transaction_id, document.replaced
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_replaces', DETAIL = problem::text, TABLE = 'invoices';
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- A text field of a job, NULL if the job states none, or can't be read.
-- +goose StatementBegin
CREATE FUNCTION job_field(payload text, field text) RETURNS text LANGUAGE plpgsql IMMUTABLE COST 1000 SET search_path FROM CURRENT AS $$
BEGIN
    RETURN payload::jsonb ->> field;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    rule  record;
    wrong record;
    run   record;
    crediting bigint[];
    replacing bigint[];
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unsettled is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR run IN SELECT added.issuer, min(settings_version) AS version, max(settings_version) AS newest, min(issued_at) AS earliest, max(issued_at) AS latest,
        array_agg(id) FILTER (WHERE credits_transaction_id IS NOT NULL) AS crediting
        FROM added GROUP BY added.issuer LOOP
        SELECT version, dates_earliest::timestamp AT TIME ZONE 'UTC' AS earliest, clock_timestamp() + make_interval(secs => dates_latest_seconds) AS latest,
            credit_notes = 'must_credit' AS must_credit, zero = 'refuse' AS refuse_zero,
            replaces = 'must_credit' AS credit_replaced
            INTO rule FROM settings WHERE settings.issuer = run.issuer ORDER BY version DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'invoice refused: issuer % wasn''t opened', run.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.version <> rule.version OR run.newest <> rule.version THEN
            RAISE EXCEPTION 'the settings have changed since version %', CASE WHEN run.version <> rule.version THEN run.version ELSE run.newest END
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_settings_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.earliest < rule.earliest OR run.latest > rule.latest THEN
            SELECT transaction_id INTO wrong FROM added WHERE added.issuer = run.issuer AND (issued_at < rule.earliest OR issued_at > rule.latest) LIMIT 1;
            RAISE EXCEPTION 'issued_at of transaction_id % refused: dates from % to % are allowed now', wrong.transaction_id, rule.earliest, rule.latest
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dates', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF rule.must_credit AND EXISTS (SELECT FROM added WHERE added.issuer = run.issuer AND kind = 'credit_note' AND credits_transaction_id IS NULL) THEN
            RAISE EXCEPTION 'credit note refused: by the setting credit_notes it has to name what it credits'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_must_credit', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF rule.refuse_zero AND EXISTS (
            SELECT FROM added WHERE added.issuer = run.issuer AND subtotal_minor = 0 AND tax_minor = 0
                AND NOT EXISTS (SELECT FROM invoice_lines WHERE invoice_lines.invoice_id = added.id AND net_minor <> 0)) THEN
            RAISE EXCEPTION 'document refused: by the setting zero none is made of nothing but zeros'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_not_zero', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        crediting := crediting || run.crediting;
        IF rule.credit_replaced THEN
            replacing := replacing || ARRAY(SELECT id FROM added WHERE added.issuer = run.issuer AND terms ->> 'replaces_transaction_id' IS NOT NULL);
        END IF;
    END LOOP;
    IF cardinality(replacing) > 0 THEN
        PERFORM refuse_replacements(replacing, crediting);
    END IF;
    IF crediting IS NOT NULL THEN
        PERFORM refuse_credits(crediting);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

COMMENT ON COLUMN settings.replaces IS 'free, or must_credit: a document is replaced only once it is credited in full.';
COMMENT ON FUNCTION replace_problem(text, text, text) IS 'What is left of a document that another one is to replace, in minor units. NULL if nothing is, or if nobody can know.';
COMMENT ON FUNCTION refuse_replacements(bigint[], bigint[]) IS 'Refuses documents that replace one that isn''t credited in full.';
COMMENT ON FUNCTION job_field(text, text) IS 'A text field of a job. NULL if the job states none, or can''t be read.';

-- +goose Down

LOCK TABLE invoices, settings IN ACCESS EXCLUSIVE MODE;
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM settings WHERE replaces <> 'free') THEN
        RAISE EXCEPTION 'migrating down refused: it would delete settings that were changed'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'settings';
    END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    rule  record;
    wrong record;
    run   record;
    crediting bigint[];
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unsettled is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR run IN SELECT added.issuer, min(settings_version) AS version, max(settings_version) AS newest, min(issued_at) AS earliest, max(issued_at) AS latest,
        array_agg(id) FILTER (WHERE credits_transaction_id IS NOT NULL) AS crediting
        FROM added GROUP BY added.issuer LOOP
        SELECT version, dates_earliest::timestamp AT TIME ZONE 'UTC' AS earliest, clock_timestamp() + make_interval(secs => dates_latest_seconds) AS latest,
            credit_notes = 'must_credit' AS must_credit, zero = 'refuse' AS refuse_zero
            INTO rule FROM settings WHERE settings.issuer = run.issuer ORDER BY version DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'invoice refused: issuer % wasn''t opened', run.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.version <> rule.version OR run.newest <> rule.version THEN
            RAISE EXCEPTION 'the settings have changed since version %', CASE WHEN run.version <> rule.version THEN run.version ELSE run.newest END
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_settings_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.earliest < rule.earliest OR run.latest > rule.latest THEN
            SELECT transaction_id INTO wrong FROM added WHERE added.issuer = run.issuer AND (issued_at < rule.earliest OR issued_at > rule.latest) LIMIT 1;
            RAISE EXCEPTION 'issued_at of transaction_id % refused: dates from % to % are allowed now', wrong.transaction_id, rule.earliest, rule.latest
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dates', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF rule.must_credit AND EXISTS (SELECT FROM added WHERE added.issuer = run.issuer AND kind = 'credit_note' AND credits_transaction_id IS NULL) THEN
            RAISE EXCEPTION 'credit note refused: by the setting credit_notes it has to name what it credits'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_must_credit', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF rule.refuse_zero AND EXISTS (
            SELECT FROM added WHERE added.issuer = run.issuer AND subtotal_minor = 0 AND tax_minor = 0
                AND NOT EXISTS (SELECT FROM invoice_lines WHERE invoice_lines.invoice_id = added.id AND net_minor <> 0)) THEN
            RAISE EXCEPTION 'document refused: by the setting zero none is made of nothing but zeros'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_not_zero', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        crediting := crediting || run.crediting;
    END LOOP;
    IF crediting IS NOT NULL THEN
        PERFORM refuse_credits(crediting);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_issuer() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO settings (issuer, version, strict, dates_earliest, dates_latest_seconds, change, actor, note)
        SELECT NEW.issuer, 1, strict, dates_earliest, dates_latest_seconds, 'those that held without an issuer', NEW.actor, NEW.note
        FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP FUNCTION job_field(text, text), refuse_replacements(bigint[], bigint[]), replace_problem(text, text, text);
ALTER TABLE settings DROP COLUMN replaces;
