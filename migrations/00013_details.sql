-- +goose Up

-- A definer's function must not find anything in its caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- The optional texts that a job may have beside what its rules are about, each with a column of invoices. A migration that
-- adds one names it here. Everybody may call it: accept_problems, which does, may be another role's.
CREATE FUNCTION accept_details() RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS
$$ SELECT ARRAY['customer_id', 'customer_name', 'country'] $$;

-- accept_problems, as it was, but for the names of these texts.
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

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
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
    WHERE key NOT IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'series', 'credits_transaction_id', 'customer_id',
        'customer_name', 'country', 'issued_at', 'currency', 'lines', 'metadata');
    problems := problems || more;

    FOREACH field IN ARRAY ARRAY['customer_id', 'customer_name', 'country'] LOOP
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
DROP FUNCTION accept_details();
