-- +goose Up

-- What a relay takes next, and what may have to be put back, without reading what has ended.
CREATE INDEX invoice_jobs_accepted_idx ON invoice_jobs (id) WHERE state = 'accepted';
CREATE INDEX invoice_jobs_enqueued_idx ON invoice_jobs (queue, updated_at, id) WHERE state = 'enqueued';

-- Each row is updated two or three times within seconds: the default would let the dead ones pile up.
ALTER TABLE invoice_jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Who watches over a queue, and how far its Redis is known to have come. The lease goes by this server's clock.
CREATE TABLE ledger_queues (
    queue      text        NOT NULL,
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL,
    marker     bigint      NOT NULL DEFAULT 0,
    server     text        NOT NULL DEFAULT '',
    CONSTRAINT ledger_queues_pkey PRIMARY KEY (queue),
    CONSTRAINT ledger_queues_marker_check CHECK (marker >= 0)
);

-- What people did about failed jobs. It goes with the job's row.
CREATE TABLE invoice_job_actions (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    job_id   text        NOT NULL,
    action   text        NOT NULL,
    actor    text        NOT NULL,
    note     text,
    dispatch integer     NOT NULL,
    outcome  text        NOT NULL,
    reason   text        NOT NULL,
    acted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_job_actions_pkey PRIMARY KEY (id),
    CONSTRAINT invoice_job_actions_job_id_fkey FOREIGN KEY (job_id) REFERENCES invoice_jobs (job_id) ON DELETE CASCADE,
    CONSTRAINT invoice_job_actions_action_check CHECK (action IN ('replay', 'dismiss')),
    CONSTRAINT invoice_job_actions_actor_check CHECK (actor <> ''),
    CONSTRAINT invoice_job_actions_note_check CHECK (action <> 'dismiss' OR coalesce(note, '') <> '')
);
CREATE INDEX invoice_job_actions_job_id_idx ON invoice_job_actions (job_id, id);

-- A definer's function must not find anything in its caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- A name that the sender made up, fit for a message: short, in one line.
CREATE FUNCTION accept_name(name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS
$$ SELECT CASE WHEN name ~ '^[A-Za-z0-9_-]{1,64}$' THEN name ELSE to_json(left(name, 64))::text END $$;

-- +goose StatementBegin
CREATE FUNCTION accept_problems(body jsonb, payload text, complete boolean) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
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

-- accept takes a job into the ledger, inside the caller's transaction: once that is committed, the job ends as an
-- invoice, a recorded duplicate or a visible failed job. It returns the job's id. A payload that SQL can tell can never be
-- an invoice is refused with 22023, naming the fields. With an id of the caller's own, saying it again changes nothing.
-- +goose StatementBegin
CREATE FUNCTION accept(payload text, queue text DEFAULT 'default', job_id uuid DEFAULT NULL) RETURNS text
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
    IF NOT FOUND AND NOT EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = own_id AND j.transaction_id = body ->> 'transaction_id'
            AND (j.payload IS NULL OR j.payload = accept.payload)) THEN
        RAISE EXCEPTION 'job_id % belongs to another job', own_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoice_jobs_job_id_key', TABLE = 'invoice_jobs', HINT = 'use a new id for each job, or none';
    END IF;
    RETURN own_id;
END $$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION accept(text, text, uuid), accept_problems(jsonb, text, boolean), accept_name(text) FROM PUBLIC;

-- +goose Down

-- Locked first: what is accepted between a look into the table and the end of its relay would never become anything.
LOCK TABLE invoice_jobs, invoice_job_actions IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoice_jobs WHERE state IN ('accepted', 'enqueued')) THEN
        RAISE EXCEPTION 'migrating down refused: accepted jobs are waiting'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_jobs';
    END IF;
    IF EXISTS (SELECT FROM invoice_job_actions) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete the record of replays and dismissals'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_job_actions';
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION accept(text, text, uuid), accept_problems(jsonb, text, boolean), accept_name(text);
DROP TABLE invoice_job_actions, ledger_queues;
ALTER TABLE invoice_jobs RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor);
DROP INDEX invoice_jobs_accepted_idx, invoice_jobs_enqueued_idx;
