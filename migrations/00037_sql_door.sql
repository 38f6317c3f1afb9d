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

-- What each table, column and function is, for those who look from psql or another tool. A test refuses one without. Only a vacuum, or
-- another change of the schema, has to wait for these locks or holds them up, and an automatic vacuum gives way after deadlock_timeout.
SELECT set_config('lock_timeout', '5s', true);
COMMENT ON TABLE actions IS 'What people did that isn''t about one failed job, such as pausing a queue or freeing a lock. Rows are never changed or deleted.';
COMMENT ON COLUMN actions.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN actions.action IS 'What was done, such as pause or free.';
COMMENT ON COLUMN actions.subject IS 'To what: the name of a queue, lock, worker or file.';
COMMENT ON COLUMN actions.actor IS 'Who did it, as they called themselves.';
COMMENT ON COLUMN actions.role IS 'The database role that did it.';
COMMENT ON COLUMN actions.note IS 'Why, in the actor''s words. NULL if nothing was said.';
COMMENT ON COLUMN actions.details IS 'What came of it. NULL if there is nothing to say.';
COMMENT ON COLUMN actions.acted_at IS 'When it was done.';

COMMENT ON TABLE database_identity IS 'One row: tells this database from another one that uses the same Redis. It travels with backups.';
COMMENT ON COLUMN database_identity.id IS 'The identity of the installation, in keys of Redis.';
COMMENT ON COLUMN database_identity.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN database_identity.created_at IS 'When the schema was made.';

COMMENT ON TABLE duplicate_attempts IS 'One row for each job whose transaction was invoiced already, with that invoice or import.';
COMMENT ON COLUMN duplicate_attempts.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN duplicate_attempts.job_id IS 'The job that was a duplicate. Each job has one row at most.';
COMMENT ON COLUMN duplicate_attempts.transaction_id IS 'The transaction that the job asked for.';
COMMENT ON COLUMN duplicate_attempts.idempotency_key IS 'The key that the job stated, else its transaction_id. A duplicate''s key isn''t reserved.';
COMMENT ON COLUMN duplicate_attempts.invoice_id IS 'The invoice that was there. NULL if the transaction is an import.';
COMMENT ON COLUMN duplicate_attempts.reason IS 'lost_race: another job was making the invoice at the same time; already_invoiced: it was there.';
COMMENT ON COLUMN duplicate_attempts.producer IS 'The service that asked. NULL if the job names none.';
COMMENT ON COLUMN duplicate_attempts.worker IS 'The worker that found it.';
COMMENT ON COLUMN duplicate_attempts.attempted_at IS 'When it was recorded.';
COMMENT ON COLUMN duplicate_attempts.before_invoice IS 'How long before the invoice''s transaction the attempt began. NULL if it began later, or if that isn''t known.';
COMMENT ON COLUMN duplicate_attempts.imported_id IS 'The import that was there. NULL if the transaction has an invoice here.';
COMMENT ON COLUMN duplicate_attempts.issuer IS 'The legal entity. '''' is the one without a name.';
COMMENT ON COLUMN duplicate_attempts.differs IS 'Fields in which the job differs from the invoice, as the setting ignore allows. NULL if it differs in none.';

COMMENT ON TABLE goose_db_version IS 'Which migrations were applied and taken back, by goose, the library that does it.';
COMMENT ON COLUMN goose_db_version.id IS 'Identity of the row.';
COMMENT ON COLUMN goose_db_version.version_id IS 'The number of the migration.';
COMMENT ON COLUMN goose_db_version.is_applied IS 'Always true here: a migration that is taken back has no row.';
COMMENT ON COLUMN goose_db_version.tstamp IS 'When, in the time zone of the session that did it.';

COMMENT ON TABLE imported_invoices IS 'Transactions that were invoiced elsewhere. They aren''t invoiced again. A row is never changed, only withdrawn.';
COMMENT ON COLUMN imported_invoices.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN imported_invoices.issuer IS 'The legal entity. '''' is the one without a name.';
COMMENT ON COLUMN imported_invoices.transaction_id IS 'The transaction. Unique among imports of the issuer that aren''t withdrawn, and not invoiced here.';
COMMENT ON COLUMN imported_invoices.idempotency_key IS 'The key under which it was invoiced. Unique like transaction_id.';
COMMENT ON COLUMN imported_invoices.invoice_number IS 'The number as it was printed. Several transactions may have the same one.';
COMMENT ON COLUMN imported_invoices.currency IS 'ISO 4217. NULL if it isn''t known.';
COMMENT ON COLUMN imported_invoices.total_minor IS 'The total, tax included, in the currency''s minor units. NULL if it isn''t known.';
COMMENT ON COLUMN imported_invoices.credited_total_minor IS 'How much of it was credited elsewhere, in minor units, 0 or more. NULL if it isn''t known.';
COMMENT ON COLUMN imported_invoices.issued_at IS 'When it was issued. NULL if it isn''t known.';
COMMENT ON COLUMN imported_invoices.imported_at IS 'When it was taken over.';
COMMENT ON COLUMN imported_invoices.withdrawn_at IS 'When the import was withdrawn, as wrong. NULL while it holds.';
COMMENT ON COLUMN imported_invoices.withdrawn_by IS 'Who withdrew it, as they called themselves.';
COMMENT ON COLUMN imported_invoices.withdrawn_by_role IS 'The database role that withdrew it.';
COMMENT ON COLUMN imported_invoices.withdrawn_note IS 'Why it was withdrawn.';

COMMENT ON TABLE invoice_job_actions IS 'What people did about failed jobs. A row goes when its job''s row is pruned.';
COMMENT ON COLUMN invoice_job_actions.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN invoice_job_actions.job_id IS 'The job.';
COMMENT ON COLUMN invoice_job_actions.action IS 'replay, dismiss or restore.';
COMMENT ON COLUMN invoice_job_actions.actor IS 'Who did it, as they called themselves.';
COMMENT ON COLUMN invoice_job_actions.note IS 'Why. A dismissal always has one.';
COMMENT ON COLUMN invoice_job_actions.dispatch IS 'The job''s dispatch at that time.';
COMMENT ON COLUMN invoice_job_actions.outcome IS 'How the job had ended before.';
COMMENT ON COLUMN invoice_job_actions.reason IS 'Why the job had failed before.';
COMMENT ON COLUMN invoice_job_actions.acted_at IS 'When it was done.';
COMMENT ON COLUMN invoice_job_actions.role IS 'The database role that did it. NULL in rows of early releases.';

COMMENT ON TABLE invoice_jobs IS 'The ledger: jobs that were accepted, and all that failed. A committed row gets an end: an invoice, a recorded duplicate, or a failure that people see.';
COMMENT ON COLUMN invoice_jobs.id IS 'Identity of the row, in the order of acceptance. Gaps mean nothing.';
COMMENT ON COLUMN invoice_jobs.job_id IS 'The job''s identity. It stays the same over retries and replays.';
COMMENT ON COLUMN invoice_jobs.transaction_id IS 'What is to be invoiced. NULL only for a failed job that was too bad to have one.';
COMMENT ON COLUMN invoice_jobs.idempotency_key IS 'The key that the job states, else its transaction_id. NULL as transaction_id is.';
COMMENT ON COLUMN invoice_jobs.producer IS 'The service that asked. NULL if the job names none.';
COMMENT ON COLUMN invoice_jobs.queue IS 'The queue that the job is sent to.';
COMMENT ON COLUMN invoice_jobs.payload IS 'The job as it was sent, JSON. NULL once it is pruned, or if it isn''t text. It may hold personal data.';
COMMENT ON COLUMN invoice_jobs.payload_raw IS 'The payload of a failed job that isn''t text. It may hold personal data.';
COMMENT ON COLUMN invoice_jobs.state IS 'accepted: waits to be sent to its queue; enqueued: was sent there; done: ended well; failed: a person has to look; dismissed: a person decided that it needs no invoice.';
COMMENT ON COLUMN invoice_jobs.outcome IS 'How it ended: created, duplicate, conflict, invalid or failed. NULL while it waits.';
COMMENT ON COLUMN invoice_jobs.reason IS 'Why it ended so, without personal data. NULL while it waits, and if it made its invoice.';
COMMENT ON COLUMN invoice_jobs.invoice_id IS 'The invoice that it made or is a duplicate of.';
COMMENT ON COLUMN invoice_jobs.dispatch IS 'How often it was sent to its queue. 0 if never, or if it was enqueued directly.';
COMMENT ON COLUMN invoice_jobs.attempts IS 'Failed attempts since it was accepted or replayed. Waiting for locks and outages isn''t counted.';
COMMENT ON COLUMN invoice_jobs.accepted_at IS 'When the transaction that accepted it began; of a job that was enqueued directly, when it failed.';
COMMENT ON COLUMN invoice_jobs.updated_at IS 'When state changed last.';
COMMENT ON COLUMN invoice_jobs.task_type IS 'The queue''s type of a failed job that its worker didn''t know. NULL is invoice:generate.';
COMMENT ON COLUMN invoice_jobs.traceparent IS 'The span of the producer''s trace, in the form of W3C Trace Context. NULL if there is none.';
COMMENT ON COLUMN invoice_jobs.paused_series IS 'The series for which an accepted job waits until a person resumes it. NULL if it waits for none.';
COMMENT ON COLUMN invoice_jobs.imported_id IS 'The import that it is a duplicate of.';
COMMENT ON COLUMN invoice_jobs.issuer IS 'The legal entity. '''' is the one without a name.';

COMMENT ON TABLE invoice_lines IS 'The lines of invoices, as the job stated them. Never changed or deleted.';
COMMENT ON COLUMN invoice_lines.invoice_id IS 'The invoice.';
COMMENT ON COLUMN invoice_lines.position IS 'The line''s place in the job, from 1.';
COMMENT ON COLUMN invoice_lines.sku IS 'The article''s code.';
COMMENT ON COLUMN invoice_lines.description IS 'What was sold.';
COMMENT ON COLUMN invoice_lines.quantity IS 'How many. May be negative.';
COMMENT ON COLUMN invoice_lines.unit_price IS 'The price of one, net of tax, in the currency''s major unit. Exact, up to 6 decimals.';
COMMENT ON COLUMN invoice_lines.discount_percent IS 'From 0 to 100, taken off quantity times unit_price.';
COMMENT ON COLUMN invoice_lines.tax_percent IS 'From 0 to 100. NULL: the job states none, which isn''t 0.';
COMMENT ON COLUMN invoice_lines.net_minor IS 'The line''s net in minor units, rounded half away from zero.';

COMMENT ON TABLE invoice_links IS 'The links of invoices that a worker wrote which knew no chain. Never changed or deleted.';
COMMENT ON COLUMN invoice_links.invoice_id IS 'The invoice.';
COMMENT ON COLUMN invoice_links.chain IS 'As invoices.chain.';
COMMENT ON COLUMN invoice_links.salt IS 'As invoices.salt.';
COMMENT ON COLUMN invoice_links.text_hash IS 'As invoices.text_hash.';
COMMENT ON COLUMN invoice_links.linked_at IS 'When the link was added.';

COMMENT ON TABLE invoice_series IS 'The counter of each series and period. Only the transaction that writes an invoice advances it, so numbers have no gaps.';
COMMENT ON COLUMN invoice_series.series IS 'The series.';
COMMENT ON COLUMN invoice_series.period IS 'The period, such as 2026 or 2026-04. '''' for a series without periods.';
COMMENT ON COLUMN invoice_series.kind IS 'invoice or credit_note.';
COMMENT ON COLUMN invoice_series.last_number IS 'The last number that was given. One less than first_number if none was.';
COMMENT ON COLUMN invoice_series.settings IS 'The version of the series'' settings that the rest of the row follows from. 0 if it has none.';
COMMENT ON COLUMN invoice_series.state IS 'open, paused or closed, as the series is.';
COMMENT ON COLUMN invoice_series.first_number IS 'The first number of the period.';
COMMENT ON COLUMN invoice_series.prefix IS 'What is printed before a number.';
COMMENT ON COLUMN invoice_series.width IS 'The fewest digits of a printed number.';
COMMENT ON COLUMN invoice_series.suffix IS 'What is printed after a number.';
COMMENT ON COLUMN invoice_series.last_date IS 'The date of the newest document that is dated on its day of issue. NULL if none is.';
COMMENT ON COLUMN invoice_series.issuer IS 'The legal entity. '''' is the one without a name.';
COMMENT ON COLUMN invoice_series.next_from IS 'The number from which next_prefix, next_width and next_suffix hold. NULL if no other format is to come.';
COMMENT ON COLUMN invoice_series.next_prefix IS 'The prefix from next_from on.';
COMMENT ON COLUMN invoice_series.next_width IS 'The width from next_from on.';
COMMENT ON COLUMN invoice_series.next_suffix IS 'The suffix from next_from on.';

COMMENT ON TABLE invoice_taxes IS 'What each tax percentage of an invoice comes to. Never changed or deleted.';
COMMENT ON COLUMN invoice_taxes.invoice_id IS 'The invoice.';
COMMENT ON COLUMN invoice_taxes.tax_percent IS 'The percentage.';
COMMENT ON COLUMN invoice_taxes.net_minor IS 'The sum of the nets at this percentage, in minor units.';
COMMENT ON COLUMN invoice_taxes.tax_minor IS 'The tax on that sum in minor units, rounded half away from zero.';

COMMENT ON TABLE invoices IS 'Invoices and credit notes: one at most for each transaction of an issuer. Never changed or deleted.';
COMMENT ON COLUMN invoices.id IS 'Identity of the row. Gaps mean nothing: number is without them.';
COMMENT ON COLUMN invoices.series IS 'The series that numbers it.';
COMMENT ON COLUMN invoices.period IS 'The period of the number. '''' for a series without periods.';
COMMENT ON COLUMN invoices.number IS 'The number within issuer, series and period: without a gap, in the order of commits.';
COMMENT ON COLUMN invoices.invoice_number IS 'The number as it is printed. Unique within the issuer.';
COMMENT ON COLUMN invoices.kind IS 'invoice, or credit_note if the total is below 0.';
COMMENT ON COLUMN invoices.transaction_id IS 'What was invoiced. Unique within the issuer, so nothing is invoiced twice.';
COMMENT ON COLUMN invoices.idempotency_key IS 'The producer''s own key. Unique within the issuer.';
COMMENT ON COLUMN invoices.job_id IS 'The job that made it.';
COMMENT ON COLUMN invoices.fingerprint IS 'A hash of the content. Two jobs with the same content have the same one.';
COMMENT ON COLUMN invoices.requested_series IS 'The series that the job states. NULL if it leaves that to the configuration.';
COMMENT ON COLUMN invoices.credits_transaction_id IS 'The transaction whose document this one credits. NULL if it credits none.';
COMMENT ON COLUMN invoices.customer_id IS 'Personal data: the customer''s id.';
COMMENT ON COLUMN invoices.customer_name IS 'Personal data: the customer''s name.';
COMMENT ON COLUMN invoices.country IS 'The customer''s country, as the job states it.';
COMMENT ON COLUMN invoices.currency IS 'ISO 4217. It decides how many decimals a minor unit has.';
COMMENT ON COLUMN invoices.subtotal_minor IS 'The sum of the lines'' nets, in minor units.';
COMMENT ON COLUMN invoices.tax_minor IS 'The sum of the taxes, in minor units.';
COMMENT ON COLUMN invoices.total_minor IS 'subtotal_minor plus tax_minor, in minor units.';
COMMENT ON COLUMN invoices.issued_at IS 'The transaction''s time, as the job states it.';
COMMENT ON COLUMN invoices.metadata IS 'What the job carries beside its content: a flat object of strings. It may hold personal data.';
COMMENT ON COLUMN invoices.created_at IS 'When the invoice was made, by this server''s clock.';
COMMENT ON COLUMN invoices.producer IS 'The service that asked. NULL if the job names none.';
COMMENT ON COLUMN invoices.accepted_at IS 'When the ledger accepted the job. NULL if it was enqueued directly.';
COMMENT ON COLUMN invoices.worker_version IS 'The version of the worker that made it.';
COMMENT ON COLUMN invoices.content_hash IS 'Equal for invoices with the same customer, currency and lines. NULL if no customer is stated.';
COMMENT ON COLUMN invoices.series_version IS 'The version of the series'' settings under which it was numbered. NULL if by a worker that knew none.';
COMMENT ON COLUMN invoices.chain IS 'A hash of all that is stored of the invoice and of the chain of the one before it. NULL if it is in invoice_links, or not linked yet.';
COMMENT ON COLUMN invoices.salt IS '16 random bytes that enter text_hash.';
COMMENT ON COLUMN invoices.text_hash IS 'A salted hash of the texts in which a person may stand.';
COMMENT ON COLUMN invoices.settings_version IS 'The version of settings under which it was made. NULL if by a worker that knew none.';
COMMENT ON COLUMN invoices.document_date IS 'The day of issue in the series'' time zone. NULL if the document''s date is issued_at.';
COMMENT ON COLUMN invoices.issuer IS 'The legal entity. '''' is the one without a name.';

COMMENT ON TABLE issuers IS 'The legal entities that issue invoices. Each change is a row, and the highest version holds. Rows are never changed or deleted.';
COMMENT ON COLUMN issuers.issuer IS 'The issuer''s code: A-Z, 0-9 and -.';
COMMENT ON COLUMN issuers.version IS 'From 1, without gaps.';
COMMENT ON COLUMN issuers.name IS 'The legal name.';
COMMENT ON COLUMN issuers.address IS 'Street and number.';
COMMENT ON COLUMN issuers.postcode IS 'The postcode.';
COMMENT ON COLUMN issuers.city IS 'The city.';
COMMENT ON COLUMN issuers.region IS 'The region or state.';
COMMENT ON COLUMN issuers.country IS 'ISO 3166, two letters.';
COMMENT ON COLUMN issuers.vat_id IS 'The VAT identifier.';
COMMENT ON COLUMN issuers.tax_id IS 'The tax number.';
COMMENT ON COLUMN issuers.register IS 'The entry in the commercial register.';
COMMENT ON COLUMN issuers.currency IS 'The currency that it accounts in, ISO 4217.';
COMMENT ON COLUMN issuers.timezone IS 'The time zone in which its days begin.';
COMMENT ON COLUMN issuers.change IS 'What changed, in words.';
COMMENT ON COLUMN issuers.changed_at IS 'When it changed.';
COMMENT ON COLUMN issuers.actor IS 'Who changed it, as they called themselves.';
COMMENT ON COLUMN issuers.role IS 'The database role that changed it.';
COMMENT ON COLUMN issuers.note IS 'Why. NULL if nothing was said.';

COMMENT ON TABLE job_attempts IS 'Attempts at jobs that failed, after which the job was tried again.';
COMMENT ON COLUMN job_attempts.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN job_attempts.job_id IS 'The job.';
COMMENT ON COLUMN job_attempts.dispatch IS 'The job''s dispatch at that time.';
COMMENT ON COLUMN job_attempts.attempt IS 'Which attempt failed, from 1.';
COMMENT ON COLUMN job_attempts.worker IS 'The worker that tried.';
COMMENT ON COLUMN job_attempts.reason IS 'Why it failed, without personal data.';
COMMENT ON COLUMN job_attempts.failed_at IS 'When it failed.';

COMMENT ON TABLE ledger_queues IS 'One row for each queue that a worker has ever consumed: who looks after it, and how far its Redis is known to have come.';
COMMENT ON COLUMN ledger_queues.queue IS 'The queue.';
COMMENT ON COLUMN ledger_queues.holder IS 'The worker that looks after it, or did last.';
COMMENT ON COLUMN ledger_queues.expires_at IS 'Until when the holder has that right, by this server''s clock.';
COMMENT ON COLUMN ledger_queues.marker IS 'The last number that was written into Redis. An older one there means that Redis has lost data.';
COMMENT ON COLUMN ledger_queues.server IS 'The process of Redis that has the marker. '''' if none is known.';

COMMENT ON TABLE producer_counts IS 'How many jobs of each producer ended in five minutes, and how.';
COMMENT ON COLUMN producer_counts.window_start IS 'When the five minutes begin.';
COMMENT ON COLUMN producer_counts.producer IS 'The producer. '''' for jobs that name none.';
COMMENT ON COLUMN producer_counts.worker IS 'The worker that ended them.';
COMMENT ON COLUMN producer_counts.lane IS 'One of several rows of the worker, so that its transactions don''t wait for each other. Add them up.';
COMMENT ON COLUMN producer_counts.ended IS 'Jobs that ended.';
COMMENT ON COLUMN producer_counts.duplicates IS 'How many of those were duplicates.';
COMMENT ON COLUMN producer_counts.lost_races IS 'How many of the duplicates had reason lost_race.';
COMMENT ON COLUMN producer_counts.conflicts IS 'How many ended as conflicts.';

COMMENT ON TABLE producer_queues IS 'Queues that a producer made known by new_queue := true, before any worker has consumed them.';
COMMENT ON COLUMN producer_queues.queue IS 'The queue. It has several rows if several jobs named it at once.';
COMMENT ON COLUMN producer_queues.job_id IS 'The job that named it.';
COMMENT ON COLUMN producer_queues.role IS 'The database role that named it.';
COMMENT ON COLUMN producer_queues.named_at IS 'When it was named.';

COMMENT ON TABLE queue_nonces IS 'One row: what the workers of this installation have written last, here and in Redis. A restored copy of the database lacks what came later.';
COMMENT ON COLUMN queue_nonces.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN queue_nonces.nonces IS 'Random values, the newest first.';
COMMENT ON COLUMN queue_nonces.renewed_at IS 'When the newest one was made.';

COMMENT ON TABLE series IS 'How the documents of each series are numbered and printed. Each change is a row, and the highest version holds. Rows are never changed or deleted.';
COMMENT ON COLUMN series.series IS 'The series.';
COMMENT ON COLUMN series.version IS 'From 1, without gaps.';
COMMENT ON COLUMN series.kind IS 'Which documents it numbers: invoice or credit_note.';
COMMENT ON COLUMN series.format IS 'How a number is printed, such as {series}-{number:06}.';
COMMENT ON COLUMN series.from_period IS 'The first period in which the format holds. '''' for all.';
COMMENT ON COLUMN series.period IS 'When its numbers begin anew: none, year or month.';
COMMENT ON COLUMN series.first_month IS 'The month in which its year begins, 1 to 12.';
COMMENT ON COLUMN series.timezone IS 'The time zone in which periods and days begin.';
COMMENT ON COLUMN series.first_number IS 'The first number of first_period. In all other periods it is 1.';
COMMENT ON COLUMN series.first_period IS 'The first period that the series has. '''' if that isn''t stated.';
COMMENT ON COLUMN series.state IS 'open; paused: jobs wait until a person resumes it; closed: for good.';
COMMENT ON COLUMN series.origin IS 'configuration: a worker made it at first use; command: a person made it.';
COMMENT ON COLUMN series.change IS 'What changed, in words.';
COMMENT ON COLUMN series.changed_at IS 'When it changed.';
COMMENT ON COLUMN series.actor IS 'Who changed it, as they called themselves.';
COMMENT ON COLUMN series.role IS 'The database role that changed it.';
COMMENT ON COLUMN series.note IS 'Why. NULL if nothing was said.';
COMMENT ON COLUMN series.date IS 'The date of its documents: issued_at, as the job states it, or issue, the day on which they are made.';
COMMENT ON COLUMN series.issuer IS 'The legal entity. '''' is the one without a name.';
COMMENT ON COLUMN series.from_number IS 'The number from which the format holds. 0 for all.';

COMMENT ON TABLE settings IS 'What decides whether a job becomes an invoice. Each change is a row, and the highest version holds. Rows are never changed or deleted.';
COMMENT ON COLUMN settings.issuer IS 'The legal entity that they are for. '''' is the one without a name.';
COMMENT ON COLUMN settings.version IS 'From 1, without gaps.';
COMMENT ON COLUMN settings.strict IS 'true: only series that are there already are used.';
COMMENT ON COLUMN settings.dates_earliest IS 'The first day that issued_at may lie on, in UTC.';
COMMENT ON COLUMN settings.dates_latest_seconds IS 'How many seconds ahead of now issued_at may lie.';
COMMENT ON COLUMN settings.change IS 'What changed, in words.';
COMMENT ON COLUMN settings.changed_at IS 'When it changed.';
COMMENT ON COLUMN settings.actor IS 'Who changed it, as they called themselves.';
COMMENT ON COLUMN settings.role IS 'The database role that changed it.';
COMMENT ON COLUMN settings.note IS 'Why. NULL if nothing was said.';
COMMENT ON COLUMN settings.credit_notes IS 'free, or must_credit: a credit note has to name what it credits.';
COMMENT ON COLUMN settings.zero IS 'number: a document of nothing but zeros is made; refuse: such a job is invalid.';
COMMENT ON COLUMN settings.ignore IS 'In what a job may differ from the invoice that has its idempotency key and still be a duplicate: issued_at, presentation.';

COMMENT ON TABLE tokens IS 'Who may use the pages and the API. A revoked token''s row stays.';
COMMENT ON COLUMN tokens.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN tokens.name IS 'The token''s name. Unique among those that aren''t revoked.';
COMMENT ON COLUMN tokens.hash IS 'A hash of the token, which itself is kept nowhere.';
COMMENT ON COLUMN tokens.roles IS 'What it allows: read, operate, enqueue.';
COMMENT ON COLUMN tokens.producer IS 'The producer of all jobs that are sent with it. NULL if jobs name their own.';
COMMENT ON COLUMN tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN tokens.created_by IS 'Who made it, as they called themselves.';
COMMENT ON COLUMN tokens.created_by_role IS 'The database role that made it.';
COMMENT ON COLUMN tokens.expires_at IS 'When it stops to work. NULL for never.';
COMMENT ON COLUMN tokens.revoked_at IS 'When it was revoked. NULL while it works.';
COMMENT ON COLUMN tokens.revoked_by IS 'Who revoked it, as they called themselves.';
COMMENT ON COLUMN tokens.revoked_by_role IS 'The database role that revoked it.';
COMMENT ON COLUMN tokens.issuers IS 'The issuers whose data it shows; '''' is the one without a name. NULL for all.';

COMMENT ON FUNCTION accept(text, text, uuid, boolean) IS 'Takes a job, JSON text of at most 1 MiB, into the ledger inside the caller''s transaction, and returns its job_id. Once that is committed, the job ends as an invoice, a recorded duplicate or a failed job that people see. 22023: a job that can never be an invoice, with its bad fields, or a queue that no worker has consumed, unless new_queue is true. With the same job_id and payload, a repeat changes nothing.';
COMMENT ON FUNCTION accept(jsonb, text, uuid, boolean) IS 'accept for a payload that is jsonb: of a key that was given twice, jsonb has kept the last value only.';
COMMENT ON FUNCTION accept_check(text) IS 'Reads a payload for accept, and says what is wrong with it.';
COMMENT ON FUNCTION accept_details() IS 'The optional texts that a job may state about its customer.';
COMMENT ON FUNCTION accept_many(text, text, uuid[], boolean) IS 'accept_many for one text with a JSON array of jobs. They are kept as they are written.';
COMMENT ON FUNCTION accept_many(text[], text, uuid[], boolean) IS 'accept for many jobs in one statement: all are accepted, in their order, or none. Returns a row for each: its place from 1, its job_id, status inserted or known, and the number that its transaction is invoiced under already, NULL if under none. Bad jobs are named by place and field in one error.';
COMMENT ON FUNCTION accept_many(jsonb, text, uuid[], boolean) IS 'accept_many for one jsonb array of jobs: see accept for what jsonb loses.';
COMMENT ON FUNCTION accept_name(text) IS 'A name that a sender made up, fit for a message: short, in one line.';
COMMENT ON FUNCTION accept_of_before(text, text, uuid) IS 'accept of the release before, for statements and views that were made then. Use accept. It goes with the next release.';
COMMENT ON FUNCTION accept_problems(jsonb, text, boolean) IS 'What is wrong with a job as far as SQL can tell, one text for each bad field.';
COMMENT ON FUNCTION accept_queue(text, boolean, text) IS 'Refuses an unknown queue for accept, or makes it known.';
COMMENT ON FUNCTION apply_settings() IS 'Trigger: a new version of a series holds for its counters at once.';
COMMENT ON FUNCTION credit_problem(text, text, text, text, timestamptz, bigint, numeric[], numeric[], bigint) IS 'Why a document can''t credit another one, with what is left of that in minor units. NULL if it can, or if that one isn''t here.';
COMMENT ON FUNCTION credit_root(text, text) IS 'The transaction at the top of a family of credits.';
COMMENT ON FUNCTION guard_imports() IS 'Trigger: an import is never changed or deleted, only withdrawn once.';
COMMENT ON FUNCTION guard_issuers() IS 'Trigger: issuers change by new versions alone.';
COMMENT ON FUNCTION guard_last_date() IS 'Trigger: the last date of a counter never goes back.';
COMMENT ON FUNCTION guard_links() IS 'Trigger: a link is added once, and never changed or deleted.';
COMMENT ON FUNCTION guard_series() IS 'Trigger: a counter begins at 0, goes up by the invoices that are written, and is never deleted.';
COMMENT ON FUNCTION guard_settings() IS 'Trigger: series change by new versions alone.';
COMMENT ON FUNCTION guard_standing_settings() IS 'Trigger: settings change by new versions alone.';
COMMENT ON FUNCTION guard_tokens() IS 'Trigger: a token is never changed or deleted, only revoked once.';
COMMENT ON FUNCTION import_printed_by(text, text, bigint) IS 'The number of an import that a series could still print. NULL if there is none.';
COMMENT ON FUNCTION is_still_printed(text[], text[], integer, numeric, text) IS 'Whether what a form''s groups have matched is a number that is still to be printed.';
COMMENT ON FUNCTION issuers_apart() IS 'Whether two issuers may have the same ids and numbers: true once the first issuer was opened.';
COMMENT ON FUNCTION lookup(text, text) IS 'How a transaction of an issuer stands, in one row, without personal data. state is invoiced, else of a job that waits (enqueued, accepted, paused), else failed, dismissed, or unknown if the database knows nothing of it. job_id, outcome and reason are of the job that state is about; failed_job_id and so on are of the latest failed job, also beside an invoice. total_minor is in minor units. imported: it was invoiced elsewhere. waiting counts jobs without an end.';
COMMENT ON FUNCTION number_affixes(text, text, text) IS 'What is printed before and after a number of a series and period, and the fewest digits between.';
COMMENT ON FUNCTION period_of(text, integer, text, timestamptz) IS 'The period in which a time lies: '''' without periods, 2026 for a calendar year, 2026-27 for another year, 2026-04 for a month.';
COMMENT ON FUNCTION print_number(text, integer, text, bigint) IS 'A number as it is printed.';
COMMENT ON FUNCTION printed_forms() IS 'What numbers of all series that aren''t closed look like.';
COMMENT ON FUNCTION queue_known(text) IS 'Whether a queue is default, critical, bulk, one that a worker has consumed, or one that a producer made known.';
COMMENT ON FUNCTION record_counted_ends(text[], text[], text[], text[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[], double precision[], text, integer) IS 'record_ends_with_differences for workers of an earlier release.';
COMMENT ON FUNCTION record_duplicates(text[], text[], text[], bigint[], text[], text[], text[], text[], text[], integer[]) IS 'record_ends_with_differences for workers of an earlier release.';
COMMENT ON FUNCTION record_ends(text[], text[], text[], text[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[]) IS 'record_ends_with_differences for workers of an earlier release.';
COMMENT ON FUNCTION record_ends_of_issuers(text[], text[], text[], text[], text[], bigint[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[], double precision[], text, integer) IS 'record_ends_with_differences for workers of the release before.';
COMMENT ON FUNCTION record_ends_with_differences(text[], text[], text[], text[], text[], bigint[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[], double precision[], text[], text, integer) IS 'Records that jobs ended well, and counts them. Each argument has one element for each job. Returns those for which nothing was recorded, by place from 1, and why.';
COMMENT ON FUNCTION record_good_ends(text[], text[], text[], text[], bigint[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[], double precision[], text, integer) IS 'record_ends_with_differences for workers of an earlier release.';
COMMENT ON FUNCTION refuse_addition() IS 'Trigger: lines and taxes are added with their invoice, and never later.';
COMMENT ON FUNCTION refuse_change() IS 'Trigger: what is invoiced is never changed or deleted.';
COMMENT ON FUNCTION refuse_credits(bigint[]) IS 'Refuses documents that credit more than is left, or what they can''t.';
COMMENT ON FUNCTION refuse_gap() IS 'Trigger: the numbers of new invoices follow the last one, and are printed as the series says.';
COMMENT ON FUNCTION refuse_imported() IS 'Trigger: a transaction, key or number of an import isn''t invoiced here.';
COMMENT ON FUNCTION refuse_imported_numbers() IS 'Trigger: a series that could print the number of an import is refused.';
COMMENT ON FUNCTION refuse_invoiced() IS 'Trigger: what is invoiced here, or could still be printed here, isn''t imported.';
COMMENT ON FUNCTION refuse_link() IS 'Trigger: chain, salt and text_hash come together, in their form.';
COMMENT ON FUNCTION refuse_misdated() IS 'Trigger: documents that are dated on their day of issue have dates that rise with their numbers.';
COMMENT ON FUNCTION refuse_other_past() IS 'Trigger: what people did stays on record.';
COMMENT ON FUNCTION refuse_uncounted() IS 'Trigger: a counter never gets ahead of the invoices.';
COMMENT ON FUNCTION refuse_unknown_invoice() IS 'Trigger: an end names an invoice or import that is there.';
COMMENT ON FUNCTION refuse_unknown_queue(text) IS 'Refuses a queue as accept does, with 22023, and otherwise does nothing: to find out before the first job.';
COMMENT ON FUNCTION refuse_unopened() IS 'Trigger: with strict settings, only series and counters that people opened are used.';
COMMENT ON FUNCTION refuse_unsettled() IS 'Trigger: new invoices obey the settings and what they may credit.';
COMMENT ON FUNCTION settle_counter(text, text, text, text, bigint, bigint, integer) IS 'What a counter is to be by the settings of its series.';
COMMENT ON FUNCTION settle_issuer() IS 'Trigger: a new issuer begins with the settings that hold without one.';
COMMENT ON FUNCTION still_printed(text[]) IS 'still_printed of the issuer without a name, for the release before.';
COMMENT ON FUNCTION still_printed(text[], text[]) IS 'Those of the numbers that a series could still print.';

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
DROP TABLE producer_queues;SELECT set_config('lock_timeout', '5s', true); -- as above
-- +goose StatementBegin
DO $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT format('TABLE %s', oid::regclass) FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind = 'r'
        UNION ALL SELECT format('COLUMN %s.%I', attrelid::regclass, attname) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
            WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace LOOP
        EXECUTE format('COMMENT ON %s IS NULL', one);
    END LOOP;
END $$;
-- +goose StatementEnd
