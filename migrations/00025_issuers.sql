-- +goose Up

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- In the order in which record_ends_of_issuers and a writer take them: else the two might wait for each other.
LOCK TABLE invoice_jobs, series, invoice_series, invoices, duplicate_attempts IN ACCESS EXCLUSIVE MODE;

-- The legal entities that issue invoices: each change is a row, and the highest version holds. Without any there is one that has no
-- name, and that is '' everywhere.
CREATE TABLE issuers (
    issuer     text        NOT NULL,
    version    integer     NOT NULL DEFAULT 1,
    name       text,
    address    text,
    postcode   text,
    city       text,
    region     text,
    country    text,
    vat_id     text,
    tax_id     text,
    register   text,
    currency   text,
    timezone   text,
    change     text        NOT NULL DEFAULT 'opened',
    changed_at timestamptz NOT NULL DEFAULT now(),
    actor      text        NOT NULL DEFAULT session_user,
    role       text        NOT NULL DEFAULT session_user,
    note       text,
    CONSTRAINT issuers_pkey PRIMARY KEY (issuer, version),
    CONSTRAINT issuers_issuer_check CHECK (issuer ~ '^[A-Z0-9-]+$' AND length(issuer) <= 32),
    CONSTRAINT issuers_country_check CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT issuers_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT issuers_texts_check CHECK (octet_length(concat(name, address, postcode, city, region, vat_id, tax_id, register, timezone)) <= 8000),
    CONSTRAINT issuers_change_check CHECK (octet_length(change) <= 2000 AND octet_length(actor) <= 500 AND octet_length(note) <= 4000)
);

-- The format of a series without periods may hold from a number on: until then the one before it does. Its counter has both.
ALTER TABLE series
    ADD COLUMN issuer      text   NOT NULL DEFAULT '',
    ADD COLUMN from_number bigint NOT NULL DEFAULT 0 CONSTRAINT series_from_number_check CHECK (from_number >= 0 AND (from_number = 0 OR period = 'none'));
ALTER TABLE invoice_series
    ADD COLUMN issuer      text NOT NULL DEFAULT '',
    ADD COLUMN next_from   bigint,
    ADD COLUMN next_prefix text,
    ADD COLUMN next_width  integer,
    ADD COLUMN next_suffix text;
ALTER TABLE invoices ADD COLUMN issuer text NOT NULL DEFAULT '';
ALTER TABLE invoice_jobs ADD COLUMN issuer text NOT NULL DEFAULT '';
ALTER TABLE duplicate_attempts ADD COLUMN issuer text NOT NULL DEFAULT '';

-- Whether two issuers may have the same ids and numbers. The first issuer is opened by a command, which builds the unique indexes
-- for that beside running workers, and swaps them for those that know no issuer.
CREATE FUNCTION issuers_apart() RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT count(*) = 6 FROM pg_catalog.pg_constraint AS c, pg_catalog.pg_attribute AS a
    WHERE c.conrelid IN ('invoices'::regclass, 'invoice_series'::regclass, 'series'::regclass) AND contype IN ('p', 'u')
        AND a.attrelid = c.conrelid AND a.attname = 'issuer' AND a.attnum = ANY (c.conkey)
$$;

-- +goose StatementBegin
CREATE FUNCTION guard_issuers() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    newest integer;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '% on issuers refused: what held when is kept; a change is a new version', TG_OP
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuers_append_only', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF NOT issuers_apart() THEN
        RAISE EXCEPTION 'issuer % refused: no two issuers may have the same ids and numbers yet: open the first one by `invoicer issuer open`', NEW.issuer
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuers_apart', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.issuers', 0));
    SELECT max(version) INTO newest FROM issuers WHERE issuer = NEW.issuer;
    IF NEW.version IS DISTINCT FROM coalesce(newest, 0) + 1 THEN
        RAISE EXCEPTION 'version % of issuer % refused: the next one is %', NEW.version, NEW.issuer, coalesce(newest, 0) + 1
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'issuers_pkey', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    NEW.changed_at := now();
    NEW.role := session_user;
    RETURN NEW;
END $$;

-- An issuer begins with the settings that hold without one.
CREATE FUNCTION settle_issuer() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO settings (issuer, version, strict, dates_earliest, dates_latest_seconds, change, actor, note)
        SELECT NEW.issuer, 1, strict, dates_earliest, dates_latest_seconds, 'those that held without an issuer', NEW.actor, NEW.note
        FROM settings WHERE issuer = '' ORDER BY version DESC LIMIT 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER issuers_guard BEFORE INSERT OR UPDATE OR DELETE ON issuers FOR EACH ROW EXECUTE FUNCTION guard_issuers();
CREATE TRIGGER issuers_no_truncate BEFORE TRUNCATE ON issuers FOR EACH STATEMENT EXECUTE FUNCTION guard_issuers();
CREATE TRIGGER issuers_settled AFTER INSERT ON issuers FOR EACH ROW WHEN (NEW.version = 1) EXECUTE FUNCTION settle_issuer();

DROP FUNCTION settle_counter(text, text, text, bigint, bigint, integer), import_printed_by(text, bigint);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before series;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '% on series refused: what held when is kept; a change is a new version', TG_OP
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_append_only', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF NEW.issuer <> '' THEN -- apart: workers of the release before may not read settings, which each issuer has
        PERFORM FROM settings WHERE issuer = NEW.issuer;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'series % refused: issuer % wasn''t opened', NEW.series, NEW.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.' || CASE WHEN NEW.issuer = '' THEN NEW.series ELSE NEW.issuer || '/' || NEW.series END, 0)); -- as for its counters
    SELECT * INTO before FROM series WHERE issuer = NEW.issuer AND series = NEW.series ORDER BY version DESC LIMIT 1;
    IF NEW.version IS DISTINCT FROM coalesce(before.version, 0) + 1 THEN
        RAISE EXCEPTION 'version % of series % refused: the next one is %', NEW.version, NEW.series, coalesce(before.version, 0) + 1
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'series_pkey', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF before.kind <> NEW.kind OR EXISTS (SELECT FROM invoice_series WHERE issuer = NEW.issuer AND series = NEW.series AND kind <> NEW.kind) THEN
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION apply_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM invoice_series WHERE issuer = NEW.issuer AND series = NEW.series ORDER BY issuer, series, period FOR NO KEY UPDATE; -- in the writers' order
    UPDATE invoice_series SET settings = NEW.version WHERE issuer = NEW.issuer AND series = NEW.series;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- What follows is as it was, but for the issuer.

-- +goose StatementBegin
CREATE FUNCTION settle_counter(of_issuer text, of_series text, of_period text, of_kind text, INOUT last_number bigint, INOUT first_number bigint, INOUT settings integer,
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
CREATE OR REPLACE FUNCTION guard_series() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    rule series;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.issuer <> '' THEN -- apart: workers of the release before may not read settings, which each issuer has
            PERFORM FROM settings WHERE issuer = NEW.issuer;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'series % refused: issuer % wasn''t opened', NEW.series, NEW.issuer
                    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
            END IF;
        END IF;
        -- Two first periods of one series must not pass each other unseen.
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.' || CASE WHEN NEW.issuer = '' THEN NEW.series ELSE NEW.issuer || '/' || NEW.series END, 0));
        IF NEW.last_number <> 0 THEN
            RAISE EXCEPTION 'series % refused: a counter begins at 0; its first number is a setting of the series', NEW.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_begin', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF EXISTS (SELECT FROM invoice_series other WHERE other.issuer = NEW.issuer AND other.series = NEW.series AND other.kind <> NEW.kind) THEN
            RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', NEW.series, NEW.kind
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT * INTO rule FROM series WHERE issuer = NEW.issuer AND series = NEW.series ORDER BY version DESC LIMIT 1;
        IF rule.version IS NOT NULL AND NEW.period !~ (CASE
            WHEN rule.period = 'none' THEN '^$' WHEN rule.period = 'year' AND rule.first_month = 1 THEN '^[0-9]{4}$' ELSE '^[0-9]{4}-[0-9]{2}$' END) THEN
            RAISE EXCEPTION 'period "%" of series % refused: its periods are: %', NEW.period, NEW.series, rule.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_period', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF NEW.period < rule.first_period THEN
            RAISE EXCEPTION 'period % of series % refused: the series begins with %', NEW.period, NEW.series, rule.first_period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_period', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT * INTO NEW.last_number, NEW.first_number, NEW.settings, NEW.state, NEW.prefix, NEW.width, NEW.suffix,
            NEW.next_from, NEW.next_prefix, NEW.next_width, NEW.next_suffix
            FROM settle_counter(NEW.issuer, NEW.series, NEW.period, NEW.kind, 0, 1, 0);
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.issuer, NEW.series, NEW.period, NEW.kind) = (OLD.issuer, OLD.series, OLD.period, OLD.kind) AND NEW.last_number >= OLD.last_number THEN
            IF NEW.settings = OLD.settings AND (NEW.state, NEW.first_number, NEW.prefix, NEW.width, NEW.suffix) = (OLD.state, OLD.first_number, OLD.prefix, OLD.width, OLD.suffix)
                AND (NEW.next_from, NEW.next_prefix, NEW.next_width, NEW.next_suffix) IS NOT DISTINCT FROM (OLD.next_from, OLD.next_prefix, OLD.next_width, OLD.next_suffix) THEN
                RETURN NEW;
            END IF;
            IF NEW.last_number = OLD.last_number THEN
                SELECT * INTO NEW.last_number, NEW.first_number, NEW.settings, NEW.state, NEW.prefix, NEW.width, NEW.suffix,
                    NEW.next_from, NEW.next_prefix, NEW.next_width, NEW.next_suffix
                    FROM settle_counter(OLD.issuer, OLD.series, OLD.period, OLD.kind, OLD.last_number, OLD.first_number, OLD.settings);
                RETURN NEW;
            END IF;
        END IF;
    END IF;
    RAISE EXCEPTION '% of series % refused: a counter is never renamed, lowered or deleted', TG_OP, OLD.series
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_forward', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
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

DROP FUNCTION printed_forms();
-- The numbers that series could still print, as one form for each counter, and one for each series' periods that have no counter yet:
-- a number is of that form if it begins with the literal and matches the pattern. The groups of the pattern are what roles says. Its
-- digits are at least width, and it is still to be printed if they are at least next, and if its period isn't before begins: a series
-- has no documents before its first period, and one that dates them on their day of issue has none before today's.
CREATE FUNCTION printed_forms() RETURNS TABLE (of_issuer text, printer text, own boolean, literal text, pattern text, roles text[], width integer, next numeric, begins text)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH newest AS MATERIALIZED (
        SELECT DISTINCT ON (issuer, series) *, replace(format, '{series}', series) AS named FROM series ORDER BY issuer, series, version DESC
    ), quoted AS (
        SELECT *, regexp_replace(named, '([][\\.^$*+?(){}|])', '\\\1', 'g') AS text,
            greatest(first_period, CASE WHEN date = 'issue' THEN period_of(period, first_month, timezone, clock_timestamp()) END) AS begins
        FROM newest WHERE state <> 'closed'
    )
    SELECT issuer, series, true, prefix, '^' || regexp_replace(prefix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '([0-9]+)'
        || regexp_replace(suffix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '$', ARRAY['number'], invoice_series.width, last_number + 1, ''
    FROM invoice_series WHERE state <> 'closed' AND settings > 0
    UNION ALL
    SELECT issuer, series, true, next_prefix, '^' || regexp_replace(next_prefix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '([0-9]+)'
        || regexp_replace(next_suffix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '$', ARRAY['number'], next_width, greatest(next_from, last_number + 1), ''
    FROM invoice_series WHERE state <> 'closed' AND next_from IS NOT NULL
    UNION ALL
    SELECT issuer, series, true, affixes.prefix, '^' || regexp_replace(affixes.prefix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '([0-9]+)'
        || regexp_replace(affixes.suffix, '([][\\.^$*+?(){}|])', '\\\1', 'g') || '$', ARRAY['number'], affixes.width, first_number, ''
    FROM quoted, number_affixes(format, series, first_period) AS affixes
    WHERE NOT EXISTS (SELECT FROM invoice_series c WHERE c.issuer = quoted.issuer AND c.series = quoted.series AND c.period = first_period) AND (period = 'none' OR first_period <> '')
    UNION ALL
    SELECT issuer, series, false, substring(named FROM '^[^{]*'),
        '^' || regexp_replace(replace(replace(replace(replace(text,
            '\{period\}', CASE WHEN period = 'year' AND first_month = 1 THEN '([0-9]{4})' ELSE '([0-9]{4}-[0-9]{2})' END),
            '\{year\}', '([0-9]{4})'), '\{yy\}', '([0-9]{2})'), '\{month\}', '([0-9]{2})'), '\\\{number(:0[0-9]+)?\\\}', '([0-9]+)') || '$',
        ARRAY(SELECT found[1] FROM regexp_matches(named, '\{(period|year|yy|month|number)[:}]', 'g') WITH ORDINALITY AS placeholders (found, place) ORDER BY place),
        coalesce(substring(named FROM '\{number:0([0-9]+)\}')::integer, 1), 1, left(begins, CASE period WHEN 'month' THEN 7 ELSE 4 END)
    FROM quoted WHERE period <> 'none'
$$;

-- Whether what a form's groups have matched is a number that is still to be printed.
CREATE FUNCTION is_still_printed(parts text[], roles text[], width integer, next numeric, begins text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(length(digits) = greatest(width, length(digits::numeric::text)) AND digits::numeric >= next
        AND left(coalesce(parts[array_position(roles, 'period')], coalesce(parts[array_position(roles, 'year')], '20' || parts[array_position(roles, 'yy')])
            || coalesce('-' || parts[array_position(roles, 'month')], ''), begins), length(begins)) >= begins, false)
    FROM (SELECT parts[array_position(roles, 'number')] AS digits) AS matched
$$;

-- Those of the numbers that a series could still print. Where a counter's form fits, it decides, and not the form of other periods.
CREATE FUNCTION still_printed(issuers text[], numbers text[]) RETURNS TABLE (of_issuer text, printed text, printer text) LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH forms AS MATERIALIZED (SELECT * FROM printed_forms())
    SELECT asked.issuer, number, f.printer FROM unnest(issuers, numbers) AS asked (issuer, number)
    JOIN forms AS f ON f.of_issuer = asked.issuer AND starts_with(number, f.literal)
    CROSS JOIN LATERAL (SELECT regexp_match(number, f.pattern)) AS matched (parts)
    WHERE parts IS NOT NULL AND is_still_printed(parts, f.roles, f.width, f.next, f.begins)
        AND (own OR NOT EXISTS (SELECT FROM forms AS o WHERE o.own AND o.of_issuer = f.of_issuer AND o.printer = f.printer AND number ~ o.pattern))
$$;

-- For imports of the release before.
CREATE OR REPLACE FUNCTION still_printed(numbers text[]) RETURNS TABLE (printed text, printer text) LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT printed, printer FROM still_printed(array_fill(''::text, ARRAY[cardinality(numbers)]), numbers)
$$;

CREATE FUNCTION import_printed_by(issuer_of_series text, of_series text, from_id bigint) RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH forms AS MATERIALIZED (SELECT * FROM printed_forms() WHERE of_issuer = issuer_of_series AND printer = of_series)
    SELECT invoice_number FROM imported_invoices AS i
    JOIN forms AS f ON starts_with(invoice_number, f.literal)
    CROSS JOIN LATERAL (SELECT regexp_match(invoice_number, f.pattern)) AS matched (parts)
    WHERE i.issuer = issuer_of_series AND i.id >= from_id AND withdrawn_at IS NULL
        AND parts IS NOT NULL AND is_still_printed(parts, f.roles, f.width, f.next, f.begins)
        AND (own OR NOT EXISTS (SELECT FROM forms AS o WHERE o.own AND invoice_number ~ o.pattern))
    LIMIT 1
$$;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_imported() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
    WHERE (SELECT id FROM imported_invoices i WHERE i.issuer = added.issuer AND i.transaction_id = added.transaction_id AND i.withdrawn_at IS NULL) IS NOT NULL
       OR (SELECT id FROM imported_invoices i WHERE i.issuer = added.issuer AND i.idempotency_key = added.idempotency_key AND i.withdrawn_at IS NULL) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction_id % refused: it, or its idempotency_key %, was invoiced elsewhere, as imported_invoices says',
            claimed.transaction_id, claimed.idempotency_key
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoices_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    SELECT invoice_number INTO claimed FROM added
    WHERE (SELECT id FROM imported_invoices i WHERE i.issuer = added.issuer AND i.invoice_number = added.invoice_number AND i.withdrawn_at IS NULL LIMIT 1) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'invoice_number % refused: an invoice of elsewhere has it, as imported_invoices says', claimed.invoice_number
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoices_number_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_invoiced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
    SELECT added.issuer INTO invoiced FROM added WHERE added.issuer <> '' AND NOT EXISTS (SELECT FROM issuers WHERE issuers.issuer = added.issuer) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import refused: issuer % wasn''t opened', invoiced.issuer
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_numbers', 20)); -- against series, as below
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_invoices', 20));
    SELECT printed, printer INTO invoiced FROM (SELECT array_agg(issuer) AS issuers, array_agg(invoice_number) AS numbers FROM added) AS asked, still_printed(asked.issuers, asked.numbers) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import of invoice_number % refused: series % could still print it', invoiced.printed, invoiced.printer
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'imported_invoices_number_not_printable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF NOT EXISTS (SELECT FROM invoices) THEN
        RETURN NULL;
    END IF;
    SELECT transaction_id, idempotency_key INTO invoiced FROM added
    WHERE (SELECT id FROM invoices i WHERE i.issuer = added.issuer AND i.transaction_id = added.transaction_id) IS NOT NULL
       OR (SELECT id FROM invoices i WHERE i.issuer = added.issuer AND i.idempotency_key = added.idempotency_key) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import of transaction_id % refused: it, or its idempotency_key %, is invoiced here', invoiced.transaction_id, invoiced.idempotency_key
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'imported_invoices_not_invoiced', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    SELECT invoice_number INTO invoiced FROM added
    WHERE (SELECT id FROM invoices i WHERE i.issuer = added.issuer AND i.invoice_number = added.invoice_number) IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'import of invoice_number % refused: it is the number of an invoice here', invoiced.invoice_number
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'imported_invoices_number_not_printed', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_imported_numbers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    before  series;
    newest  bigint;
    claimed text;
BEGIN
    IF TG_RELID <> 'series'::regclass THEN
        RAISE EXCEPTION 'refuse_imported_numbers is for series' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT * INTO before FROM series WHERE issuer = NEW.issuer AND series = NEW.series AND version = NEW.version - 1;
    IF NEW.state = 'closed' OR (before.format, before.period, before.first_month, before.first_number, before.first_period)
        = (NEW.format, NEW.period, NEW.first_month, NEW.first_number, NEW.first_period) THEN
        RETURN NULL;
    END IF;
    -- Most is looked through before the lock, for which imports wait: then only what may have been committed since, by imports that
    -- had drawn their ids already. The lock isn't that of the writers of invoices, who would wait for it whatever their series.
    SELECT coalesce(max(id), 0) INTO newest FROM imported_invoices;
    claimed := import_printed_by(NEW.issuer, NEW.series, 0);
    IF claimed IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_numbers', 20));
        claimed := import_printed_by(NEW.issuer, NEW.series, newest - 100000);
    END IF;
    IF claimed IS NOT NULL THEN
        RAISE EXCEPTION 'it could print %, which is the number of an import: choose another format, or a later first number', claimed
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_not_imported', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_standing_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    newest integer;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION '% on settings refused: what held when is kept; a change is a new version', TG_OP
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'settings_append_only', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    IF NEW.issuer <> '' THEN
        PERFORM FROM issuers WHERE issuer = NEW.issuer;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'settings refused: issuer % wasn''t opened', NEW.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    rule  record;
    wrong record;
    run   record;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unsettled is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR run IN SELECT DISTINCT added.issuer FROM added LOOP
        SELECT version, dates_earliest::timestamp AT TIME ZONE 'UTC' AS earliest, clock_timestamp() + make_interval(secs => dates_latest_seconds) AS latest
            INTO rule FROM settings WHERE settings.issuer = run.issuer ORDER BY version DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'invoice refused: issuer % wasn''t opened', run.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT transaction_id, issued_at, settings_version INTO wrong FROM added
            WHERE added.issuer = run.issuer AND (settings_version <> rule.version OR issued_at < rule.earliest OR issued_at > rule.latest) LIMIT 1;
        IF wrong.settings_version <> rule.version THEN
            RAISE EXCEPTION 'the settings have changed since version %', wrong.settings_version
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_settings_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        ELSIF wrong.transaction_id IS NOT NULL THEN
            RAISE EXCEPTION 'issued_at of transaction_id % refused: dates from % to % are allowed now', wrong.transaction_id, rule.earliest, rule.latest
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dates', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unopened() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID NOT IN ('series'::regclass, 'invoice_series'::regclass) THEN
        RAISE EXCEPTION 'refuse_unopened is for series and invoice_series' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (SELECT strict FROM settings WHERE issuer = NEW.issuer ORDER BY version DESC LIMIT 1)
        AND NOT EXISTS (SELECT FROM series WHERE series.issuer = NEW.issuer AND series.series = NEW.series) AND NOT EXISTS (SELECT FROM invoice_series c WHERE c.issuer = NEW.issuer AND c.series = NEW.series) THEN
        RAISE EXCEPTION 'series % refused: it wasn''t opened, and the setting strict allows no other', NEW.series
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'series_opened', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_last_date() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT max(last_date) INTO NEW.last_date FROM invoice_series WHERE issuer = NEW.issuer AND series = NEW.series;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the date % of the counter of series % refused: its last document is dated %', NEW.last_date, OLD.series, OLD.last_date
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_last_date', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
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

-- record_good_ends, which workers of the release before still call, under a new name and with one more argument: issuers has that
-- of each job. A good end is about an invoice or an import of the same issuer.
-- +goose StatementBegin
CREATE FUNCTION record_ends_of_issuers(
    issuers text[], job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
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
                WHEN jobs.payload IS NULL THEN (jobs.issuer, jobs.transaction_id) <> (a.issuer, a.transaction_id)
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL AND imported.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(issuers, job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, imported_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only, took)
            WITH ORDINALITY AS a (issuer, job_id, outcome, transaction_id, idempotency_key, invoice_id, imported_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, took, member)
        LEFT JOIN LATERAL (
            SELECT id, state, issuer, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id, created_at FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.issuer = a.issuer AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
        LEFT JOIN LATERAL (
            SELECT id FROM imported_invoices
            WHERE imported_invoices.id = a.imported_id AND imported_invoices.issuer = a.issuer AND imported_invoices.transaction_id = a.transaction_id AND a.outcome = 'duplicate'
                AND imported_invoices.invoice_number = a.invoice_number AND imported_invoices.withdrawn_at IS NULL AND a.invoice_id IS NULL
        ) AS imported ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, issuer, transaction_id, idempotency_key, invoice_id, imported_id, reason, producer, worker, before_invoice)
        SELECT job_id, issuer, transaction_id, idempotency_key, found_id, found_import, reason, producer, worker,
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

-- The jobs of a worker that knows no issuer name none.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_good_ends(
    job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], imported_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[],
    took double precision[], counting_worker text, counting_lane integer
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY SELECT * FROM record_ends_of_issuers(array_fill(''::text, ARRAY[cardinality(job_ids)]), job_ids, outcomes, transaction_ids, idempotency_keys,
        invoice_ids, imported_ids, invoiced, fingerprints, invoice_numbers, reasons, producers, workers, attempts, digests, ledger_only, took,
        counting_worker, counting_lane);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept_problems(body jsonb, payload text, complete boolean) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    problems text[] := '{}';
    more     text[];
    fields   text[];
    field    text;
    most     integer;
    value    jsonb;
    version  numeric := 1;
    instant  text;
BEGIN
    value := body -> 'version';
    IF coalesce(jsonb_typeof(value), 'null') <> 'null' THEN
        IF jsonb_typeof(value) <> 'number' THEN
            problems := problems || 'version must be the number of a known version, such as 1'::text;
        ELSE
            version := value::numeric;
            IF version <> trunc(version) OR version < 1 OR version > 2147483647 THEN
                problems := problems || 'version must be the number of a known version, such as 1'::text;
            END IF;
        END IF;
    END IF;

    -- Of a newer version, a newer worker knows the rest.
    fields := ARRAY['transaction_id', 'idempotency_key', 'producer', 'issuer'] || CASE WHEN version > 1 THEN '{}' ELSE '{series,credits_transaction_id}'::text[] END;
    SELECT array_agg(accept_name(key) || ' must not be given twice' ORDER BY key) INTO more FROM (
        SELECT key FROM json_object_keys(payload::json) AS key WHERE version <= 1 OR key = ANY (fields || 'version'::text)
        GROUP BY key HAVING count(*) > 1) AS twice;
    problems := problems || more;

    FOREACH field IN ARRAY fields LOOP
        value := body -> field;
        most := CASE field WHEN 'idempotency_key' THEN 255 WHEN 'producer' THEN 64 WHEN 'series' THEN 32 WHEN 'issuer' THEN 32 ELSE 128 END;
        IF coalesce(jsonb_typeof(value), 'null') = 'null' THEN
            IF field = 'transaction_id' THEN
                problems := problems || 'transaction_id is required'::text;
            END IF;
        ELSIF jsonb_typeof(value) <> 'string' THEN
            problems := problems || (field || ' must be a string');
        ELSIF length(value #>> '{}') NOT BETWEEN (CASE field WHEN 'issuer' THEN 0 ELSE 1 END) AND most
            OR (value #>> '{}') ~ (CASE WHEN field IN ('series', 'issuer') THEN '[^A-Z0-9-]' ELSE '[^A-Za-z0-9._:/@+=-]' END) THEN
            problems := problems || format('%s must be 1 to %s characters of %s', field, most,
                CASE WHEN field IN ('series', 'issuer') THEN 'A-Z 0-9 -' ELSE 'A-Z a-z 0-9 . _ : / @ + = -' END);
        END IF;
    END LOOP;
    IF version > 1 OR NOT complete THEN
        RETURN problems;
    END IF;

    SELECT array_agg(accept_name(key) || ' is no field of a job' ORDER BY key) INTO more FROM jsonb_object_keys(body) AS key
    WHERE key NOT IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer', 'series', 'credits_transaction_id',
        'issued_at', 'currency', 'lines', 'metadata') AND key <> ALL (accept_details());
    problems := problems || more;

    FOREACH field IN ARRAY accept_details() LOOP
        IF coalesce(jsonb_typeof(body -> field), 'null') NOT IN ('null', 'string') THEN
            problems := problems || (field || ' must be a string');
        END IF;
    END LOOP;

    instant := upper(body ->> 'issued_at');
    IF instant IS NULL THEN
        problems := problems || 'issued_at is required'::text;
    ELSIF jsonb_typeof(body -> 'issued_at') <> 'string'
        OR instant !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' THEN
        problems := problems || 'issued_at must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z'::text;
    ELSIF instant ~ '\.[0-9]{6}[0-9]*[1-9]' THEN
        problems := problems || 'issued_at must not be finer than a microsecond'::text;
    END IF;

    IF coalesce(body ->> 'currency', '') = '' THEN
        problems := problems || 'currency is required'::text;
    ELSIF (body ->> 'currency') !~ '^[A-Z]{3}$' THEN
        problems := problems || 'currency must be an ISO 4217 code with a minor unit, such as GBP'::text;
    END IF;

    value := body -> 'metadata';
    IF coalesce(jsonb_typeof(value), 'null') <> 'null' THEN
        IF jsonb_typeof(value) <> 'object' OR EXISTS (SELECT FROM jsonb_each(CASE jsonb_typeof(value) WHEN 'object' THEN value ELSE '{}' END) AS m
            WHERE jsonb_typeof(m.value) <> 'string') THEN
            problems := problems || 'metadata must be an object that holds nothing but strings'::text;
        END IF;
    END IF;

    value := body -> 'lines';
    IF coalesce(jsonb_typeof(value), 'null') <> 'array' OR jsonb_array_length(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) NOT BETWEEN 1 AND 5000 THEN
        RETURN problems || 'lines must hold 1 to 5,000 lines'::text;
    END IF;
    SELECT array_agg(format('lines[%s] must be an object', n - 1) ORDER BY n) INTO more
    FROM jsonb_array_elements(value) WITH ORDINALITY AS l (line, n) WHERE jsonb_typeof(line) <> 'object';
    problems := problems || more;

    -- A number that isn't written out in full is left to the worker, as casting it might take gigabytes.
    SELECT array_agg(format('lines[%s].%s %s', n - 1, name, problem) ORDER BY n, name) INTO more FROM (
        SELECT n, name, CASE
            WHEN kind IS NULL OR kind = 'null' THEN CASE WHEN name IN ('quantity', 'unit_price') THEN 'is required' END
            WHEN kind NOT IN ('number', 'string') OR text !~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$' THEN 'must be a decimal number'
            WHEN length(text) > 40 OR text ~ '[eE]' THEN NULL
            WHEN abs(text::numeric) >= 1e12 THEN 'must be below 1000000000000 in size'
            WHEN scale(trim_scale(text::numeric)) > 6 THEN 'must not have more than 6 decimals'
            WHEN name LIKE '%percent' AND text::numeric NOT BETWEEN 0 AND 100 THEN 'must be a percentage from 0 to 100'
        END AS problem
        FROM (
            SELECT n, name, jsonb_typeof(line -> name) AS kind, line ->> name AS text
            FROM jsonb_array_elements(value) WITH ORDINALITY AS l (line, n),
                unnest(ARRAY['quantity', 'unit_price', 'discount_percent', 'tax_percent']) AS name
            WHERE jsonb_typeof(line) = 'object'
        ) AS member
    ) AS decimals WHERE problem IS NOT NULL;
    problems := problems || more;

    SELECT array_agg(format('lines[%s].%s %s', n - 1, accept_name(name), problem) ORDER BY n, name) INTO more FROM (
        SELECT n, m.key AS name, CASE
            WHEN m.key IN ('sku', 'description') THEN CASE WHEN jsonb_typeof(m.value) NOT IN ('string', 'null') THEN 'must be a string' END
            WHEN m.key NOT IN ('quantity', 'unit_price', 'discount_percent', 'tax_percent') THEN 'is no field of a job'
        END AS problem
        FROM jsonb_array_elements(value) WITH ORDINALITY AS l (line, n),
            jsonb_each(CASE jsonb_typeof(line) WHEN 'object' THEN line ELSE '{}' END) AS m
    ) AS others WHERE problem IS NOT NULL;
    RETURN problems || more;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept(payload text, queue text DEFAULT 'default', job_id uuid DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    body     jsonb;
    complete boolean := true;
    problems text[] := '{}';
    own_id   text := coalesce(accept.job_id, gen_random_uuid())::text;
    no_object CONSTANT text := 'payload must be a JSON object, in valid text without U+0000 and lone surrogates';
BEGIN
    IF accept.queue IS NULL OR accept.queue !~ '^[a-z0-9_-]{1,255}$' THEN
        problems := problems || 'queue must be 1 to 255 characters of a-z 0-9 _ -'::text;
    END IF;
    IF accept.payload IS NULL OR octet_length(accept.payload) > 1048576 THEN
        problems := problems || format('payload has %s bytes and must have 1 to 1,048,576', coalesce(octet_length(accept.payload), 0));
    ELSE
        BEGIN
            BEGIN
                body := accept.payload::jsonb;
            EXCEPTION WHEN numeric_value_out_of_range THEN
                -- A number that the server can't hold may be a good one, such as 0e-99999: that is left to the worker.
                complete := false;
                SELECT coalesce(jsonb_object_agg(m.key, m.value::jsonb), '{}') INTO body FROM json_each(accept.payload::json) AS m
                WHERE m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer');
            END;
            problems := problems || CASE WHEN jsonb_typeof(body) = 'object' THEN accept_problems(body, accept.payload, complete) ELSE ARRAY[no_object] END;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            problems := problems || no_object; -- the server's own message would quote the payload
        END;
    END IF;
    IF cardinality(problems) > 0 THEN
        RAISE EXCEPTION 'invalid job: %', array_to_string(problems[1:20], '; ')
                || CASE WHEN cardinality(problems) > 20 THEN format('; and %s more', cardinality(problems) - 20) ELSE '' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'correct this in the billing service and send the job again',
                COLUMN = coalesce(substring(problems[1] FROM '^[A-Za-z0-9_.-]+'), 'payload'), TABLE = 'invoice_jobs';
    END IF;

    INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, producer, queue, payload, state)
    VALUES (own_id, coalesce(body ->> 'issuer', ''), body ->> 'transaction_id', coalesce(body ->> 'idempotency_key', body ->> 'transaction_id'), body ->> 'producer',
        accept.queue, accept.payload, 'accepted')
    ON CONFLICT ON CONSTRAINT invoice_jobs_job_id_key DO NOTHING;
    IF FOUND THEN
        RETURN own_id;
    END IF;
    IF NOT EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = own_id AND j.issuer = coalesce(body ->> 'issuer', '') AND j.transaction_id = body ->> 'transaction_id'
            AND (j.payload IS NULL OR j.payload = accept.payload)) THEN
        RAISE EXCEPTION 'job_id % belongs to another job', own_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoice_jobs_job_id_key', TABLE = 'invoice_jobs', HINT = 'use a new id for each job, or none';
    END IF;
    -- The commit of the row that was found may have reached this server alone. A transaction that has written waits for its
    -- standbys, and one that has only read doesn't.
    PERFORM pg_logical_emit_message(true, 'invoicer', '');
    RETURN own_id;
END $$;
-- +goose StatementEnd

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
LOCK TABLE invoice_jobs, series, invoice_series, invoices, duplicate_attempts, issuers IN ACCESS EXCLUSIVE MODE; -- as above
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM issuers) OR issuers_apart() THEN
        RAISE EXCEPTION 'migrating down refused: issuers were opened'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'issuers';
    END IF;
    IF EXISTS (SELECT FROM series WHERE from_number > 0) THEN
        RAISE EXCEPTION 'migrating down refused: a format holds from a number on'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'series';
    END IF;
    -- Jobs that name an issuer which wasn't opened.
    IF EXISTS (SELECT FROM invoice_jobs WHERE issuer <> '') THEN
        RAISE EXCEPTION 'migrating down refused: jobs name an issuer'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_jobs';
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION record_ends_of_issuers(text[], text[], text[], text[], text[], bigint[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[],
    double precision[], text, integer);
DROP FUNCTION settle_counter(text, text, text, text, bigint, bigint, integer), printed_forms(), still_printed(text[], text[]), import_printed_by(text, text, bigint),
    is_still_printed(text[], text[], integer, numeric, text);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION apply_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM invoice_series WHERE series = NEW.series ORDER BY series, period FOR NO KEY UPDATE; -- in the writers' order
    UPDATE invoice_series SET settings = NEW.version WHERE series = NEW.series;
    RETURN NULL;
END $$;
-- +goose StatementEnd
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_uncounted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
CREATE OR REPLACE FUNCTION still_printed(numbers text[]) RETURNS TABLE (printed text, printer text) LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH forms AS MATERIALIZED (SELECT * FROM printed_forms())
    SELECT number, f.printer FROM unnest(numbers) AS number
    JOIN forms AS f ON starts_with(number, f.literal)
    CROSS JOIN LATERAL (SELECT (regexp_match(number, f.pattern))[1]) AS matched (digits)
    WHERE digits IS NOT NULL AND length(digits) = greatest(f.width, length(digits::numeric::text)) AND digits::numeric >= f.next
        AND (own OR NOT EXISTS (SELECT FROM forms AS o WHERE o.own AND o.printer = f.printer AND number ~ o.pattern))
$$;
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_imported() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_invoiced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_imported_numbers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_standing_settings() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unopened() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_last_date() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT max(last_date) INTO NEW.last_date FROM invoice_series WHERE series = NEW.series;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the date % of the counter of series % refused: its last document is dated %', NEW.last_date, OLD.series, OLD.last_date
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_last_date', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_good_ends(
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept_problems(body jsonb, payload text, complete boolean) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    problems text[] := '{}';
    more     text[];
    fields   text[];
    field    text;
    most     integer;
    value    jsonb;
    version  numeric := 1;
    instant  text;
BEGIN
    value := body -> 'version';
    IF coalesce(jsonb_typeof(value), 'null') <> 'null' THEN
        IF jsonb_typeof(value) <> 'number' THEN
            problems := problems || 'version must be the number of a known version, such as 1'::text;
        ELSE
            version := value::numeric;
            IF version <> trunc(version) OR version < 1 OR version > 2147483647 THEN
                problems := problems || 'version must be the number of a known version, such as 1'::text;
            END IF;
        END IF;
    END IF;

    -- Of a newer version, a newer worker knows the rest.
    fields := ARRAY['transaction_id', 'idempotency_key', 'producer'] || CASE WHEN version > 1 THEN '{}' ELSE '{series,credits_transaction_id}'::text[] END;
    SELECT array_agg(accept_name(key) || ' must not be given twice' ORDER BY key) INTO more FROM (
        SELECT key FROM json_object_keys(payload::json) AS key WHERE version <= 1 OR key = ANY (fields || 'version'::text)
        GROUP BY key HAVING count(*) > 1) AS twice;
    problems := problems || more;

    FOREACH field IN ARRAY fields LOOP
        value := body -> field;
        most := CASE field WHEN 'idempotency_key' THEN 255 WHEN 'producer' THEN 64 WHEN 'series' THEN 32 ELSE 128 END;
        IF coalesce(jsonb_typeof(value), 'null') = 'null' THEN
            IF field = 'transaction_id' THEN
                problems := problems || 'transaction_id is required'::text;
            END IF;
        ELSIF jsonb_typeof(value) <> 'string' THEN
            problems := problems || (field || ' must be a string');
        ELSIF length(value #>> '{}') NOT BETWEEN 1 AND most
            OR (value #>> '{}') ~ (CASE field WHEN 'series' THEN '[^A-Z0-9-]' ELSE '[^A-Za-z0-9._:/@+=-]' END) THEN
            problems := problems || format('%s must be 1 to %s characters of %s', field, most,
                CASE field WHEN 'series' THEN 'A-Z 0-9 -' ELSE 'A-Z a-z 0-9 . _ : / @ + = -' END);
        END IF;
    END LOOP;
    IF version > 1 OR NOT complete THEN
        RETURN problems;
    END IF;

    SELECT array_agg(accept_name(key) || ' is no field of a job' ORDER BY key) INTO more FROM jsonb_object_keys(body) AS key
    WHERE key NOT IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'series', 'credits_transaction_id',
        'issued_at', 'currency', 'lines', 'metadata') AND key <> ALL (accept_details());
    problems := problems || more;

    FOREACH field IN ARRAY accept_details() LOOP
        IF coalesce(jsonb_typeof(body -> field), 'null') NOT IN ('null', 'string') THEN
            problems := problems || (field || ' must be a string');
        END IF;
    END LOOP;

    instant := upper(body ->> 'issued_at');
    IF instant IS NULL THEN
        problems := problems || 'issued_at is required'::text;
    ELSIF jsonb_typeof(body -> 'issued_at') <> 'string'
        OR instant !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' THEN
        problems := problems || 'issued_at must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z'::text;
    ELSIF instant ~ '\.[0-9]{6}[0-9]*[1-9]' THEN
        problems := problems || 'issued_at must not be finer than a microsecond'::text;
    END IF;

    IF coalesce(body ->> 'currency', '') = '' THEN
        problems := problems || 'currency is required'::text;
    ELSIF (body ->> 'currency') !~ '^[A-Z]{3}$' THEN
        problems := problems || 'currency must be an ISO 4217 code with a minor unit, such as GBP'::text;
    END IF;

    value := body -> 'metadata';
    IF coalesce(jsonb_typeof(value), 'null') <> 'null' THEN
        IF jsonb_typeof(value) <> 'object' OR EXISTS (SELECT FROM jsonb_each(CASE jsonb_typeof(value) WHEN 'object' THEN value ELSE '{}' END) AS m
            WHERE jsonb_typeof(m.value) <> 'string') THEN
            problems := problems || 'metadata must be an object that holds nothing but strings'::text;
        END IF;
    END IF;

    value := body -> 'lines';
    IF coalesce(jsonb_typeof(value), 'null') <> 'array' OR jsonb_array_length(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) NOT BETWEEN 1 AND 5000 THEN
        RETURN problems || 'lines must hold 1 to 5,000 lines'::text;
    END IF;
    SELECT array_agg(format('lines[%s] must be an object', n - 1) ORDER BY n) INTO more
    FROM jsonb_array_elements(value) WITH ORDINALITY AS l (line, n) WHERE jsonb_typeof(line) <> 'object';
    problems := problems || more;

    -- A number that isn't written out in full is left to the worker, as casting it might take gigabytes.
    SELECT array_agg(format('lines[%s].%s %s', n - 1, name, problem) ORDER BY n, name) INTO more FROM (
        SELECT n, name, CASE
            WHEN kind IS NULL OR kind = 'null' THEN CASE WHEN name IN ('quantity', 'unit_price') THEN 'is required' END
            WHEN kind NOT IN ('number', 'string') OR text !~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$' THEN 'must be a decimal number'
            WHEN length(text) > 40 OR text ~ '[eE]' THEN NULL
            WHEN abs(text::numeric) >= 1e12 THEN 'must be below 1000000000000 in size'
            WHEN scale(trim_scale(text::numeric)) > 6 THEN 'must not have more than 6 decimals'
            WHEN name LIKE '%percent' AND text::numeric NOT BETWEEN 0 AND 100 THEN 'must be a percentage from 0 to 100'
        END AS problem
        FROM (
            SELECT n, name, jsonb_typeof(line -> name) AS kind, line ->> name AS text
            FROM jsonb_array_elements(value) WITH ORDINALITY AS l (line, n),
                unnest(ARRAY['quantity', 'unit_price', 'discount_percent', 'tax_percent']) AS name
            WHERE jsonb_typeof(line) = 'object'
        ) AS member
    ) AS decimals WHERE problem IS NOT NULL;
    problems := problems || more;

    SELECT array_agg(format('lines[%s].%s %s', n - 1, accept_name(name), problem) ORDER BY n, name) INTO more FROM (
        SELECT n, m.key AS name, CASE
            WHEN m.key IN ('sku', 'description') THEN CASE WHEN jsonb_typeof(m.value) NOT IN ('string', 'null') THEN 'must be a string' END
            WHEN m.key NOT IN ('quantity', 'unit_price', 'discount_percent', 'tax_percent') THEN 'is no field of a job'
        END AS problem
        FROM jsonb_array_elements(value) WITH ORDINALITY AS l (line, n),
            jsonb_each(CASE jsonb_typeof(line) WHEN 'object' THEN line ELSE '{}' END) AS m
    ) AS others WHERE problem IS NOT NULL;
    RETURN problems || more;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept(payload text, queue text DEFAULT 'default', job_id uuid DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    body     jsonb;
    complete boolean := true;
    problems text[] := '{}';
    own_id   text := coalesce(accept.job_id, gen_random_uuid())::text;
    no_object CONSTANT text := 'payload must be a JSON object, in valid text without U+0000 and lone surrogates';
BEGIN
    IF accept.queue IS NULL OR accept.queue !~ '^[a-z0-9_-]{1,255}$' THEN
        problems := problems || 'queue must be 1 to 255 characters of a-z 0-9 _ -'::text;
    END IF;
    IF accept.payload IS NULL OR octet_length(accept.payload) > 1048576 THEN
        problems := problems || format('payload has %s bytes and must have 1 to 1,048,576', coalesce(octet_length(accept.payload), 0));
    ELSE
        BEGIN
            BEGIN
                body := accept.payload::jsonb;
            EXCEPTION WHEN numeric_value_out_of_range THEN
                -- A number that the server can't hold may be a good one, such as 0e-99999: that is left to the worker.
                complete := false;
                SELECT coalesce(jsonb_object_agg(m.key, m.value::jsonb), '{}') INTO body FROM json_each(accept.payload::json) AS m
                WHERE m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer');
            END;
            problems := problems || CASE WHEN jsonb_typeof(body) = 'object' THEN accept_problems(body, accept.payload, complete) ELSE ARRAY[no_object] END;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            problems := problems || no_object; -- the server's own message would quote the payload
        END;
    END IF;
    IF cardinality(problems) > 0 THEN
        RAISE EXCEPTION 'invalid job: %', array_to_string(problems[1:20], '; ')
                || CASE WHEN cardinality(problems) > 20 THEN format('; and %s more', cardinality(problems) - 20) ELSE '' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'correct this in the billing service and send the job again',
                COLUMN = coalesce(substring(problems[1] FROM '^[A-Za-z0-9_.-]+'), 'payload'), TABLE = 'invoice_jobs';
    END IF;

    INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, producer, queue, payload, state)
    VALUES (own_id, body ->> 'transaction_id', coalesce(body ->> 'idempotency_key', body ->> 'transaction_id'), body ->> 'producer',
        accept.queue, accept.payload, 'accepted')
    ON CONFLICT ON CONSTRAINT invoice_jobs_job_id_key DO NOTHING;
    IF FOUND THEN
        RETURN own_id;
    END IF;
    IF NOT EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = own_id AND j.transaction_id = body ->> 'transaction_id'
            AND (j.payload IS NULL OR j.payload = accept.payload)) THEN
        RAISE EXCEPTION 'job_id % belongs to another job', own_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoice_jobs_job_id_key', TABLE = 'invoice_jobs', HINT = 'use a new id for each job, or none';
    END IF;
    -- The commit of the row that was found may have reached this server alone. A transaction that has written waits for its
    -- standbys, and one that has only read doesn't.
    PERFORM pg_logical_emit_message(true, 'invoicer', '');
    RETURN own_id;
END $$;
-- +goose StatementEnd
DROP TABLE issuers;
DROP FUNCTION guard_issuers(), settle_issuer(), issuers_apart();
ALTER TABLE series DROP COLUMN issuer, DROP COLUMN from_number;
ALTER TABLE invoice_series DROP COLUMN issuer, DROP COLUMN next_from, DROP COLUMN next_prefix, DROP COLUMN next_width, DROP COLUMN next_suffix;
ALTER TABLE invoices DROP COLUMN issuer;
ALTER TABLE invoice_jobs DROP COLUMN issuer;
ALTER TABLE duplicate_attempts DROP COLUMN issuer;
