-- +goose Up

-- A definer's function must not find anything in its caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- accept, as it was, but for what it does about a job that it knows already: the caller's commit waits until that job has
-- reached the standbys that it should.
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

-- Records that jobs ended well, and ends their rows in the ledger, for any number of jobs at once: each argument has one
-- element for each. A job has created the invoice that it names, or was a duplicate of it. It returns those, by their place
-- from 1, for which nothing was recorded, and why:
--
--   dismissed     somebody has dismissed the job
--   altered       the ledger accepted another payload, which comes with it, unless it isn't kept any more
--   not_accepted  only jobs of the ledger count, and it has none of this id
--   not_invoiced  there is no such invoice, or this job made it and is no duplicate, or the other way round
--   ended         the job's record is about another transaction
--
-- A payload is compared by its digest. Where the row has none any more, the transaction must be the same.
-- +goose StatementBegin
CREATE FUNCTION record_ends(
    job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[]
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one's snapshot sees another end of the same job, or a dismissal, that is being
    -- recorded.
    PERFORM pg_advisory_xact_lock(job) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(job_ids) AS id ORDER BY 1) AS ends;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.*, jobs.id AS row_id, jobs.payload, made.id AS found_id, CASE
            WHEN jobs.state = 'dismissed' AND (jobs.ours OR jobs.transaction_id IS NOT DISTINCT FROM a.transaction_id) THEN 'dismissed'
            WHEN jobs.ours AND CASE
                WHEN jobs.payload IS NULL THEN jobs.transaction_id <> a.transaction_id
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only)
            WITH ORDINALITY AS a (job_id, outcome, transaction_id, idempotency_key, invoice_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, member)
        LEFT JOIN LATERAL (
            SELECT id, state, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, producer, worker)
        SELECT job_id, transaction_id, idempotency_key, found_id, reason, producer, worker FROM asked
        WHERE problem IS NULL AND outcome = 'duplicate' ORDER BY job_id
        ON CONFLICT (job_id) DO NOTHING
    ), ledger AS (
        UPDATE invoice_jobs SET state = 'done', outcome = asked.outcome, reason = asked.reason, invoice_id = asked.found_id,
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

ALTER TABLE invoice_job_actions
    DROP CONSTRAINT invoice_job_actions_action_check,
    ADD CONSTRAINT invoice_job_actions_action_check CHECK (action IN ('replay', 'dismiss', 'restore'));

-- +goose Down

LOCK TABLE invoice_job_actions IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoice_job_actions WHERE action = 'restore') THEN
        RAISE EXCEPTION 'migrating down refused: it would delete the record of who restored dismissed jobs'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_job_actions';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE invoice_job_actions
    DROP CONSTRAINT invoice_job_actions_action_check,
    ADD CONSTRAINT invoice_job_actions_action_check CHECK (action IN ('replay', 'dismiss'));
DROP FUNCTION record_ends(text[], text[], text[], text[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[]);
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
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
    IF NOT FOUND AND NOT EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = own_id AND j.transaction_id = body ->> 'transaction_id'
            AND (j.payload IS NULL OR j.payload = accept.payload)) THEN
        RAISE EXCEPTION 'job_id % belongs to another job', own_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'invoice_jobs_job_id_key', TABLE = 'invoice_jobs', HINT = 'use a new id for each job, or none';
    END IF;
    RETURN own_id;
END $$;
-- +goose StatementEnd
