-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoice_series IN ACCESS EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Numbers that were given out by a database which is lost, and that this one has no documents for. Each stays with its transaction.
CREATE TABLE reserved_numbers (
    issuer         text        NOT NULL,
    series         text        NOT NULL,
    period         text        NOT NULL,
    number         bigint      NOT NULL,
    transaction_id text,
    invoice_number text,
    dated          date,
    source         text        NOT NULL,
    actor          text        NOT NULL,
    role           text        NOT NULL DEFAULT session_user,
    note           text,
    reserved_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reserved_numbers_pkey PRIMARY KEY (issuer, series, period, number),
    CONSTRAINT reserved_numbers_texts_check CHECK (octet_length(source) <= 500 AND octet_length(actor) <= 500 AND octet_length(note) <= 4000 AND octet_length(invoice_number) <= 500)
);
CREATE UNIQUE INDEX reserved_numbers_transaction_id_key ON reserved_numbers (issuer, series, period, transaction_id) WHERE transaction_id IS NOT NULL;

ALTER TABLE invoice_series ADD COLUMN reserved_to bigint;

-- Of which server the database is the state, as it was seen last: after a failover or a restore it is another one.
CREATE TABLE seen_server (
    singleton   boolean     NOT NULL DEFAULT true,
    system      text        NOT NULL,
    timeline    bigint      NOT NULL,
    replicated  boolean     NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seen_server_pkey PRIMARY KEY (singleton),
    CONSTRAINT seen_server_singleton_check CHECK (singleton)
);

-- Numbers are reserved from the next one on, without a gap, and the counter goes on above them. It moves the counter with its owner's
-- rights: whoever may reserve numbers needs none to counters.
-- +goose StatementBegin
CREATE FUNCTION reserve_numbers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    run     record;
    counter invoice_series;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'reserved_numbers'::regclass THEN
        RAISE EXCEPTION 'reserve_numbers is for reserved_numbers' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '% on reserved_numbers refused: what is reserved stays so', TG_OP
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'reserved_numbers_kept', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    FOR run IN SELECT issuer, series, period, min(number) AS first, max(number) AS last, count(*) AS members, max(dated) AS dated FROM added
        GROUP BY issuer, series, period ORDER BY issuer, series, period LOOP
        INSERT INTO invoice_series (issuer, series, period, kind) SELECT issuer, series, run.period, kind FROM series
            WHERE issuer = run.issuer AND series = run.series ORDER BY version DESC LIMIT 1 ON CONFLICT DO NOTHING;
        SELECT * INTO counter FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period = run.period FOR NO KEY UPDATE;
        IF counter.series IS NULL OR run.first <> greatest(counter.last_number + 1, counter.first_number) OR run.last - run.first <> run.members - 1 THEN
            RAISE EXCEPTION 'numbers % to % of series % can''t be reserved: the next one is %', run.first, run.last, run.series, greatest(counter.last_number + 1, counter.first_number)
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'reserved_numbers_next', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        UPDATE invoice_series SET last_number = run.last, reserved_to = run.last, last_date = greatest(last_date, run.dated)
            WHERE issuer = run.issuer AND series = run.series AND period = run.period;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION reserve_numbers() FROM PUBLIC;
CREATE TRIGGER reserved_numbers_next AFTER INSERT ON reserved_numbers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reserve_numbers();
CREATE TRIGGER reserved_numbers_kept BEFORE UPDATE OR DELETE ON reserved_numbers FOR EACH ROW EXECUTE FUNCTION reserve_numbers();
CREATE TRIGGER reserved_numbers_no_truncate BEFORE TRUNCATE ON reserved_numbers FOR EACH STATEMENT EXECUTE FUNCTION reserve_numbers();

-- reserved_to goes with what is reserved, and with nothing else.
-- +goose StatementBegin
CREATE FUNCTION guard_reserved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.last_number = NEW.reserved_to AND NEW.reserved_to > coalesce(OLD.reserved_to, 0)
            AND EXISTS (SELECT FROM reserved_numbers WHERE issuer = NEW.issuer AND series = NEW.series AND period = NEW.period AND number = NEW.reserved_to) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the reserved numbers of series % refused: run `invoicer series recover`', NEW.series
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_reserved', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
CREATE TRIGGER invoice_series_begins_unreserved BEFORE INSERT ON invoice_series FOR EACH ROW WHEN (NEW.reserved_to IS NOT NULL) EXECUTE FUNCTION guard_reserved();
CREATE TRIGGER invoice_series_reserved BEFORE UPDATE ON invoice_series
    FOR EACH ROW WHEN (NEW.reserved_to IS DISTINCT FROM OLD.reserved_to) EXECUTE FUNCTION guard_reserved();

-- The counter may stand at a reserved number.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_counter(of_issuer text, of_series text, of_period text, of_kind text, INOUT last_number bigint, INOUT first_number bigint, INOUT settings integer,
    OUT state text, OUT prefix text, OUT width integer, OUT suffix text,
    OUT next_from bigint, OUT next_prefix text, OUT next_width integer, OUT next_suffix text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
    newest  series;
    coming  series;
    printed text;
    first   bigint;
    last    text;
    given   boolean;
BEGIN
    SELECT * INTO newest FROM series WHERE series.issuer = of_issuer AND series.series = of_series ORDER BY version DESC LIMIT 1;
    IF newest.version IS NULL THEN
        state := 'open';
        prefix := '';
        width := 1;
        suffix := '';
        RETURN;
    END IF;
    IF newest.kind <> of_kind THEN
        RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', of_series, of_kind
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = 'invoice_series';
    END IF;
    SELECT * INTO coming FROM series WHERE series.issuer = of_issuer AND series.series = of_series AND series.from_period <= of_period ORDER BY version DESC LIMIT 1;
    first := CASE WHEN newest.first_period = of_period THEN newest.first_number ELSE 1 END;
    SELECT invoice_number INTO last FROM invoices WHERE invoices.issuer = of_issuer AND invoices.series = of_series AND invoices.period = of_period AND invoices.number = last_number;
    given := last IS NOT NULL OR EXISTS (
        SELECT FROM invoice_series s WHERE s.issuer = of_issuer AND s.series = of_series AND s.period = of_period AND s.reserved_to = last_number);
    IF given AND first <> first_number THEN
        RAISE EXCEPTION 'the first number of series % can''t be % any more: it has documents', of_series, first
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_first', TABLE = 'invoice_series';
    END IF;
    IF NOT given THEN
        IF last_number NOT IN (0, first - 1, first_number - 1) THEN
            RAISE EXCEPTION 'series % has its counter at % and no such document: open it with % as its first number', of_series, last_number, last_number + 1
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_ahead', TABLE = 'invoice_series';
        END IF;
        first_number := first;
        last_number := first - 1;
    END IF;
    SELECT series.format INTO printed FROM series WHERE series.issuer = of_issuer AND series.series = of_series AND series.from_period <= of_period
        AND series.from_number <= last_number + 1 ORDER BY version DESC LIMIT 1;
    printed := coalesce(printed, newest.format);
    IF coming.from_number > last_number + 1 AND coming.format <> printed THEN
        next_from := coming.from_number;
        SELECT affixes.prefix, affixes.width, affixes.suffix INTO next_prefix, next_width, next_suffix FROM number_affixes(coming.format, of_series, of_period) AS affixes;
    END IF;
    SELECT affixes.prefix, affixes.width, affixes.suffix INTO prefix, width, suffix FROM number_affixes(printed, of_series, of_period) AS affixes;
    IF settings = 0 AND last <> print_number(prefix, width, suffix, last_number) THEN
        RAISE EXCEPTION 'the last number of series % is printed %, which format % would print %', of_series, last, printed, print_number(prefix, width, suffix, last_number)
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_printed', TABLE = 'invoice_series';
    END IF;
    settings := newest.version;
    state := newest.state;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_uncounted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ahead record;
BEGIN
    -- The subquery, unlike a join, reads by the key whatever the planner thinks of the table's size.
    SELECT series, period, last_number INTO ahead FROM moved
    WHERE last_number >= first_number AND last_number IS DISTINCT FROM reserved_to
        AND (SELECT id FROM invoices WHERE issuer = moved.issuer AND series = moved.series AND period = moved.period AND number = moved.last_number) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the counter of series % can''t be set to %: there is no such document; for another first number use `invoicer series`', ahead.series, ahead.last_number
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_ahead', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Reserved numbers are no gap, and are for their transactions.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    run     record;
    counter invoice_series;
    wrong   text;
    kept    record;
    own     record;
    follows boolean;
BEGIN
    FOR run IN SELECT issuer, series, period, min(kind) AS kind, max(kind) AS other, min(number) AS first, max(number) AS last, count(*) AS members,
        min(series_version) AS version, max(series_version) AS newest, count(series_version) AS versions
        FROM added GROUP BY issuer, series, period LOOP
        SELECT * INTO counter FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period = run.period;
        IF run.kind <> run.other OR run.kind IS DISTINCT FROM counter.kind THEN
            RAISE EXCEPTION 'series % refused: it has no counter for this kind of document in period "%"', run.series, run.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_counted', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        -- Reserved numbers are apart: each is for one transaction, and the others follow the last one of either. Workers of the release before
        -- may not read them, and need not before some are reserved.
        own := run;
        follows := false;
        IF counter.reserved_to IS NOT NULL THEN
            SELECT a.number, a.transaction_id INTO kept FROM added a JOIN reserved_numbers r ON r.issuer = a.issuer AND r.series = a.series AND r.period = a.period
                AND (r.number = a.number AND r.transaction_id IS DISTINCT FROM a.transaction_id OR r.number <> a.number AND r.transaction_id = a.transaction_id)
                WHERE a.issuer = run.issuer AND a.series = run.series AND a.period = run.period LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'number % of series % refused for transaction %: it, or another number for that transaction, is reserved', kept.number, run.series, kept.transaction_id
                    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_reserved', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
            END IF;
            SELECT min(number) AS first, max(number) AS last, count(*) AS members INTO own FROM added a
                WHERE issuer = run.issuer AND series = run.series AND period = run.period
                AND NOT EXISTS (SELECT FROM reserved_numbers r WHERE r.issuer = a.issuer AND r.series = a.series AND r.period = a.period AND r.number = a.number);
            follows := EXISTS (SELECT FROM reserved_numbers WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number = own.first - 1);
        END IF;
        IF own.members > 0 AND (own.last - own.first >= own.members OR own.first < counter.first_number OR own.first > counter.first_number AND NOT follows AND NOT EXISTS (
            SELECT FROM invoices WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number = own.first - 1)) THEN
            RAISE EXCEPTION 'numbers % to % of series % refused: one before them, or between them, is not there', run.first, run.last, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_gapless', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF counter.settings = 0 AND run.versions = 0 THEN
            CONTINUE; -- a series without settings, by a worker that knows none
        END IF;
        IF counter.state = 'paused' THEN
            RAISE EXCEPTION 'series % is paused', run.series -- as one whose counter is held, for which workers wait
                USING ERRCODE = 'lock_not_available', CONSTRAINT = 'invoices_series_open', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF counter.state = 'closed' THEN
            RAISE EXCEPTION 'series % is closed', run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_open', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.version <> counter.settings OR run.newest <> counter.settings THEN
            RAISE EXCEPTION 'the settings of series % have changed since version %', run.series, run.version
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT invoice_number INTO wrong FROM added WHERE issuer = run.issuer AND series = run.series AND period = run.period
            AND invoice_number <> print_number(counter.prefix, counter.width, counter.suffix, number)
            AND (counter.next_from IS NULL OR number < counter.next_from) LIMIT 1;
        IF NOT FOUND AND run.last >= counter.next_from THEN
            SELECT invoice_number INTO wrong FROM added WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number >= counter.next_from
                AND invoice_number <> print_number(counter.next_prefix, counter.next_width, counter.next_suffix, number) LIMIT 1;
        END IF;
        IF FOUND THEN
            RAISE EXCEPTION 'invoice number % refused: it isn''t in the format of series %', wrong, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_format', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.versions < run.members AND counter.period <> '' THEN
            SELECT period_of(rule.period, rule.first_month, rule.timezone, added.issued_at) INTO wrong FROM added, series rule
            WHERE added.issuer = run.issuer AND added.series = run.series AND added.period = run.period AND added.series_version IS NULL
                AND rule.issuer = run.issuer AND rule.series = run.series AND rule.version = counter.settings
                AND period_of(rule.period, rule.first_month, rule.timezone, added.issued_at) <> run.period LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'period % of series % refused: in its time zone the date lies in %', run.period, run.series, wrong
                    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_period', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Documents with reserved numbers have the dates that are reserved with them.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_misdated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    run   record;
    rule  record;
    dated date;
    today date;
    kept  date;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_misdated is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM series WHERE date = 'issue') THEN
        RETURN NULL;
    END IF;
    FOR run IN SELECT issuer, series, period, min(number) AS first, count(*) AS members, count(document_date) AS dated,
        min(document_date) AS earliest, max(document_date) AS latest FROM added GROUP BY issuer, series, period LOOP
        SELECT date, period, first_month, timezone INTO rule FROM series WHERE series.issuer = run.issuer AND series.series = run.series ORDER BY version DESC LIMIT 1;
        IF rule.date IS DISTINCT FROM 'issue' THEN
            CONTINUE WHEN run.dated = 0;
            RAISE EXCEPTION 'document_date of series % refused: its documents are dated by issued_at', run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dated', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        -- What takes a reserved number has the date that was reserved with it.
        SELECT r.dated INTO kept FROM added a JOIN reserved_numbers r ON r.issuer = a.issuer AND r.series = a.series AND r.period = a.period AND r.number = a.number
            WHERE a.issuer = run.issuer AND a.series = run.series AND a.period = run.period AND a.document_date IS DISTINCT FROM r.dated LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'document_date of series % refused: a document with a reserved number has the date that is reserved with it, which is %', run.series, kept
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dated', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT min(number) AS first, count(*) AS members, count(document_date) AS dated, min(document_date) AS earliest, max(document_date) AS latest,
            run.issuer AS issuer, run.series AS series, run.period AS period INTO run FROM added a
            WHERE issuer = run.issuer AND series = run.series AND period = run.period
            AND NOT EXISTS (SELECT FROM reserved_numbers r WHERE r.issuer = a.issuer AND r.series = a.series AND r.period = a.period AND r.number = a.number);
        CONTINUE WHEN run.members = 0;
        SELECT last_date INTO dated FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period = run.period;
        today := (clock_timestamp() AT TIME ZONE rule.timezone)::date;
        IF dated IS NULL OR run.dated < run.members OR run.earliest <> dated OR run.latest <> dated
            OR dated > today AND dated > coalesce(greatest(
                (SELECT document_date FROM invoices WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number = run.first - 1),
                (SELECT r.dated FROM reserved_numbers r WHERE r.issuer = run.issuer AND r.series = run.series AND r.period = run.period AND r.number = run.first - 1),
                (SELECT max(last_date) FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period <> run.period)), today) THEN
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

COMMENT ON TABLE reserved_numbers IS 'Numbers that a lost database gave out and this one has no document for, as `invoicer series recover` found them. Rows are only added.';
COMMENT ON COLUMN reserved_numbers.issuer IS 'The issuer of the series, '''' for the one without a name.';
COMMENT ON COLUMN reserved_numbers.series IS 'The series of the number.';
COMMENT ON COLUMN reserved_numbers.period IS 'The period of the number.';
COMMENT ON COLUMN reserved_numbers.number IS 'The number within the series and period. No other document gets it.';
COMMENT ON COLUMN reserved_numbers.transaction_id IS 'The transaction that gets this number when it is asked for again. NULL if nobody knows it: then nobody gets the number.';
COMMENT ON COLUMN reserved_numbers.invoice_number IS 'The number as it was printed. NULL if nobody knows it.';
COMMENT ON COLUMN reserved_numbers.dated IS 'The date of the document, in a series that dates its documents on their day of issue. Else NULL.';
COMMENT ON COLUMN reserved_numbers.source IS 'What remembered the number.';
COMMENT ON COLUMN reserved_numbers.actor IS 'Who reserved it.';
COMMENT ON COLUMN reserved_numbers.role IS 'The database role that reserved it.';
COMMENT ON COLUMN reserved_numbers.note IS 'Why, as that person says.';
COMMENT ON COLUMN reserved_numbers.reserved_at IS 'When it was reserved.';
COMMENT ON COLUMN invoice_series.reserved_to IS 'The highest reserved number. NULL if none was ever reserved.';
COMMENT ON TABLE seen_server IS 'The server as workers saw it last, in one row. Another one is the reason to look whether numbers were lost.';
COMMENT ON COLUMN seen_server.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN seen_server.system IS 'The server''s system identifier.';
COMMENT ON COLUMN seen_server.timeline IS 'The timeline of its write-ahead log, which a promotion and a restore change.';
COMMENT ON COLUMN seen_server.replicated IS 'Whether each commit waited for a standby.';
COMMENT ON COLUMN seen_server.seen_at IS 'When it was seen first.';
COMMENT ON FUNCTION reserve_numbers() IS 'Trigger: numbers are reserved from the next one on, without a gap, and stay so.';
COMMENT ON FUNCTION guard_reserved() IS 'Trigger: a counter''s reserved_to goes with reserved numbers.';

-- +goose Down

LOCK TABLE invoice_series, reserved_numbers IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM reserved_numbers) THEN
        RAISE EXCEPTION 'migrating down refused: numbers are reserved, and would be gaps'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'reserved_numbers_kept', TABLE = 'reserved_numbers';
    END IF;
END $$;
-- +goose StatementEnd
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_counter(of_issuer text, of_series text, of_period text, of_kind text, INOUT last_number bigint, INOUT first_number bigint, INOUT settings integer,
    OUT state text, OUT prefix text, OUT width integer, OUT suffix text,
    OUT next_from bigint, OUT next_prefix text, OUT next_width integer, OUT next_suffix text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
    newest  series;
    coming  series;
    printed text;
    first   bigint;
    last    text;
BEGIN
    SELECT * INTO newest FROM series WHERE series.issuer = of_issuer AND series.series = of_series ORDER BY version DESC LIMIT 1;
    IF newest.version IS NULL THEN
        state := 'open';
        prefix := '';
        width := 1;
        suffix := '';
        RETURN;
    END IF;
    IF newest.kind <> of_kind THEN
        RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', of_series, of_kind
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = 'invoice_series';
    END IF;
    SELECT * INTO coming FROM series WHERE series.issuer = of_issuer AND series.series = of_series AND series.from_period <= of_period ORDER BY version DESC LIMIT 1;
    first := CASE WHEN newest.first_period = of_period THEN newest.first_number ELSE 1 END;
    SELECT invoice_number INTO last FROM invoices WHERE invoices.issuer = of_issuer AND invoices.series = of_series AND invoices.period = of_period AND invoices.number = last_number;
    IF last IS NOT NULL AND first <> first_number THEN
        RAISE EXCEPTION 'the first number of series % can''t be % any more: it has documents', of_series, first
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_first', TABLE = 'invoice_series';
    END IF;
    IF last IS NULL THEN
        IF last_number NOT IN (0, first - 1, first_number - 1) THEN
            RAISE EXCEPTION 'series % has its counter at % and no such document: open it with % as its first number', of_series, last_number, last_number + 1
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_ahead', TABLE = 'invoice_series';
        END IF;
        first_number := first;
        last_number := first - 1;
    END IF;
    SELECT series.format INTO printed FROM series WHERE series.issuer = of_issuer AND series.series = of_series AND series.from_period <= of_period
        AND series.from_number <= last_number + 1 ORDER BY version DESC LIMIT 1;
    printed := coalesce(printed, newest.format);
    IF coming.from_number > last_number + 1 AND coming.format <> printed THEN
        next_from := coming.from_number;
        SELECT affixes.prefix, affixes.width, affixes.suffix INTO next_prefix, next_width, next_suffix FROM number_affixes(coming.format, of_series, of_period) AS affixes;
    END IF;
    SELECT affixes.prefix, affixes.width, affixes.suffix INTO prefix, width, suffix FROM number_affixes(printed, of_series, of_period) AS affixes;
    IF settings = 0 AND last <> print_number(prefix, width, suffix, last_number) THEN
        RAISE EXCEPTION 'the last number of series % is printed %, which format % would print %', of_series, last, printed, print_number(prefix, width, suffix, last_number)
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_printed', TABLE = 'invoice_series';
    END IF;
    settings := newest.version;
    state := newest.state;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_uncounted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ahead record;
BEGIN
    -- The subquery, unlike a join, reads by the key whatever the planner thinks of the table's size.
    SELECT series, period, last_number INTO ahead FROM moved
    WHERE last_number >= first_number
        AND (SELECT id FROM invoices WHERE issuer = moved.issuer AND series = moved.series AND period = moved.period AND number = moved.last_number) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the counter of series % can''t be set to %: there is no such document; for another first number use `invoicer series`', ahead.series, ahead.last_number
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_ahead', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    run     record;
    counter invoice_series;
    wrong   text;
BEGIN
    FOR run IN SELECT issuer, series, period, min(kind) AS kind, max(kind) AS other, min(number) AS first, max(number) AS last, count(*) AS members,
        min(series_version) AS version, max(series_version) AS newest, count(series_version) AS versions
        FROM added GROUP BY issuer, series, period LOOP
        SELECT * INTO counter FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period = run.period;
        IF run.kind <> run.other OR run.kind IS DISTINCT FROM counter.kind THEN
            RAISE EXCEPTION 'series % refused: it has no counter for this kind of document in period "%"', run.series, run.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_counted', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.last - run.first >= run.members OR run.first < counter.first_number OR run.first > counter.first_number AND NOT EXISTS (
            SELECT FROM invoices WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number = run.first - 1) THEN
            RAISE EXCEPTION 'numbers % to % of series % refused: one before them, or between them, is not there', run.first, run.last, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_gapless', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF counter.settings = 0 AND run.versions = 0 THEN
            CONTINUE; -- a series without settings, by a worker that knows none
        END IF;
        IF counter.state = 'paused' THEN
            RAISE EXCEPTION 'series % is paused', run.series -- as one whose counter is held, for which workers wait
                USING ERRCODE = 'lock_not_available', CONSTRAINT = 'invoices_series_open', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF counter.state = 'closed' THEN
            RAISE EXCEPTION 'series % is closed', run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_open', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.version <> counter.settings OR run.newest <> counter.settings THEN
            RAISE EXCEPTION 'the settings of series % have changed since version %', run.series, run.version
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT invoice_number INTO wrong FROM added WHERE issuer = run.issuer AND series = run.series AND period = run.period
            AND invoice_number <> print_number(counter.prefix, counter.width, counter.suffix, number)
            AND (counter.next_from IS NULL OR number < counter.next_from) LIMIT 1;
        IF NOT FOUND AND run.last >= counter.next_from THEN
            SELECT invoice_number INTO wrong FROM added WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number >= counter.next_from
                AND invoice_number <> print_number(counter.next_prefix, counter.next_width, counter.next_suffix, number) LIMIT 1;
        END IF;
        IF FOUND THEN
            RAISE EXCEPTION 'invoice number % refused: it isn''t in the format of series %', wrong, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_format', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.versions < run.members AND counter.period <> '' THEN
            SELECT period_of(rule.period, rule.first_month, rule.timezone, added.issued_at) INTO wrong FROM added, series rule
            WHERE added.issuer = run.issuer AND added.series = run.series AND added.period = run.period AND added.series_version IS NULL
                AND rule.issuer = run.issuer AND rule.series = run.series AND rule.version = counter.settings
                AND period_of(rule.period, rule.first_month, rule.timezone, added.issued_at) <> run.period LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'period % of series % refused: in its time zone the date lies in %', run.period, run.series, wrong
                    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_period', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_misdated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
    FOR run IN SELECT issuer, series, period, min(number) AS first, count(*) AS members, count(document_date) AS dated,
        min(document_date) AS earliest, max(document_date) AS latest FROM added GROUP BY issuer, series, period LOOP
        SELECT date, period, first_month, timezone INTO rule FROM series WHERE series.issuer = run.issuer AND series.series = run.series ORDER BY version DESC LIMIT 1;
        IF rule.date IS DISTINCT FROM 'issue' THEN
            CONTINUE WHEN run.dated = 0;
            RAISE EXCEPTION 'document_date of series % refused: its documents are dated by issued_at', run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dated', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT last_date INTO dated FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period = run.period;
        today := (clock_timestamp() AT TIME ZONE rule.timezone)::date;
        IF dated IS NULL OR run.dated < run.members OR run.earliest <> dated OR run.latest <> dated
            OR dated > today AND dated > coalesce(greatest(
                (SELECT document_date FROM invoices WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number = run.first - 1),
                (SELECT max(last_date) FROM invoice_series WHERE issuer = run.issuer AND series = run.series AND period <> run.period)), today) THEN
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
DROP TRIGGER invoice_series_reserved ON invoice_series;
DROP TRIGGER invoice_series_begins_unreserved ON invoice_series;
ALTER TABLE invoice_series DROP COLUMN reserved_to;
DROP TABLE reserved_numbers, seen_server;
DROP FUNCTION reserve_numbers(), guard_reserved();
