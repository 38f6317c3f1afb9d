-- +goose Up

-- Functions that run with their owner's rights find nothing in their caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- As the function of before, which stays for processes of the release before and goes a release later; but the key may be the job's own. Such a
-- key is free again once the job that it made has failed or was dismissed, so that whoever has mended what was wrong can ask again; and, for
-- another transaction, once that job was a duplicate, whose own key binds nothing.
-- +goose StatementBegin
CREATE FUNCTION accept_request(
    payload text, queue text, job_id uuid, issuer text, transaction_id text, token text, key bytea, content bytea, traceparent text, own_key boolean,
    OUT accepted_as text, OUT accepted_into text, OUT status text, OUT known_job_id text, OUT invoice_number text, OUT repeated boolean, OUT other_content boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
    before api_requests;
BEGIN
    accepted_as := job_id::text;
    accepted_into := queue;
    repeated := false;
    other_content := false;
    invoice_number := coalesce(
        (SELECT i.invoice_number FROM invoices i WHERE i.issuer = accept_request.issuer AND i.transaction_id = accept_request.transaction_id),
        (SELECT i.invoice_number FROM imported_invoices i WHERE i.issuer = accept_request.issuer AND i.transaction_id = accept_request.transaction_id AND i.withdrawn_at IS NULL));
    IF invoice_number IS NULL THEN
        SELECT j.job_id INTO known_job_id FROM invoice_jobs j
        WHERE j.transaction_id = accept_request.transaction_id AND j.issuer = accept_request.issuer AND j.state IN ('accepted', 'enqueued') ORDER BY j.id LIMIT 1;
    END IF;
    status := CASE WHEN invoice_number IS NOT NULL THEN 'duplicate' WHEN known_job_id IS NOT NULL THEN 'known' ELSE 'inserted' END;
    IF key IS NOT NULL THEN
        INSERT INTO api_requests (token, key, content, job_id, queue, status, known_job_id, invoice_number)
        VALUES (token, key, content, accepted_as, queue, status, known_job_id, invoice_number)
        ON CONFLICT ON CONSTRAINT api_requests_pkey DO NOTHING;
        IF NOT FOUND THEN
            -- The row is locked before the job is looked at, so that of two that find the key free one takes it, and the other finds that.
            IF own_key THEN
                PERFORM FROM api_requests r WHERE r.token = accept_request.token AND r.key = accept_request.key FOR UPDATE;
            END IF;
            SELECT * INTO before FROM api_requests r WHERE r.token = accept_request.token AND r.key = accept_request.key;
            IF own_key AND EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = before.job_id AND (j.state IN ('failed', 'dismissed')
                    OR j.state = 'done' AND j.outcome = 'duplicate' AND (j.issuer, j.transaction_id) IS DISTINCT FROM (accept_request.issuer, accept_request.transaction_id))) THEN
                UPDATE api_requests r SET content = accept_request.content, job_id = accepted_as, queue = accept_request.queue, status = accept_request.status,
                    known_job_id = accept_request.known_job_id, invoice_number = accept_request.invoice_number, created_at = now()
                WHERE r.token = accept_request.token AND r.key = accept_request.key;
            ELSE
                accepted_as := before.job_id;
                accepted_into := before.queue;
                status := before.status;
                known_job_id := before.known_job_id;
                invoice_number := before.invoice_number;
                repeated := true;
                other_content := before.content IS DISTINCT FROM content;
                -- As in accept: the commit of the row that was found may have reached this server alone.
                PERFORM pg_logical_emit_message(true, 'invoicer', '');
                RETURN;
            END IF;
        END IF;
    END IF;
    PERFORM set_config('invoicer.traceparent', coalesce(traceparent, ''), true);
    PERFORM accept(payload, queue, job_id);
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text, boolean) FROM PUBLIC;

-- Whether accept_request would find the key taken, or an invoice: settings that have changed since refuse no such request.
-- +goose StatementBegin
CREATE FUNCTION request_asked(issuer text, transaction_id text, token text, key bytea, own_key boolean) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
BEGIN
    RETURN EXISTS (SELECT FROM invoices i WHERE i.issuer = request_asked.issuer AND i.transaction_id = request_asked.transaction_id)
        OR EXISTS (SELECT FROM imported_invoices i WHERE i.issuer = request_asked.issuer AND i.transaction_id = request_asked.transaction_id AND i.withdrawn_at IS NULL)
        OR EXISTS (SELECT FROM api_requests r WHERE r.token = request_asked.token AND r.key = request_asked.key AND NOT (own_key
            AND EXISTS (SELECT FROM invoice_jobs j WHERE j.job_id = r.job_id AND j.state IN ('failed', 'dismissed'))));
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION request_asked(text, text, text, bytea, boolean) FROM PUBLIC;

-- Up to which row a list that is read on, the oldest first, is complete. Ids are drawn before the commit, so a row may appear behind later ones. Who
-- has drawn one holds a lock on the table, taken before and kept until its transaction ends; so once all have ended who held one at a moment,
-- nothing appears any more below the newest row of that moment. The moments are kept here, so that those who write need to do nothing.
CREATE TABLE list_marks (
    list      text        NOT NULL,
    row_id    bigint      NOT NULL,
    waits_for text[]      NOT NULL,
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT list_marks_pkey PRIMARY KEY (list, row_id)
);

-- +goose StatementBegin
CREATE FUNCTION list_horizon(list text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
    place   regclass;
    newest  bigint;
    writers text[];
    horizon bigint;
    oldest  timestamptz;
    latest  timestamptz;
BEGIN
    place := CASE WHEN list IN ('invoice_jobs', 'invoices', 'duplicate_attempts') THEN list::regclass END;
    IF place IS NULL THEN
        RAISE EXCEPTION 'there is no list %', list USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE 'SELECT coalesce(max(id), 0) FROM ' || place INTO newest;
    -- Later than that, with what was drawn up to then: whoever has drawn a lower id is among these, or has ended. A prepared transaction has no pid.
    writers := ARRAY(SELECT DISTINCT l.virtualtransaction FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = place AND l.mode = 'RowExclusiveLock' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.pid IS DISTINCT FROM pg_backend_pid());
    IF cardinality(writers) = 0 THEN
        horizon := newest;
    ELSE
        SELECT coalesce(max(m.row_id), 0) INTO horizon FROM list_marks m WHERE m.list = list_horizon.list AND NOT m.waits_for && writers;
    END IF;
    SELECT min(m.made_at) FILTER (WHERE m.row_id > horizon), max(m.made_at) INTO oldest, latest FROM list_marks m WHERE m.list = list_horizon.list;
    -- A moment is kept every 20 ms at most, and less often the longer a transaction holds up the list, so that they stay few.
    IF (latest IS NULL OR clock_timestamp() - latest > greatest(interval '20 ms', (latest - oldest) / 50))
        AND pg_try_advisory_xact_lock(hashtextextended('invoicer list_marks ' || place::oid, 0)) THEN
        PERFORM set_config('synchronous_commit', 'off', true); -- a reader waits for no disk and no standby: a mark that is lost is made again
        INSERT INTO list_marks (list, row_id, waits_for) VALUES (list, newest, writers)
        ON CONFLICT ON CONSTRAINT list_marks_pkey DO NOTHING;
        DELETE FROM list_marks m WHERE m.list = list_horizon.list AND m.row_id < horizon;
    END IF;
    RETURN horizon;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION list_horizon(text) FROM PUBLIC;

-- Replays of many failed jobs, which go on in another process if theirs dies.
CREATE TABLE replays (
    id          uuid             NOT NULL,
    filter      jsonb            NOT NULL,
    rate        double precision,
    actor       text             NOT NULL,
    note        text,
    token       text,
    key         bytea,
    content     bytea,
    state       text             NOT NULL DEFAULT 'waiting',
    counted     bigint,
    replayed    bigint           NOT NULL DEFAULT 0,
    refused     bigint           NOT NULL DEFAULT 0,
    changed     bigint           NOT NULL DEFAULT 0,
    forecasts   jsonb            NOT NULL DEFAULT '{}',
    refusals    jsonb            NOT NULL DEFAULT '[]',
    after_at    timestamptz,
    after_id    bigint,
    holder      text,
    lease_until timestamptz      NOT NULL DEFAULT now(),
    reason      text,
    created_at  timestamptz      NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    CONSTRAINT replays_pkey PRIMARY KEY (id),
    CONSTRAINT replays_token_key_key UNIQUE (token, key),
    CONSTRAINT replays_hashes_check CHECK (num_nonnulls(token, key, content) IN (0, 3) AND octet_length(key) = 32 AND octet_length(content) = 32),
    CONSTRAINT replays_state_check CHECK (state IN ('waiting', 'running', 'finished', 'canceled', 'failed')),
    CONSTRAINT replays_ended_check CHECK ((state IN ('waiting', 'running')) = (ended_at IS NULL)),
    CONSTRAINT replays_counts_check CHECK (least(counted, replayed, refused, changed) >= 0)
);
CREATE INDEX replays_open_idx ON replays (lease_until) WHERE state IN ('waiting', 'running');

-- The secret of an endpoint that no configuration states: a new one, beside which the one before stays good, or none any more. Whoever may set
-- one needn't be able to read any.
-- +goose StatementBegin
CREATE FUNCTION set_endpoint_secret(endpoint bigint, secret text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF secret IS NULL THEN
        DELETE FROM event_secrets s WHERE s.endpoint_id = endpoint;
    ELSIF EXISTS (SELECT FROM event_endpoints e WHERE e.id = endpoint AND e.origin = 'operator' AND e.state <> 'removed') THEN
        INSERT INTO event_secrets AS s (endpoint_id, secrets) VALUES (endpoint, ARRAY[secret])
        ON CONFLICT ON CONSTRAINT event_secrets_pkey DO UPDATE SET secrets = excluded.secrets || s.secrets[1:1];
    ELSE
        RAISE EXCEPTION 'there is no such endpoint' USING ERRCODE = 'no_data_found';
    END IF;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION set_endpoint_secret(bigint, text) FROM PUBLIC;

COMMENT ON COLUMN api_requests.key IS 'The SHA-256 of the key. Of a job''s own, it is of the issuer, too, with U+0000 before each, so that it is none of a header''s.';
COMMENT ON COLUMN api_requests.content IS 'The HMAC-SHA-256 under the key of queue and job, or with a job''s own key of its fingerprint, by which other content is known. Nobody can try guesses of the content against it without the key.';
COMMENT ON FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text, boolean) IS 'Accepts a job for the HTTP API, once for each key of a token. A job''s own key is free again if the job that it made has failed, or was dismissed.';
COMMENT ON FUNCTION request_asked(text, text, text, bytea, boolean) IS 'Whether a request was accepted before under its key, or its transaction has an invoice.';
COMMENT ON FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text) IS 'As the function with one argument more, for processes of the release before.';
COMMENT ON TABLE list_marks IS 'By what is known up to which row lists are complete.';
COMMENT ON COLUMN list_marks.list IS 'The table that is listed.';
COMMENT ON COLUMN list_marks.row_id IS 'Its newest row at a moment.';
COMMENT ON COLUMN list_marks.waits_for IS 'The transactions that were writing then. Once they have ended, nothing appears below that row any more.';
COMMENT ON COLUMN list_marks.made_at IS 'That moment.';
COMMENT ON FUNCTION list_horizon(text) IS 'The row of invoice_jobs, invoices or duplicate_attempts up to which no row appears any more.';
COMMENT ON TABLE replays IS 'Replays of all failed jobs that match a filter, with how far they have come.';
COMMENT ON COLUMN replays.id IS 'Identity of the replay; later ones have greater ids.';
COMMENT ON COLUMN replays.filter IS 'Which jobs. They have failed by the time until.';
COMMENT ON COLUMN replays.rate IS 'How many are sent in a second at most; NULL for any number.';
COMMENT ON COLUMN replays.actor IS 'Who replays.';
COMMENT ON COLUMN replays.note IS 'Why, if it was stated.';
COMMENT ON COLUMN replays.token IS 'Whose key is meant, if the request had an Idempotency-Key.';
COMMENT ON COLUMN replays.key IS 'The SHA-256 of the key.';
COMMENT ON COLUMN replays.content IS 'The HMAC-SHA-256 of the request under the key.';
COMMENT ON COLUMN replays.state IS 'waiting: no process has begun; running; finished; canceled; failed: see reason.';
COMMENT ON COLUMN replays.counted IS 'How many jobs matched at the beginning.';
COMMENT ON COLUMN replays.replayed IS 'How many jobs were made accepted again. Counted in the transaction that did so.';
COMMENT ON COLUMN replays.refused IS 'How many still can''t be an invoice, and were left failed.';
COMMENT ON COLUMN replays.changed IS 'How many weren''t failed any more.';
COMMENT ON COLUMN replays.forecasts IS 'What was predicted of those that were replayed: how many would become an invoice, a duplicate, a conflict.';
COMMENT ON COLUMN replays.refusals IS 'The first of those that were refused, with the reasons.';
COMMENT ON COLUMN replays.after_at IS 'How far it has come, in the order in which jobs failed: the time of the last one.';
COMMENT ON COLUMN replays.after_id IS 'The row of the last one.';
COMMENT ON COLUMN replays.holder IS 'The process that works on it.';
COMMENT ON COLUMN replays.lease_until IS 'When another process may take it over.';
COMMENT ON COLUMN replays.reason IS 'Why it has failed.';
COMMENT ON COLUMN replays.created_at IS 'When it was asked for.';
COMMENT ON COLUMN replays.ended_at IS 'When it ended.';
COMMENT ON FUNCTION set_endpoint_secret(bigint, text) IS 'Sets the secret of an endpoint that no configuration states, or removes all, for NULL. The one before stays good.';

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM replays WHERE ended_at IS NULL) THEN
        RAISE EXCEPTION 'migrating down refused: there are replays that haven''t ended; cancel them'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'replays';
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text, boolean), request_asked(text, text, text, bytea, boolean), list_horizon(text), set_endpoint_secret(bigint, text);
DROP TABLE list_marks, replays;
COMMENT ON COLUMN api_requests.key IS 'The SHA-256 of the key.';
COMMENT ON COLUMN api_requests.content IS 'The HMAC-SHA-256 of queue and job under the key, by which other content is known. Nobody can try guesses of the content against it without the key.';
COMMENT ON FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text) IS 'Accepts a job for the HTTP API, once for each key of a token.';
