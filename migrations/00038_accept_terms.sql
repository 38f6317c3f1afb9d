-- +goose Up

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
    newly    text[] := '{}'; -- fields that only this release takes in version 1
    given    text;
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
    fields := ARRAY['transaction_id', 'idempotency_key', 'producer', 'issuer'] || CASE WHEN version > 2 THEN '{}' ELSE '{series,credits_transaction_id}'::text[] END;
    SELECT array_agg(accept_name(key) || ' must not be given twice' ORDER BY key) INTO more FROM (
        SELECT key FROM json_object_keys(payload::json) AS key WHERE version <= 2 OR key = ANY (fields || 'version'::text)
        GROUP BY key HAVING count(*) > 1) AS twice;
    problems := problems || more;

    FOREACH field IN ARRAY fields LOOP
        value := body -> field;
        most := CASE field WHEN 'idempotency_key' THEN 255 WHEN 'producer' THEN 64 WHEN 'series' THEN 32 WHEN 'issuer' THEN 32 ELSE 128 END;
        IF coalesce(jsonb_typeof(value), 'null') = 'null' THEN
            IF field = 'transaction_id' THEN
                problems := problems || 'transaction_id is required'::text;
            END IF;
        ELSIF field IN ('transaction_id', 'idempotency_key', 'credits_transaction_id') THEN
            given := value #>> '{}';
            IF jsonb_typeof(value) NOT IN ('string', 'number') OR jsonb_typeof(value) = 'number' AND given ~ '[^0-9]' THEN
                problems := problems || (field || ' must be a string, or an integer in digits alone');
            ELSIF jsonb_typeof(value) = 'number' OR given ~ '[^A-Za-z0-9._:/@+=-]' OR length(given) NOT BETWEEN 1 AND most THEN
                IF is_identifier(given, most) THEN
                    newly := newly || field;
                ELSE
                    problems := problems || format('%s must be 1 to %s printable characters, in Unicode''s normalization form NFC, without blanks at its ends', field, most);
                END IF;
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
        newly := newly || 'issued_at'::text;
    END IF;

    IF coalesce(body ->> 'currency', '') = '' THEN
        problems := problems || 'currency is required'::text;
    ELSIF (body ->> 'currency') !~ '^[A-Za-z]{3}$' THEN
        problems := problems || 'currency must be an ISO 4217 code with a minor unit, such as GBP'::text;
    ELSIF (body ->> 'currency') ~ '[a-z]' THEN
        newly := newly || 'currency'::text;
    END IF;
    IF cardinality(newly) > 0 AND NOT EXISTS (SELECT FROM capabilities WHERE name = 'identifiers') THEN
        SELECT array_agg(name || ' is spelled in a way that workers of the release before refuse: send it otherwise or state "version": 2, until they are upgraded' ORDER BY name)
            INTO more FROM unnest(newly) AS name;
        problems := problems || more;
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

-- A job of version 2 may be twice as long.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept_check(payload text, OUT body jsonb, OUT problems text[]) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    complete  boolean := true;
    no_object CONSTANT text := 'payload must be a JSON object, in valid text without U+0000 and lone surrogates';
BEGIN
    IF payload IS NULL OR octet_length(payload) > 2097152 THEN
        problems := ARRAY[format('payload has %s bytes and must have 1 to 2,097,152', coalesce(octet_length(payload), 0))];
        RETURN;
    END IF;
    BEGIN
        BEGIN
            body := payload::jsonb;
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- A number that the server can't hold may be a good one, such as 0e-99999: that is left to the worker.
            complete := false;
            SELECT coalesce(jsonb_object_agg(m.key, m.value::jsonb), '{}') INTO body FROM json_each(payload::json) AS m
            WHERE m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer');
        END;
        problems := CASE WHEN jsonb_typeof(body) = 'object' THEN accept_problems(body, payload, complete) ELSE ARRAY[no_object] END;
        IF octet_length(payload) > 1048576 AND cardinality(problems) = 0 AND coalesce(body -> 'version', 'null') IN ('1', 'null') THEN
            problems := ARRAY[format('payload has %s bytes and must have 1 to 1,048,576, or 2,097,152 in version 2', octet_length(payload))];
        END IF;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        problems := ARRAY[no_object]; -- the server's own message would quote the payload
    END;
END $$;
-- +goose StatementEnd

-- Only a vacuum, or another change of the schema, has to wait for these locks or holds them up, and an automatic vacuum gives way.
SELECT set_config('lock_timeout', '5s', true);
COMMENT ON COLUMN invoices.terms IS 'What the job states beyond version 1, as it states it, but for what a person may stand in. Numbers are text. NULL for nothing.';
COMMENT ON COLUMN invoices.parties IS 'What the job states beyond version 1 and a person may stand in, such as seller and buyer. NULL for nothing.';
COMMENT ON COLUMN invoices.payable_minor IS 'What is left to pay, in minor units: the total, less what is withheld and prepaid, with the rounding added. NULL for total_minor.';
COMMENT ON COLUMN invoices.issuer_version IS 'The version in issuers that is the seller. NULL if the job states a seller, or there is no issuer.';
COMMENT ON COLUMN invoice_lines.terms IS 'What the job states of the line beyond version 1, but for texts. Numbers are text. NULL for nothing.';
COMMENT ON COLUMN invoice_lines.texts IS 'The texts that the job states of the line beyond version 1. NULL for nothing.';
COMMENT ON COLUMN invoice_taxes.code IS 'The code of the tax, such as GST. Empty if the job states none.';
COMMENT ON COLUMN invoice_taxes.category IS 'The category of the tax in UNTDID 5305, such as S or E. Empty if the job states none.';
COMMENT ON COLUMN invoice_taxes.added_minor IS 'The taxes that a compound tax is taken on beside net_minor, in minor units. NULL for any other tax.';
COMMENT ON TABLE capabilities IS 'What workers of this release do once no worker of the release before lives. Rows are never changed or deleted.';
COMMENT ON COLUMN capabilities.name IS 'identifiers: in version 1, jobs are taken whose ids, currency or time the release before refuses.';
COMMENT ON COLUMN capabilities.since IS 'Since when.';
COMMENT ON FUNCTION is_identifier(text, integer) IS 'Whether a text can be an id: 1 to so many characters that are printable by Unicode 13.0, in NFC, without blanks at its ends.';
COMMENT ON FUNCTION has_several_taxes(bigint[]) IS 'Whether a line, an allowance or a charge of these invoices states several taxes.';

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept_check(payload text, OUT body jsonb, OUT problems text[]) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    complete  boolean := true;
    no_object CONSTANT text := 'payload must be a JSON object, in valid text without U+0000 and lone surrogates';
BEGIN
    IF payload IS NULL OR octet_length(payload) > 1048576 THEN
        problems := ARRAY[format('payload has %s bytes and must have 1 to 1,048,576', coalesce(octet_length(payload), 0))];
        RETURN;
    END IF;
    BEGIN
        BEGIN
            body := payload::jsonb;
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- A number that the server can't hold may be a good one, such as 0e-99999: that is left to the worker.
            complete := false;
            SELECT coalesce(jsonb_object_agg(m.key, m.value::jsonb), '{}') INTO body FROM json_each(payload::json) AS m
            WHERE m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer');
        END;
        problems := CASE WHEN jsonb_typeof(body) = 'object' THEN accept_problems(body, payload, complete) ELSE ARRAY[no_object] END;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        problems := ARRAY[no_object]; -- the server's own message would quote the payload
    END;
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
