-- +goose Up

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoice_jobs, invoice_series, invoices IN ACCESS EXCLUSIVE MODE;

-- How the documents of a series are numbered and printed: each change is a row, and the highest version holds. A worker
-- makes the first one at the series' first use, from numbering.*; people make all others.
CREATE TABLE series (
    series       text        NOT NULL,
    version      integer     NOT NULL,
    kind         text        NOT NULL,
    format       text        NOT NULL,
    from_period  text        NOT NULL DEFAULT '',
    period       text        NOT NULL,
    first_month  smallint    NOT NULL DEFAULT 1,
    timezone     text        NOT NULL,
    first_number bigint      NOT NULL DEFAULT 1,
    first_period text        NOT NULL DEFAULT '',
    state        text        NOT NULL DEFAULT 'open',
    origin       text        NOT NULL,
    change       text        NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now(),
    actor        text        NOT NULL,
    role         text        NOT NULL DEFAULT session_user,
    note         text,
    CONSTRAINT series_pkey PRIMARY KEY (series, version),
    CONSTRAINT series_series_check CHECK (series ~ '^[A-Z0-9-]+$' AND length(series) <= 64),
    CONSTRAINT series_kind_check CHECK (kind IN ('invoice', 'credit_note')),
    CONSTRAINT series_format_check CHECK (octet_length(format) <= 128 AND format ~ '\{number(:0[1-9][0-9]?)?\}'),
    CONSTRAINT series_period_check CHECK (period IN ('none', 'year', 'month')),
    CONSTRAINT series_first_month_check CHECK (first_month BETWEEN 1 AND 12 AND (first_month = 1 OR period = 'year')),
    CONSTRAINT series_first_number_check CHECK (first_number BETWEEN 1 AND 1000000000000000000),
    CONSTRAINT series_state_check CHECK (state IN ('open', 'paused', 'closed')),
    CONSTRAINT series_origin_check CHECK (origin IN ('configuration', 'command')),
    CONSTRAINT series_change_check CHECK (octet_length(change) <= 2000 AND octet_length(actor) <= 500 AND octet_length(note) <= 4000)
);

-- settings is the newest version of the series; 0 for a series that has none. The rest follows from the settings, so that
-- whoever holds the counter's lock knows how to print its numbers.
ALTER TABLE invoice_series
    ADD COLUMN settings     integer NOT NULL DEFAULT 0,
    ADD COLUMN state        text    NOT NULL DEFAULT 'open',
    ADD COLUMN first_number bigint  NOT NULL DEFAULT 1,
    ADD COLUMN prefix       text    NOT NULL DEFAULT '',
    ADD COLUMN width        integer NOT NULL DEFAULT 1,
    ADD COLUMN suffix       text    NOT NULL DEFAULT '';

-- Under which version of its series' settings an invoice was numbered; NULL if by a worker that knew none.
ALTER TABLE invoices ADD COLUMN series_version integer;

-- The paused series for which an accepted job waits. The relay leaves such a job alone.
ALTER TABLE invoice_jobs ADD COLUMN paused_series text;
CREATE INDEX invoice_jobs_dispatchable_idx ON invoice_jobs (id) WHERE state = 'accepted' AND paused_series IS NULL;
CREATE INDEX invoice_jobs_paused_idx ON invoice_jobs (paused_series, id) WHERE paused_series IS NOT NULL;

-- What is printed before and after a number of a series and period, and the fewest digits between. {year}, {yy} and
-- {month} are those in which the period begins.
-- +goose StatementBegin
CREATE FUNCTION number_affixes(format text, series text, period text, OUT prefix text, OUT width integer, OUT suffix text)
LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    resolved text := replace(replace(replace(replace(replace(format, '{series}', series), '{period}', period),
        '{year}', left(period, 4)), '{yy}', substr(period, 3, 2)), '{month}', substr(period, 6, 2));
BEGIN
    prefix := substring(resolved FROM '^(.*?)\{number');
    width := coalesce(substring(resolved FROM '\{number:0([0-9]+)\}')::integer, 1);
    suffix := substring(resolved FROM '\{number[^}]*\}(.*)$');
END $$;
-- +goose StatementEnd

CREATE FUNCTION print_number(prefix text, width integer, suffix text, number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT prefix || CASE WHEN length(number::text) < width THEN lpad(number::text, width, '0') ELSE number::text END || suffix $$;

-- The period in which a time lies: '' without periods, 2026 for a calendar year, 2026-27 for another year, 2026-04 for a month.
-- +goose StatementBegin
CREATE FUNCTION period_of(rule text, first_month integer, timezone text, instant timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    begun timestamp := instant AT TIME ZONE timezone;
BEGIN
    CASE
        WHEN rule = 'none' THEN RETURN '';
        WHEN rule = 'month' THEN RETURN to_char(begun, 'YYYY-MM');
        WHEN first_month = 1 THEN RETURN to_char(begun, 'YYYY');
        ELSE
            begun := date_trunc('month', begun) - make_interval(months => first_month - 1);
            RETURN to_char(begun, 'YYYY') || '-' || to_char(begun + interval '1 year', 'YY');
    END CASE;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION guard_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before series;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '% on series refused: what held when is kept; a change is a new version', TG_OP
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_append_only', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.' || NEW.series, 0)); -- as for its counters
    SELECT * INTO before FROM series WHERE series = NEW.series ORDER BY version DESC LIMIT 1;
    IF NEW.version IS DISTINCT FROM coalesce(before.version, 0) + 1 THEN
        RAISE EXCEPTION 'version % of series % refused: the next one is %', NEW.version, NEW.series, coalesce(before.version, 0) + 1
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'series_pkey', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF before.kind <> NEW.kind OR EXISTS (SELECT FROM invoice_series WHERE series = NEW.series AND kind <> NEW.kind) THEN
        RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', NEW.series, NEW.kind
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF before.state = 'closed' THEN
        RAISE EXCEPTION 'series % is closed for good: open another one', NEW.series
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_closed', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    NEW.changed_at := now();
    NEW.role := session_user;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- Each counter of the series takes the change over, once the transaction that holds it has ended.
-- +goose StatementBegin
CREATE FUNCTION apply_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM invoice_series WHERE series = NEW.series ORDER BY series, period FOR NO KEY UPDATE; -- in the writers' order
    UPDATE invoice_series SET settings = NEW.version WHERE series = NEW.series;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER series_guard BEFORE INSERT OR UPDATE OR DELETE ON series FOR EACH ROW EXECUTE FUNCTION guard_settings();
CREATE TRIGGER series_no_truncate BEFORE TRUNCATE ON series FOR EACH STATEMENT EXECUTE FUNCTION guard_settings();
CREATE TRIGGER series_apply AFTER INSERT ON series FOR EACH ROW EXECUTE FUNCTION apply_settings();

-- What a counter takes over from the newest settings of its series. What was numbered already stays as it is. It neither takes nor
-- returns a row of invoice_series: Postgres 15 crashes on a row from before its table got more columns, handed on by a trigger.
-- +goose StatementBegin
CREATE FUNCTION settle_counter(of_series text, of_period text, of_kind text, INOUT last_number bigint, INOUT first_number bigint, INOUT settings integer,
    OUT state text, OUT prefix text, OUT width integer, OUT suffix text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
    newest  series;
    printed text;
    first   bigint;
    last    text;
BEGIN
    SELECT * INTO newest FROM series WHERE series.series = of_series ORDER BY version DESC LIMIT 1;
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
    SELECT series.format INTO printed FROM series WHERE series.series = of_series AND series.from_period <= of_period ORDER BY version DESC LIMIT 1;
    printed := coalesce(printed, newest.format);
    first := CASE WHEN newest.first_period = of_period THEN newest.first_number ELSE 1 END;
    SELECT invoice_number INTO last FROM invoices WHERE invoices.series = of_series AND invoices.period = of_period AND invoices.number = last_number;
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
    SELECT affixes.prefix, affixes.width, affixes.suffix INTO prefix, width, suffix FROM number_affixes(printed, of_series, of_period) AS affixes;
    IF settings = 0 AND last <> print_number(prefix, width, suffix, last_number) THEN
        RAISE EXCEPTION 'the last number of series % is printed %, which format % would print %', of_series, last, printed, print_number(prefix, width, suffix, last_number)
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_printed', TABLE = 'invoice_series';
    END IF;
    settings := newest.version;
    state := newest.state;
END $$;
-- +goose StatementEnd

-- A counter only moves forward by hand of the writer, and a series holds one kind in all its periods.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_series() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    rule series;
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Two first periods of one series must not pass each other unseen.
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.' || NEW.series, 0));
        IF NEW.last_number <> 0 THEN
            RAISE EXCEPTION 'series % refused: a counter begins at 0; its first number is a setting of the series', NEW.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_begin', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF EXISTS (SELECT FROM invoice_series other WHERE other.series = NEW.series AND other.kind <> NEW.kind) THEN
            RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', NEW.series, NEW.kind
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT * INTO rule FROM series WHERE series = NEW.series ORDER BY version DESC LIMIT 1;
        IF rule.version IS NOT NULL AND NEW.period !~ (CASE
            WHEN rule.period = 'none' THEN '^$' WHEN rule.period = 'year' AND rule.first_month = 1 THEN '^[0-9]{4}$' ELSE '^[0-9]{4}-[0-9]{2}$' END) THEN
            RAISE EXCEPTION 'period "%" of series % refused: its periods are: %', NEW.period, NEW.series, rule.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_period', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT * INTO NEW.last_number, NEW.first_number, NEW.settings, NEW.state, NEW.prefix, NEW.width, NEW.suffix
            FROM settle_counter(NEW.series, NEW.period, NEW.kind, 0, 1, 0);
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.series, NEW.period, NEW.kind) = (OLD.series, OLD.period, OLD.kind) AND NEW.last_number >= OLD.last_number THEN
            IF NEW.settings = OLD.settings AND (NEW.state, NEW.first_number, NEW.prefix, NEW.width, NEW.suffix) = (OLD.state, OLD.first_number, OLD.prefix, OLD.width, OLD.suffix) THEN
                RETURN NEW;
            END IF;
            IF NEW.last_number = OLD.last_number THEN
                SELECT * INTO NEW.last_number, NEW.first_number, NEW.settings, NEW.state, NEW.prefix, NEW.width, NEW.suffix
                    FROM settle_counter(OLD.series, OLD.period, OLD.kind, OLD.last_number, OLD.first_number, OLD.settings);
                RETURN NEW;
            END IF;
        END IF;
    END IF;
    RAISE EXCEPTION '% of series % refused: a counter is never renamed, lowered or deleted', TG_OP, OLD.series
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_forward', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- A counter moves only together with the documents that it counts. Else the next number would leave a gap, and so be refused for
-- ever.
-- +goose StatementBegin
CREATE FUNCTION refuse_uncounted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ahead record;
BEGIN
    -- The subquery, unlike a join, reads by the key whatever the planner thinks of the table's size.
    SELECT series, period, last_number INTO ahead FROM moved
    WHERE last_number >= first_number
        AND (SELECT id FROM invoices WHERE series = moved.series AND period = moved.period AND number = moved.last_number) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the counter of series % can''t be set to %: there is no such document; for another first number use `invoicer series`', ahead.series, ahead.last_number
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_ahead', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER invoice_series_ahead AFTER UPDATE ON invoice_series
    REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION refuse_uncounted();

-- A document has a counter of its kind, and number n is refused while n-1 isn't there, unless n is the first one. As numbers are
-- unique, those of a statement are consecutive when they span no more than they are; then only the first one's predecessor is
-- looked for. What a worker would get wrong that knows other settings, or none, is refused.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    run     record;
    counter invoice_series;
    wrong   text;
BEGIN
    FOR run IN SELECT series, period, min(kind) AS kind, max(kind) AS other, min(number) AS first, max(number) AS last, count(*) AS members,
        min(series_version) AS version, max(series_version) AS newest, count(series_version) AS versions
        FROM added GROUP BY series, period LOOP
        SELECT * INTO counter FROM invoice_series WHERE series = run.series AND period = run.period;
        IF run.kind <> run.other OR run.kind IS DISTINCT FROM counter.kind THEN
            RAISE EXCEPTION 'series % refused: it has no counter for this kind of document in period "%"', run.series, run.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_counted', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.last - run.first >= run.members OR run.first < counter.first_number OR run.first > counter.first_number AND NOT EXISTS (
            SELECT FROM invoices WHERE series = run.series AND period = run.period AND number = run.first - 1) THEN
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
        SELECT invoice_number INTO wrong FROM added WHERE series = run.series AND period = run.period
            AND invoice_number <> print_number(counter.prefix, counter.width, counter.suffix, number) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'invoice number % refused: it isn''t in the format of series %', wrong, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_series_format', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.versions < run.members AND counter.period <> '' THEN
            SELECT period_of(rule.period, rule.first_month, rule.timezone, added.issued_at) INTO wrong FROM added, series rule
            WHERE added.series = run.series AND added.period = run.period AND added.series_version IS NULL
                AND rule.series = run.series AND rule.version = counter.settings
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

-- +goose Down

LOCK TABLE series, invoice_jobs, invoice_series, invoices IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM series WHERE origin = 'command') THEN
        RAISE EXCEPTION 'migrating down refused: it would delete what was set for series by command'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'series';
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    run record;
BEGIN
    FOR run IN SELECT series, period, min(kind) AS kind, max(kind) AS other, min(number) AS first, max(number) AS last, count(*) AS members
        FROM added GROUP BY series, period LOOP
        IF run.kind <> run.other OR run.kind IS DISTINCT FROM (
            SELECT kind FROM invoice_series WHERE series = run.series AND period = run.period) THEN
            RAISE EXCEPTION 'series % refused: it has no counter for this kind of document in period "%"', run.series, run.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_counted', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.last - run.first >= run.members OR run.first > 1 AND NOT EXISTS (
            SELECT FROM invoices WHERE series = run.series AND period = run.period AND number = run.first - 1) THEN
            RAISE EXCEPTION 'numbers % to % of series % refused: one before them, or between them, is not there', run.first, run.last, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_gapless', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_series() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Two first periods of one series must not pass each other unseen.
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.' || NEW.series, 0));
        IF NEW.last_number <> 0 THEN
            RAISE EXCEPTION 'series % refused: a counter begins at 0', NEW.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_begin', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF EXISTS (SELECT FROM invoice_series other WHERE other.series = NEW.series AND other.kind <> NEW.kind) THEN
            RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', NEW.series, NEW.kind
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.series, NEW.period, NEW.kind) = (OLD.series, OLD.period, OLD.kind) AND NEW.last_number >= OLD.last_number THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% of series % refused: a counter is never renamed, lowered or deleted', TG_OP, OLD.series
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_forward', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

DROP TRIGGER invoice_series_ahead ON invoice_series;
DROP FUNCTION refuse_uncounted(), settle_counter(text, text, text, bigint, bigint, integer);
DROP TABLE series;
DROP FUNCTION guard_settings(), apply_settings(), number_affixes(text, text, text), print_number(text, integer, text, bigint),
    period_of(text, integer, text, timestamptz);
ALTER TABLE invoices DROP COLUMN series_version;
ALTER TABLE invoice_series DROP COLUMN settings, DROP COLUMN state, DROP COLUMN first_number, DROP COLUMN prefix, DROP COLUMN width, DROP COLUMN suffix;
DROP INDEX invoice_jobs_dispatchable_idx, invoice_jobs_paused_idx;
ALTER TABLE invoice_jobs DROP COLUMN paused_series;
