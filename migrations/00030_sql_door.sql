-- +goose Up

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Queues that a producer has made known before any worker has consumed them, each with the job that named it. Two that name the same
-- new queue at once have a row each, so that neither waits for the other's transaction. Workers name theirs in ledger_queues, those of the
-- release before too.
CREATE TABLE producer_queues (
    queue    text        NOT NULL,
    job_id   text        NOT NULL,
    role     text        NOT NULL DEFAULT session_user,
    named_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT producer_queues_pkey PRIMARY KEY (queue, job_id)
);

-- +goose StatementBegin
CREATE FUNCTION queue_known(queue text) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN queue_known.queue IN ('default', 'critical', 'bulk')
        OR EXISTS (SELECT FROM ledger_queues l WHERE l.queue = queue_known.queue)
        OR EXISTS (SELECT FROM producer_queues p WHERE p.queue = queue_known.queue);
END $$;

-- Of a name that no queue can have it says nothing: accept refuses that together with what else is wrong.
CREATE FUNCTION refuse_unknown_queue(queue text) RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    known text[];
    told  text;
BEGIN
    IF refuse_unknown_queue.queue !~ '^[a-z0-9_-]{1,255}$' OR queue_known(refuse_unknown_queue.queue) THEN
        RETURN;
    END IF;
    SELECT array_agg(name ORDER BY name) INTO known FROM (
        SELECT unnest(ARRAY['default', 'critical', 'bulk']) AS name UNION SELECT l.queue FROM ledger_queues l UNION SELECT p.queue FROM producer_queues p) AS named;
    told := array_to_string(known[1:20], ', ') || CASE WHEN cardinality(known) > 20 THEN format(' and %s more', cardinality(known) - 20) ELSE '' END;
    RAISE EXCEPTION 'no worker has ever consumed queue "%"; known are %: correct the name, or state new_queue := true, which takes the job and makes the queue known',
            refuse_unknown_queue.queue, told
        USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'queue_known', COLUMN = 'queue', TABLE = 'invoice_jobs', DETAIL = told;
END $$;

CREATE FUNCTION accept_queue(queue text, new_queue boolean, job_id text) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF accept_queue.new_queue IS NOT TRUE THEN
        PERFORM refuse_unknown_queue(accept_queue.queue);
    ELSIF accept_queue.queue ~ '^[a-z0-9_-]{1,255}$' AND NOT queue_known(accept_queue.queue) THEN
        INSERT INTO producer_queues (queue, job_id) VALUES (accept_queue.queue, accept_queue.job_id) ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- What accept looks at: the payload as far as it can be read, and what is wrong with it.
CREATE FUNCTION accept_check(payload text, OUT body jsonb, OUT problems text[]) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
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

-- The function of before stays under another name, for statements and views that have it already, and goes a release later. One that is
-- called by its name, prepared or not, finds the new one. Rights are given by name and arguments, so they are carried over below.
ALTER FUNCTION accept(text, text, uuid) RENAME TO accept_of_before;

CREATE FUNCTION accept(payload text, queue text DEFAULT 'default', job_id uuid DEFAULT NULL, new_queue boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    checked  record;
    body     jsonb;
    problems text[];
    own_id   text := coalesce(accept.job_id, gen_random_uuid())::text;
BEGIN
    -- Of most queues this knows enough: a call of a function costs as much as the rest of the check.
    IF accept.queue NOT IN ('default', 'critical', 'bulk') AND NOT EXISTS (SELECT FROM ledger_queues l WHERE l.queue = accept.queue) THEN
        PERFORM accept_queue(accept.queue, accept.new_queue, own_id);
    END IF;
    checked := accept_check(accept.payload);
    body := checked.body;
    problems := checked.problems;
    IF accept.queue IS NULL OR accept.queue !~ '^[a-z0-9_-]{1,255}$' THEN
        problems := 'queue must be 1 to 255 characters of a-z 0-9 _ -'::text || problems;
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

CREATE OR REPLACE FUNCTION accept_of_before(payload text, queue text DEFAULT 'default', job_id uuid DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN accept(accept_of_before.payload, accept_of_before.queue, accept_of_before.job_id);
END $$;

CREATE FUNCTION accept(payload jsonb, queue text DEFAULT 'default', job_id uuid DEFAULT NULL, new_queue boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN accept(accept.payload::text, accept.queue, accept.job_id, accept.new_queue);
END $$;

CREATE FUNCTION accept_many(payloads text[], queue text DEFAULT 'default', job_ids uuid[] DEFAULT NULL, new_queue boolean DEFAULT false)
RETURNS TABLE (ordinal integer, job_id text, status text, invoice_number text) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    many         CONSTANT integer := cardinality(payloads);
    ids          text[] := '{}';
    issuers      text[] := '{}';
    transactions text[] := '{}';
    keys         text[] := '{}';
    producers    text[] := '{}';
    problems     text[] := '{}';
    bad          integer := 0;
    one          text;
    checked      record;
    made         text[];
    taken        record;
BEGIN
    IF many IS NULL OR array_ndims(payloads) > 1 THEN
        problems := ARRAY['payloads must be a list of jobs'];
    ELSIF cardinality(job_ids) <> many THEN
        problems := ARRAY[format('job_ids has %s ids for %s payloads and must have one for each', cardinality(job_ids), many)];
    ELSIF accept_many.queue IS NULL OR accept_many.queue !~ '^[a-z0-9_-]{1,255}$' THEN
        problems := ARRAY['queue must be 1 to 255 characters of a-z 0-9 _ -'];
    END IF;
    IF cardinality(problems) > 0 THEN
        RAISE EXCEPTION '%', problems[1]
            USING ERRCODE = 'invalid_parameter_value', COLUMN = substring(problems[1] FROM '^[a-z_]+'), TABLE = 'invoice_jobs';
    ELSIF many = 0 THEN
        RETURN;
    END IF;
    ids := ARRAY(SELECT coalesce(id, gen_random_uuid())::text FROM unnest(coalesce(job_ids, array_fill(NULL::uuid, ARRAY[many]))) WITH ORDINALITY AS own (id, n) ORDER BY n);
    PERFORM accept_queue(accept_many.queue, accept_many.new_queue, ids[1]);

    FOREACH one IN ARRAY payloads LOOP
        checked := accept_check(one);
        issuers := issuers || coalesce(checked.body ->> 'issuer', '');
        IF cardinality(checked.problems) > 0 THEN
            bad := bad + 1;
            problems := problems || ARRAY(SELECT format('job %s: %s', cardinality(issuers), problem) FROM unnest(checked.problems) AS problem);
            CONTINUE;
        END IF;
        transactions := transactions || (checked.body ->> 'transaction_id');
        keys := keys || coalesce(checked.body ->> 'idempotency_key', checked.body ->> 'transaction_id');
        producers := producers || (checked.body ->> 'producer');
    END LOOP;
    IF bad > 0 THEN
        RAISE EXCEPTION 'invalid jobs: % of %, so none is accepted: %', bad, many, array_to_string(problems[1:20], '; ')
                || CASE WHEN cardinality(problems) > 20 THEN format('; and %s more', cardinality(problems) - 20) ELSE '' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'correct this in the billing service and send the jobs again',
                COLUMN = coalesce(substring(problems[1] FROM '^job [0-9]+: ([A-Za-z0-9_.-]+)'), 'payloads'), TABLE = 'invoice_jobs';
    END IF;

    WITH inserted AS (
        INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, producer, queue, payload, state)
        SELECT id, issuer, transaction, key, producer, accept_many.queue, payload, 'accepted'
        FROM unnest(ids, issuers, transactions, keys, producers, payloads) WITH ORDINALITY AS a (id, issuer, transaction, key, producer, payload, n) ORDER BY n
        ON CONFLICT ON CONSTRAINT invoice_jobs_job_id_key DO NOTHING RETURNING invoice_jobs.job_id
    )
    SELECT array_agg(inserted.job_id) INTO made FROM inserted;
    IF coalesce(cardinality(made), 0) < many THEN
        SELECT n, id INTO taken FROM unnest(ids, issuers, transactions, payloads) WITH ORDINALITY AS a (id, issuer, transaction, payload, n)
        WHERE NOT EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = a.id AND j.issuer = a.issuer AND j.transaction_id = a.transaction
            AND (j.payload IS NULL OR j.payload = a.payload)) ORDER BY n LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'job %: job_id % belongs to another job', taken.n, taken.id
                USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoice_jobs_job_id_key', TABLE = 'invoice_jobs', HINT = 'use a new id for each job, or none';
        END IF;
        PERFORM pg_logical_emit_message(true, 'invoicer', ''); -- see accept
    END IF;

    RETURN QUERY
    SELECT n::integer, a.id, CASE WHEN m.id IS NOT NULL AND row_number() OVER (PARTITION BY a.id ORDER BY n) = 1 THEN 'inserted' ELSE 'known' END,
        coalesce((SELECT i.invoice_number FROM invoices i WHERE i.issuer = a.issuer AND i.transaction_id = a.transaction),
            (SELECT i.invoice_number FROM imported_invoices i WHERE i.issuer = a.issuer AND i.transaction_id = a.transaction AND i.withdrawn_at IS NULL))
    FROM unnest(ids, issuers, transactions) WITH ORDINALITY AS a (id, issuer, transaction, n) LEFT JOIN unnest(made) AS m (id) ON m.id = a.id
    ORDER BY n;
END $$;

CREATE FUNCTION accept_many(payloads text, queue text DEFAULT 'default', job_ids uuid[] DEFAULT NULL, new_queue boolean DEFAULT false)
RETURNS TABLE (ordinal integer, job_id text, status text, invoice_number text) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    jobs text[];
BEGIN
    BEGIN
        SELECT array_agg(e.job::text ORDER BY e.n) INTO jobs FROM json_array_elements(accept_many.payloads::json) WITH ORDINALITY AS e (job, n);
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN -- the server's own message would quote the payloads
        RAISE EXCEPTION 'payloads must be a JSON array of jobs, in valid text' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'payloads', TABLE = 'invoice_jobs';
    END;
    IF accept_many.payloads IS NOT NULL THEN
        jobs := coalesce(jobs, '{}');
    END IF;
    RETURN QUERY SELECT * FROM accept_many(jobs, accept_many.queue, accept_many.job_ids, accept_many.new_queue);
END $$;

CREATE FUNCTION accept_many(payloads jsonb, queue text DEFAULT 'default', job_ids uuid[] DEFAULT NULL, new_queue boolean DEFAULT false)
RETURNS TABLE (ordinal integer, job_id text, status text, invoice_number text) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY SELECT * FROM accept_many(accept_many.payloads::text, accept_many.queue, accept_many.job_ids, accept_many.new_queue);
END $$;

CREATE FUNCTION lookup(
    transaction_id text, issuer text DEFAULT '', OUT state text, OUT invoice_number text, OUT kind text, OUT currency text, OUT total_minor bigint,
    OUT invoiced_at timestamptz, OUT imported boolean, OUT waiting bigint, OUT paused_series text, OUT job_id text, OUT outcome text, OUT reason text,
    OUT failed_job_id text, OUT failed_outcome text, OUT failed_reason text
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    of_issuer CONSTANT text := coalesce(lookup.issuer, '');
BEGIN
    SELECT i.invoice_number, i.kind, i.currency, i.total_minor, i.created_at, i.job_id, 'created', 'invoiced'
    INTO invoice_number, kind, currency, total_minor, invoiced_at, job_id, outcome, state
    FROM invoices i WHERE i.issuer = of_issuer AND i.transaction_id = lookup.transaction_id;
    imported := false;
    IF NOT FOUND THEN
        SELECT i.invoice_number, i.currency, i.total_minor, i.issued_at, 'invoiced' INTO invoice_number, currency, total_minor, invoiced_at, state
        FROM imported_invoices i WHERE i.issuer = of_issuer AND i.transaction_id = lookup.transaction_id AND i.withdrawn_at IS NULL;
        imported := FOUND;
    END IF;
    SELECT count(*), max(j.paused_series) FILTER (WHERE j.state = 'accepted') INTO waiting, paused_series
    FROM invoice_jobs j WHERE j.issuer = of_issuer AND j.transaction_id = lookup.transaction_id AND j.state IN ('accepted', 'enqueued');
    SELECT j.job_id, j.outcome, j.reason INTO failed_job_id, failed_outcome, failed_reason
    FROM invoice_jobs j WHERE j.issuer = of_issuer AND j.transaction_id = lookup.transaction_id AND j.state = 'failed' ORDER BY j.updated_at DESC, j.id DESC LIMIT 1;
    IF state IS NOT NULL THEN
        RETURN;
    ELSIF waiting > 0 THEN
        SELECT CASE WHEN j.state = 'accepted' AND j.paused_series IS NOT NULL THEN 'paused' ELSE j.state END, j.job_id INTO state, job_id
        FROM invoice_jobs j WHERE j.issuer = of_issuer AND j.transaction_id = lookup.transaction_id AND j.state IN ('accepted', 'enqueued')
        ORDER BY j.state <> 'enqueued', j.paused_series IS NOT NULL, j.id LIMIT 1;
    ELSIF failed_job_id IS NOT NULL THEN
        state := 'failed';
        job_id := failed_job_id;
        outcome := failed_outcome;
        reason := failed_reason;
    ELSE
        SELECT j.state, j.job_id, j.outcome, j.reason INTO state, job_id, outcome, reason
        FROM invoice_jobs j WHERE j.issuer = of_issuer AND j.transaction_id = lookup.transaction_id AND j.state = 'dismissed' ORDER BY j.updated_at DESC, j.id DESC LIMIT 1;
        state := coalesce(state, 'unknown');
    END IF;
END $$;

REVOKE ALL ON FUNCTION accept(text, text, uuid, boolean), accept(jsonb, text, uuid, boolean), accept_queue(text, boolean, text), accept_check(text), queue_known(text),
    accept_many(text[], text, uuid[], boolean), accept_many(text, text, uuid[], boolean), accept_many(jsonb, text, uuid[], boolean),
    lookup(text, text) FROM PUBLIC;

-- Whoever may accept a job still may. accept_many and lookup tell more than accept does, so nobody is given them here.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee, is_grantable
        FROM pg_proc, aclexplode(proacl) WHERE pg_proc.oid = 'accept_of_before(text, text, uuid)'::regprocedure AND privilege_type = 'EXECUTE' AND grantee <> proowner LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION accept(text, text, uuid, boolean), accept(jsonb, text, uuid, boolean) TO %s%s',
            held.grantee, CASE WHEN held.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

DROP FUNCTION accept_many(jsonb, text, uuid[], boolean), accept_many(text, text, uuid[], boolean), accept_many(text[], text, uuid[], boolean), lookup(text, text);
-- +goose StatementBegin
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee, is_grantable
        FROM pg_proc, aclexplode(proacl) WHERE pg_proc.oid = 'accept(text, text, uuid, boolean)'::regprocedure AND privilege_type = 'EXECUTE' AND grantee <> proowner LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION accept_of_before(text, text, uuid) TO %s%s', held.grantee, CASE WHEN held.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END $$;
-- +goose StatementEnd
DROP FUNCTION accept(jsonb, text, uuid, boolean), accept(text, text, uuid, boolean);
ALTER FUNCTION accept_of_before(text, text, uuid) RENAME TO accept;
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
DROP FUNCTION accept_queue(text, boolean, text), refuse_unknown_queue(text), queue_known(text), accept_check(text);
DROP TABLE producer_queues;
