-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE series, invoice_series, invoices IN ACCESS EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Which date a document of the series has, and by which its period is found: issued_at, as the job states it, or the day of issue,
-- on which it is committed. last_date is the date of the newest document that was dated on its day of issue; a new period begins
-- with the last one of its series.
ALTER TABLE series ADD COLUMN date text NOT NULL DEFAULT 'issued_at' CONSTRAINT series_date_check CHECK (date IN ('issued_at', 'issue'));
ALTER TABLE invoice_series ADD COLUMN last_date date;

-- The day of issue, in the series' time zone; NULL if the document's date is issued_at.
ALTER TABLE invoices ADD COLUMN document_date date;

CREATE INDEX series_issue_idx ON series (series) WHERE date = 'issue';

-- +goose StatementBegin
CREATE FUNCTION guard_last_date() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT max(last_date) INTO NEW.last_date FROM invoice_series WHERE series = NEW.series;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the date % of the counter of series % refused: its last document is dated %', NEW.last_date, OLD.series, OLD.last_date
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_last_date', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
CREATE TRIGGER invoice_series_begins_dated BEFORE INSERT ON invoice_series FOR EACH ROW EXECUTE FUNCTION guard_last_date();
CREATE TRIGGER invoice_series_last_date BEFORE UPDATE ON invoice_series
    FOR EACH ROW WHEN (OLD.last_date > NEW.last_date OR OLD.last_date IS NOT NULL AND NEW.last_date IS NULL) EXECUTE FUNCTION guard_last_date();

-- Documents of a series that dates them on their day of issue have that day: today, or the last one's date if the clock is behind that.
-- It looks with its owner's rights, so that workers of the release before obey.
-- +goose StatementBegin
CREATE FUNCTION refuse_misdated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    run   record;
    rule  record;
    dated date;
    today date;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_misdated is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM series WHERE date = 'issue') THEN
        RETURN NULL;
    END IF;
    FOR run IN SELECT series, period, min(number) AS first, count(*) AS members, count(document_date) AS dated,
        min(document_date) AS earliest, max(document_date) AS latest FROM added GROUP BY series, period LOOP
        SELECT date, period, first_month, timezone INTO rule FROM series WHERE series.series = run.series ORDER BY version DESC LIMIT 1;
        IF rule.date IS DISTINCT FROM 'issue' THEN
            CONTINUE WHEN run.dated = 0;
            RAISE EXCEPTION 'document_date of series % refused: its documents are dated by issued_at', run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dated', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT last_date INTO dated FROM invoice_series WHERE series = run.series AND period = run.period;
        today := (clock_timestamp() AT TIME ZONE rule.timezone)::date;
        IF dated IS NULL OR run.dated < run.members OR run.earliest <> dated OR run.latest <> dated
            OR dated > today AND dated > coalesce(greatest(
                (SELECT document_date FROM invoices WHERE series = run.series AND period = run.period AND number = run.first - 1),
                (SELECT max(last_date) FROM invoice_series WHERE series = run.series AND period <> run.period)), today) THEN
            RAISE EXCEPTION 'document_date of series % refused: its documents are dated on the day of their issue', run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dated', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF period_of(rule.period, rule.first_month, rule.timezone, dated::timestamp AT TIME ZONE rule.timezone) <> run.period THEN
            RAISE EXCEPTION 'period % of series % refused: its documents of % lie in another one', run.period, run.series, dated
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dated', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_misdated() FROM PUBLIC;
CREATE TRIGGER invoices_dated AFTER INSERT ON invoices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_misdated();

-- +goose Down

LOCK TABLE series, invoice_series, invoices IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM series WHERE date = 'issue') THEN
        RAISE EXCEPTION 'migrating down refused: a series dates its documents on their day of issue'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'series';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoices_dated ON invoices;
DROP TRIGGER invoice_series_last_date ON invoice_series;
DROP TRIGGER invoice_series_begins_dated ON invoice_series;
DROP FUNCTION refuse_misdated(), guard_last_date();
ALTER TABLE invoices DROP COLUMN document_date;
ALTER TABLE invoice_series DROP COLUMN last_date;
ALTER TABLE series DROP COLUMN date;
