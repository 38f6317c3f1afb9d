-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other. Whoever writes invoices begins with a counter.
LOCK TABLE invoice_series IN EXCLUSIVE MODE;
LOCK TABLE series, settings IN ACCESS EXCLUSIVE MODE;
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- By whose rules documents are judged before they get a number. A series has its own, or that of its issuer's settings.
ALTER TABLE settings
    ADD COLUMN profile text NOT NULL DEFAULT 'none',
    ADD CONSTRAINT settings_profile_check CHECK (profile IN ('none', 'en16931', 'xrechnung', 'peppol', 'facturx', 'facturx-basic'));
ALTER TABLE series
    ADD COLUMN profile text NOT NULL DEFAULT '',
    ADD CONSTRAINT series_profile_check CHECK (profile IN ('', 'none', 'en16931', 'xrechnung', 'peppol', 'facturx', 'facturx-basic'));
ALTER TABLE settings ALTER COLUMN profile DROP DEFAULT;
ALTER TABLE series ALTER COLUMN profile DROP DEFAULT;

-- A program of the release before, which adds a version without a profile, leaves it as it was.
-- +goose StatementBegin
CREATE FUNCTION keep_profile() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.profile IS NULL AND TG_RELID = 'settings'::regclass THEN
        NEW.profile := coalesce((SELECT profile FROM settings WHERE issuer = NEW.issuer ORDER BY version DESC LIMIT 1), 'none');
    ELSIF NEW.profile IS NULL AND TG_RELID = 'series'::regclass THEN
        NEW.profile := coalesce((SELECT profile FROM series WHERE issuer = NEW.issuer AND series = NEW.series ORDER BY version DESC LIMIT 1), '');
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER settings_keep_profile BEFORE INSERT ON settings FOR EACH ROW WHEN (NEW.profile IS NULL) EXECUTE FUNCTION keep_profile();
CREATE TRIGGER series_keep_profile BEFORE INSERT ON series FOR EACH ROW WHEN (NEW.profile IS NULL) EXECUTE FUNCTION keep_profile();

-- An issuer begins with all of the settings that hold without one.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_issuer() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO settings (issuer, version, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, ignore, replaces, profile, change, actor, note)
        SELECT NEW.issuer, 1, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, ignore, replaces, profile, 'those that held without an issuer', NEW.actor, NEW.note
        FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Only the program can judge by a profile. A writer that can says so; one of the release before, which can't, is told to leave the job to
-- others, as if somebody held a lock that it needs: the job waits, and uses up no retries.
-- +goose StatementBegin
CREATE FUNCTION refuse_unjudged() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    of_series  text;
    of_profile text;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unjudged is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF current_setting('invoicer.profiles', true) = 'judged' THEN
        RETURN NULL;
    END IF;
    SELECT place.series, coalesce(nullif(own.profile, ''), general.profile) INTO of_series, of_profile
        FROM (SELECT DISTINCT added.issuer, added.series FROM added) AS place
        LEFT JOIN LATERAL (SELECT s.profile FROM series s WHERE s.issuer = place.issuer AND s.series = place.series ORDER BY version DESC LIMIT 1) AS own ON true
        LEFT JOIN LATERAL (SELECT s.profile FROM settings s WHERE s.issuer = place.issuer ORDER BY version DESC LIMIT 1) AS general ON true
        WHERE coalesce(nullif(own.profile, ''), general.profile) <> 'none' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'series % is left to workers of a newer release: its documents are judged by the profile %', of_series, of_profile
            USING ERRCODE = 'lock_not_available', CONSTRAINT = 'invoices_judged', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION keep_profile(), refuse_unjudged() FROM PUBLIC;
CREATE TRIGGER invoices_judged AFTER INSERT ON invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_unjudged();

COMMENT ON COLUMN settings.profile IS 'By whose rules a document is judged before it gets a number: none, en16931, xrechnung, peppol, facturx, facturx-basic.';
COMMENT ON COLUMN series.profile IS 'The same for documents of this series. '''': that of its issuer''s settings.';
COMMENT ON FUNCTION keep_profile() IS 'Trigger: a new version of settings or of a series that states no profile has that of the version before.';
COMMENT ON FUNCTION refuse_unjudged() IS 'Trigger: a document that is to be judged by a profile is left to workers that can.';

-- +goose Down

LOCK TABLE invoice_series IN EXCLUSIVE MODE; -- as above
LOCK TABLE series, settings IN ACCESS EXCLUSIVE MODE;
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM settings WHERE profile <> 'none') OR EXISTS (SELECT FROM series WHERE profile NOT IN ('', 'none')) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete settings that were changed'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'settings';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoices_judged ON invoices;
DROP TRIGGER series_keep_profile ON series;
DROP TRIGGER settings_keep_profile ON settings;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_issuer() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO settings (issuer, version, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, ignore, replaces, change, actor, note)
        SELECT NEW.issuer, 1, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, ignore, replaces, 'those that held without an issuer', NEW.actor, NEW.note
        FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP FUNCTION refuse_unjudged(), keep_profile();
ALTER TABLE series DROP COLUMN profile;
ALTER TABLE settings DROP COLUMN profile;
