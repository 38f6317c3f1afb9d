-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoice_series, invoices IN ACCESS EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Whatever decides whether and how a job becomes an invoice: each change is a row, and the highest version holds.
CREATE TABLE settings (
    issuer               text        NOT NULL DEFAULT '',
    version              integer     NOT NULL,
    strict               boolean     NOT NULL DEFAULT false,
    dates_earliest       date        NOT NULL DEFAULT '1970-01-01',
    dates_latest_seconds bigint      NOT NULL DEFAULT 86400,
    change               text        NOT NULL,
    changed_at           timestamptz NOT NULL DEFAULT now(),
    actor                text        NOT NULL,
    role                 text        NOT NULL DEFAULT session_user,
    note                 text,
    CONSTRAINT settings_pkey PRIMARY KEY (issuer, version),
    CONSTRAINT settings_issuer_check CHECK (issuer !~ '[^A-Z0-9-]' AND length(issuer) <= 32),
    CONSTRAINT settings_dates_check CHECK (dates_earliest BETWEEN '0001-01-01' AND '9999-12-31' AND dates_latest_seconds BETWEEN 0 AND 3153600000),
    CONSTRAINT settings_change_check CHECK (octet_length(change) <= 2000 AND octet_length(actor) <= 500 AND octet_length(note) <= 4000)
);

-- The lock is the one that writers of invoices take when they have written their rows, and it is the last one here, too: what
-- they check against holds until they have committed.
-- +goose StatementBegin
CREATE FUNCTION guard_standing_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    newest integer;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '% on settings refused: what held when is kept; a change is a new version', TG_OP
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'settings_append_only', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_invoices', 20));
    SELECT max(version) INTO newest FROM settings WHERE issuer = NEW.issuer;
    IF NEW.version IS DISTINCT FROM coalesce(newest, 0) + 1 THEN
        RAISE EXCEPTION 'version % of the settings refused: the next one is %', NEW.version, coalesce(newest, 0) + 1
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'settings_pkey', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    NEW.changed_at := now();
    NEW.role := session_user;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER settings_guard BEFORE INSERT OR UPDATE OR DELETE ON settings FOR EACH ROW EXECUTE FUNCTION guard_standing_settings();
CREATE TRIGGER settings_no_truncate BEFORE TRUNCATE ON settings FOR EACH STATEMENT EXECUTE FUNCTION guard_standing_settings();

INSERT INTO settings (version, change, actor) VALUES (1, 'the defaults', 'migration');

-- Under which version of the settings an invoice was made; NULL if by a worker that knew none.
ALTER TABLE invoices ADD COLUMN settings_version integer;

-- What settings forbid is refused, whatever the worker knows of them. It looks with its owner's rights, so that workers of the
-- release before, whose role may not read the new table, obey. By its name it runs after invoices_not_imported, which takes the
-- lock; each statement of a volatile function has a snapshot of its own.
-- +goose StatementBegin
CREATE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    rule  record;
    wrong record;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unsettled is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT version, dates_earliest::timestamp AT TIME ZONE 'UTC' AS earliest, clock_timestamp() + make_interval(secs => dates_latest_seconds) AS latest
        INTO rule FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1;
    SELECT transaction_id, issued_at, settings_version INTO wrong FROM added
        WHERE settings_version <> rule.version OR issued_at < rule.earliest OR issued_at > rule.latest LIMIT 1;
    IF wrong.settings_version <> rule.version THEN
        RAISE EXCEPTION 'the settings have changed since version %', wrong.settings_version
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_settings_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    ELSIF wrong.transaction_id IS NOT NULL THEN
        RAISE EXCEPTION 'issued_at of transaction_id % refused: dates from % to % are allowed now', wrong.transaction_id, rule.earliest, rule.latest
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dates', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_unsettled() FROM PUBLIC;
CREATE TRIGGER invoices_settled AFTER INSERT ON invoices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_unsettled();

-- Where only opened series are allowed, none is made by its first use: neither settings from a configuration, nor a counter without
-- settings, which is how the release before makes one.
-- +goose StatementBegin
CREATE FUNCTION refuse_unopened() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID NOT IN ('series'::regclass, 'invoice_series'::regclass) THEN
        RAISE EXCEPTION 'refuse_unopened is for series and invoice_series' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (SELECT strict FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1)
        AND NOT EXISTS (SELECT FROM series WHERE series.series = NEW.series) AND NOT EXISTS (SELECT FROM invoice_series c WHERE c.series = NEW.series) THEN
        RAISE EXCEPTION 'series % refused: it wasn''t opened, and the setting strict allows no other', NEW.series
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_opened', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_unopened() FROM PUBLIC;
CREATE TRIGGER series_opened BEFORE INSERT ON series
    FOR EACH ROW WHEN (NEW.origin = 'configuration') EXECUTE FUNCTION refuse_unopened();
CREATE TRIGGER invoice_series_opened BEFORE INSERT ON invoice_series FOR EACH ROW EXECUTE FUNCTION refuse_unopened();

-- +goose Down

LOCK TABLE invoice_series, invoices IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM settings WHERE version > 1) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete settings that were changed'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'settings';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoice_series_opened ON invoice_series;
DROP TRIGGER series_opened ON series;
DROP TRIGGER invoices_settled ON invoices;
DROP FUNCTION refuse_unopened(), refuse_unsettled();
ALTER TABLE invoices DROP COLUMN settings_version;
DROP TABLE settings;
DROP FUNCTION guard_standing_settings();
