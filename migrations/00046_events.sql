-- +goose Up

-- In the order in which those who write invoices and end jobs take them.
LOCK TABLE invoices, duplicate_attempts, invoice_jobs IN SHARE ROW EXCLUSIVE MODE;

-- Functions that run with their owner's rights find nothing in their caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Who is told of events. A row stays when its endpoint is removed, since deliveries name it.
CREATE TABLE event_endpoints (
    id            bigint GENERATED ALWAYS AS IDENTITY,
    name          text        NOT NULL,
    url           text        NOT NULL,
    types         text[]      NOT NULL,
    issuers       text[],
    origin        text        NOT NULL,
    state         text        NOT NULL DEFAULT 'enabled',
    reason        text,
    failing_since timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_endpoints_pkey PRIMARY KEY (id),
    CONSTRAINT event_endpoints_name_check CHECK (name ~ '^[A-Za-z0-9._:/@+=-]{1,64}$'),
    CONSTRAINT event_endpoints_url_check CHECK (url ~ '^https?://[^/@]+' AND octet_length(url) <= 2000),
    CONSTRAINT event_endpoints_types_check CHECK (cardinality(types) > 0 AND types <@ ARRAY['invoice.created', 'credit_note.created', 'job.duplicate', 'job.conflict', 'job.failed', 'endpoint.disabled', 'endpoint.test']),
    CONSTRAINT event_endpoints_origin_check CHECK (origin IN ('configuration', 'operator')),
    CONSTRAINT event_endpoints_state_check CHECK (state IN ('enabled', 'disabled', 'removed'))
);
CREATE UNIQUE INDEX event_endpoints_name_key ON event_endpoints (name) WHERE state <> 'removed';

-- With which events are signed, of the endpoints that no configuration states: a table of its own, for those alone who sign.
CREATE TABLE event_secrets (
    endpoint_id bigint NOT NULL,
    secrets     text[] NOT NULL,
    CONSTRAINT event_secrets_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT event_secrets_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES event_endpoints (id),
    CONSTRAINT event_secrets_some_check CHECK (cardinality(secrets) BETWEEN 1 AND 2)
);

-- The types of events that are recorded though no endpoint wants them.
CREATE TABLE event_recording (
    type text NOT NULL,
    CONSTRAINT event_recording_pkey PRIMARY KEY (type)
);

-- What has happened, written by triggers in the transaction of what it tells.
CREATE TABLE events (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    event_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    type           text        NOT NULL,
    issuer         text        NOT NULL DEFAULT '',
    transaction_id text,
    job_id         text,
    data           json        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT events_pkey PRIMARY KEY (id)
);
CREATE INDEX events_xid_idx ON events (xid, id);

-- What each endpoint is to be told. No foreign keys: triggers alone write it, for events and endpoints that they have just seen.
CREATE TABLE event_deliveries (
    event_id       bigint      NOT NULL,
    endpoint_id    bigint      NOT NULL,
    issuer         text        NOT NULL DEFAULT '',
    transaction_id text,
    state          text        NOT NULL DEFAULT 'pending',
    attempts       integer     NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL DEFAULT statement_timestamp(),
    since          timestamptz NOT NULL DEFAULT statement_timestamp(),
    status         integer,
    error          text,
    ended_at       timestamptz,
    CONSTRAINT event_deliveries_pkey PRIMARY KEY (event_id, endpoint_id),
    CONSTRAINT event_deliveries_state_check CHECK (state IN ('pending', 'delivered', 'dead')),
    CONSTRAINT event_deliveries_ended_check CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX event_deliveries_due_idx ON event_deliveries (endpoint_id, due_at, event_id) WHERE state = 'pending';
CREATE INDEX event_deliveries_order_idx ON event_deliveries (transaction_id, event_id) WHERE state = 'pending';
CREATE INDEX event_deliveries_dead_idx ON event_deliveries (endpoint_id, event_id) WHERE state = 'dead';

-- It pins no search path, so that it costs its callers, who do, no call.
-- +goose StatementBegin
CREATE FUNCTION event_time(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
    'SELECT pg_catalog.to_char(at AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS.US"Z"'')';
-- +goose StatementEnd

-- Events are told with the owner's rights: whoever writes an invoice needs none to events. A statement of a type that nobody wants costs a
-- look into two tables of a few rows.
-- +goose StatementBegin
CREATE FUNCTION tell_invoices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'invoices'::regclass THEN -- elsewhere "added" could be a view that runs others' code
        RAISE EXCEPTION 'tell_invoices is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM event_endpoints WHERE state <> 'removed' AND types && ARRAY['invoice.created', 'credit_note.created'])
        AND NOT EXISTS (SELECT FROM event_recording WHERE type IN ('invoice.created', 'credit_note.created')) THEN
        RETURN NULL;
    END IF;
    WITH told AS (
        INSERT INTO events (type, issuer, transaction_id, job_id, data)
        SELECT kind || '.created', issuer, transaction_id, job_id, json_build_object(
            'issuer', issuer, 'transaction_id', transaction_id, 'invoice_number', invoice_number, 'kind', kind, 'series', series, 'period', period, 'number', number,
            'job_id', job_id, 'producer', producer, 'currency', currency, 'subtotal_minor', subtotal_minor, 'tax_minor', tax_minor, 'total_minor', total_minor,
            'payable_minor', coalesce(payable_minor, total_minor), 'credits_transaction_id', credits_transaction_id, 'document_date', document_date,
            'issued_at', event_time(issued_at), 'created_at', event_time(created_at))
        FROM added
        WHERE EXISTS (SELECT FROM event_endpoints e WHERE state <> 'removed' AND added.kind || '.created' = ANY (e.types) AND (e.issuers IS NULL OR added.issuer = ANY (e.issuers)))
            OR EXISTS (SELECT FROM event_recording r WHERE r.type = added.kind || '.created')
        ORDER BY id
        RETURNING id, type, issuer, transaction_id
    )
    INSERT INTO event_deliveries (event_id, endpoint_id, issuer, transaction_id)
    SELECT told.id, e.id, told.issuer, told.transaction_id FROM told
    JOIN event_endpoints e ON state <> 'removed' AND told.type = ANY (e.types) AND (e.issuers IS NULL OR told.issuer = ANY (e.issuers));
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tell_duplicates() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'duplicate_attempts'::regclass THEN -- as above
        RAISE EXCEPTION 'tell_duplicates is for duplicate_attempts' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM event_endpoints WHERE state <> 'removed' AND 'job.duplicate' = ANY (types)) AND NOT EXISTS (SELECT FROM event_recording WHERE type = 'job.duplicate') THEN
        RETURN NULL;
    END IF;
    WITH told AS (
        INSERT INTO events (type, issuer, transaction_id, job_id, data)
        SELECT 'job.duplicate', added.issuer, added.transaction_id, added.job_id, json_build_object(
            'issuer', added.issuer, 'transaction_id', added.transaction_id, 'job_id', added.job_id, 'producer', added.producer, 'reason', added.reason,
            'differs', added.differs, 'invoice_number', coalesce(invoices.invoice_number, imported.invoice_number), 'attempted_at', event_time(added.attempted_at))
        FROM added LEFT JOIN invoices ON invoices.id = added.invoice_id LEFT JOIN imported_invoices imported ON imported.id = added.imported_id
        WHERE EXISTS (SELECT FROM event_endpoints e WHERE state <> 'removed' AND 'job.duplicate' = ANY (e.types) AND (e.issuers IS NULL OR added.issuer = ANY (e.issuers)))
            OR EXISTS (SELECT FROM event_recording r WHERE r.type = 'job.duplicate')
        ORDER BY added.id
        RETURNING id, type, issuer, transaction_id
    )
    INSERT INTO event_deliveries (event_id, endpoint_id, issuer, transaction_id)
    SELECT told.id, e.id, told.issuer, told.transaction_id FROM told
    JOIN event_endpoints e ON state <> 'removed' AND told.type = ANY (e.types) AND (e.issuers IS NULL OR told.issuer = ANY (e.issuers));
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- One event, of what is rare. It is for the owner's functions alone.
-- +goose StatementBegin
CREATE FUNCTION tell(of_type text, of_issuer text, of_transaction text, of_job text, of_data json) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    told bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM event_endpoints e WHERE state <> 'removed' AND of_type = ANY (e.types) AND (e.issuers IS NULL OR of_issuer = ANY (e.issuers)))
        AND NOT EXISTS (SELECT FROM event_recording WHERE type = of_type) THEN
        RETURN;
    END IF;
    INSERT INTO events (type, issuer, transaction_id, job_id, data) VALUES (of_type, of_issuer, of_transaction, of_job, of_data) RETURNING id INTO told;
    INSERT INTO event_deliveries (event_id, endpoint_id, issuer, transaction_id)
    SELECT told, e.id, of_issuer, of_transaction FROM event_endpoints e WHERE state <> 'removed' AND of_type = ANY (e.types) AND (e.issuers IS NULL OR of_issuer = ANY (e.issuers));
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION tell(text, text, text, text, json) FROM PUBLIC;

-- +goose StatementBegin
CREATE FUNCTION tell_failed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'invoice_jobs'::regclass THEN -- as above
        RAISE EXCEPTION 'tell_failed is for invoice_jobs' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM tell(CASE NEW.outcome WHEN 'conflict' THEN 'job.conflict' ELSE 'job.failed' END, NEW.issuer, NEW.transaction_id, NEW.job_id, json_build_object(
        'issuer', NEW.issuer, 'transaction_id', NEW.transaction_id, 'job_id', NEW.job_id, 'producer', NEW.producer, 'queue', NEW.queue, 'outcome', NEW.outcome,
        'reason', NEW.reason, 'attempts', NEW.attempts, 'failed_at', event_time(NEW.updated_at)));
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tell_disabled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'event_endpoints'::regclass THEN -- as above
        RAISE EXCEPTION 'tell_disabled is for event_endpoints' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM tell('endpoint.disabled', '', NULL, NULL, json_build_object('endpoint', NEW.name, 'reason', NEW.reason, 'failing_since', event_time(NEW.failing_since)));
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- An operator's question whether an endpoint hears anything.
-- +goose StatementBegin
CREATE FUNCTION test_endpoint(endpoint bigint) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    told events;
BEGIN
    INSERT INTO events (type, data) SELECT 'endpoint.test', json_build_object('endpoint', name) FROM event_endpoints WHERE id = endpoint AND state <> 'removed' RETURNING * INTO told;
    IF told.id IS NOT NULL THEN
        INSERT INTO event_deliveries (event_id, endpoint_id) VALUES (told.id, endpoint);
    END IF;
    RETURN told.event_id;
END $$;
-- +goose StatementEnd
-- The types that are recorded without an endpoint are these from now on.
-- +goose StatementBegin
CREATE FUNCTION record_events(types text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM event_recording WHERE type <> ALL (coalesce(types, '{}'));
    INSERT INTO event_recording SELECT unnest(types) ON CONFLICT DO NOTHING;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION tell_invoices(), tell_duplicates(), tell_failed(), tell_disabled(), test_endpoint(bigint), record_events(text[]) FROM PUBLIC;

-- Claims what an endpoint is to be told now. Whatever the statistics say of tables that are filled and emptied all the time, the one index that leads to
-- each row must be used: with another one, or in another order of joins, all that waits is read for each. So nothing is joined: rows are named by an
-- array, and only the columns of that index are compared as they are. What has waited while an endpoint was disabled waits from then on that it was enabled.
-- +goose StatementBegin
CREATE FUNCTION claim_events(endpoint bigint, most integer, lease double precision)
RETURNS TABLE (event_row bigint, attempt integer, waits_since timestamptz, at timestamptz, told_id uuid, told_type text, told_issuer text, told_transaction text, told_job text, told_data json, happened_at timestamptz)
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
DECLARE
    mine    bigint[];
    changed timestamptz;
BEGIN
    SELECT e.changed_at INTO changed FROM event_endpoints e WHERE e.id = endpoint AND e.state = 'enabled';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    mine := ARRAY(
        SELECT d.event_id FROM event_deliveries d
        WHERE d.endpoint_id = endpoint AND d.state = 'pending' AND d.due_at <= now() AND NOT EXISTS (
            SELECT FROM event_deliveries b WHERE b.transaction_id = d.transaction_id AND b.event_id < d.event_id AND b.state = 'pending' AND b.endpoint_id + 0 = endpoint AND b.issuer = d.issuer)
        ORDER BY d.due_at, d.event_id LIMIT most FOR UPDATE SKIP LOCKED);
    RETURN QUERY WITH claimed AS (
        UPDATE event_deliveries d SET attempts = d.attempts + 1, due_at = now() + lease * interval '1 second'
        WHERE d.event_id = ANY (mine) AND d.endpoint_id = endpoint RETURNING d.event_id, d.attempts, d.since
    )
    SELECT c.event_id, c.attempts, greatest(c.since, changed), now(), e.event_id, e.type, e.issuer, coalesce(e.transaction_id, ''), coalesce(e.job_id, ''), e.data, e.created_at
    FROM claimed c, LATERAL (SELECT * FROM events WHERE id = c.event_id OFFSET 0) e -- OFFSET keeps the order of the join
    ORDER BY array_position(mine, c.event_id);
END $$;
-- +goose StatementEnd

-- Records what came of deliveries to an endpoint. What isn't pending any more stays as it is.
-- +goose StatementBegin
CREATE FUNCTION settle_events(endpoint bigint, event_rows bigint[], states text[], again_ms bigint[], statuses bigint[], errors text[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
BEGIN
    UPDATE event_deliveries d SET (state, due_at, status, error, ended_at) = (
        SELECT states[i], now() + again_ms[i] * interval '1 millisecond', nullif(statuses[i], 0), nullif(errors[i], ''), CASE WHEN states[i] <> 'pending' THEN now() END
        FROM array_position(event_rows, d.event_id) i)
    WHERE d.event_id = ANY (event_rows) AND d.endpoint_id = endpoint AND d.state || '' = 'pending';
END $$;
-- +goose StatementEnd

CREATE TRIGGER invoices_told AFTER INSERT ON invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tell_invoices();
CREATE TRIGGER duplicate_attempts_told AFTER INSERT ON duplicate_attempts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tell_duplicates();
CREATE TRIGGER invoice_jobs_told AFTER INSERT ON invoice_jobs FOR EACH ROW WHEN (NEW.state = 'failed') EXECUTE FUNCTION tell_failed();
CREATE TRIGGER invoice_jobs_failure_told AFTER UPDATE ON invoice_jobs FOR EACH ROW WHEN (NEW.state = 'failed' AND OLD.state <> 'dismissed'
    AND (OLD.state <> 'failed' OR NEW.dispatch <> OLD.dispatch OR NEW.attempts <> OLD.attempts)) EXECUTE FUNCTION tell_failed();
CREATE TRIGGER event_endpoints_told AFTER UPDATE ON event_endpoints FOR EACH ROW WHEN (NEW.state = 'disabled' AND OLD.state = 'enabled') EXECUTE FUNCTION tell_disabled();

COMMENT ON TABLE event_endpoints IS 'Who is told of events, and where.';
COMMENT ON COLUMN event_endpoints.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN event_endpoints.name IS 'The endpoint''s name, which no other one has while it isn''t removed.';
COMMENT ON COLUMN event_endpoints.url IS 'Where events are posted to.';
COMMENT ON COLUMN event_endpoints.types IS 'Which events it is told of.';
COMMENT ON COLUMN event_endpoints.issuers IS 'Of whose invoices and jobs; NULL for those of all issuers.';
COMMENT ON COLUMN event_endpoints.origin IS 'configuration: a process''s configuration states it; operator: it was added by a command or the API.';
COMMENT ON COLUMN event_endpoints.state IS 'enabled; disabled: nothing is posted, and events wait; removed: it is told nothing.';
COMMENT ON COLUMN event_endpoints.reason IS 'Why it is disabled.';
COMMENT ON COLUMN event_endpoints.failing_since IS 'Since when it has taken nothing. NULL: it took what it was posted last.';
COMMENT ON COLUMN event_endpoints.created_at IS 'Since when it is there.';
COMMENT ON COLUMN event_endpoints.changed_at IS 'When it was changed last.';
COMMENT ON TABLE event_secrets IS 'With which events are signed for the endpoints that no configuration states.';
COMMENT ON COLUMN event_secrets.endpoint_id IS 'The endpoint''s row.';
COMMENT ON COLUMN event_secrets.secrets IS 'The newest first: while one is replaced, events are signed with both.';
COMMENT ON TABLE event_recording IS 'The types of events that are recorded though no endpoint wants them.';
COMMENT ON COLUMN event_recording.type IS 'A type of events.';
COMMENT ON TABLE events IS 'What has happened, as it is told to endpoints. It has no personal data.';
COMMENT ON COLUMN events.id IS 'Identity of the row, drawn before the commit. Gaps mean nothing.';
COMMENT ON COLUMN events.xid IS 'The transaction that wrote it: a reader who goes on after (xid, id) passes nothing if it stays below pg_snapshot_xmin.';
COMMENT ON COLUMN events.event_id IS 'What receivers tell repeats by.';
COMMENT ON COLUMN events.type IS 'invoice.created, credit_note.created, job.duplicate, job.conflict, job.failed, endpoint.disabled or endpoint.test.';
COMMENT ON COLUMN events.issuer IS 'Of which issuer, '''' for the one without a name.';
COMMENT ON COLUMN events.transaction_id IS 'Of which transaction, where it is one''s.';
COMMENT ON COLUMN events.job_id IS 'Of which job, where it is one''s.';
COMMENT ON COLUMN events.data IS 'References and totals, as they are posted.';
COMMENT ON COLUMN events.created_at IS 'When it happened.';
COMMENT ON TABLE event_deliveries IS 'What each endpoint was told, or is to be told.';
COMMENT ON COLUMN event_deliveries.event_id IS 'The event''s row.';
COMMENT ON COLUMN event_deliveries.endpoint_id IS 'The endpoint''s row.';
COMMENT ON COLUMN event_deliveries.issuer IS 'The event''s issuer.';
COMMENT ON COLUMN event_deliveries.transaction_id IS 'The event''s transaction: an endpoint is told of one in the order of events.';
COMMENT ON COLUMN event_deliveries.state IS 'pending; delivered: the endpoint took it; dead: it took it at no attempt.';
COMMENT ON COLUMN event_deliveries.attempts IS 'How often it was posted, or is being posted, since it was to be posted again last.';
COMMENT ON COLUMN event_deliveries.due_at IS 'When it is posted next; while it is being posted, when another process may do so.';
COMMENT ON COLUMN event_deliveries.since IS 'Since when it is to be told, from which its time is counted.';
COMMENT ON COLUMN event_deliveries.status IS 'The HTTP status of the last answer.';
COMMENT ON COLUMN event_deliveries.error IS 'What went wrong at the last attempt.';
COMMENT ON COLUMN event_deliveries.ended_at IS 'When it was delivered, or given up.';
COMMENT ON FUNCTION event_time(timestamptz) IS 'A time as events state it, in UTC.';
COMMENT ON FUNCTION tell(text, text, text, text, json) IS 'Records an event if anybody wants it.';
COMMENT ON FUNCTION tell_invoices() IS 'Trigger: tells of documents.';
COMMENT ON FUNCTION tell_duplicates() IS 'Trigger: tells of duplicates.';
COMMENT ON FUNCTION tell_failed() IS 'Trigger: tells of conflicts and failed jobs.';
COMMENT ON FUNCTION tell_disabled() IS 'Trigger: tells of endpoints that were disabled.';
COMMENT ON FUNCTION claim_events(bigint, integer, double precision) IS 'What an endpoint is to be told now, claimed for a time. An event of a transaction comes only when those before it have ended.';
COMMENT ON FUNCTION settle_events(bigint, bigint[], text[], bigint[], bigint[], text[]) IS 'Records what came of deliveries to an endpoint.';
COMMENT ON FUNCTION record_events(text[]) IS 'Sets which types of events are recorded though no endpoint wants them.';
COMMENT ON FUNCTION test_endpoint(bigint) IS 'Has an endpoint be sent a test, and returns its event_id. The operator may call it.';

-- +goose Down

LOCK TABLE invoices, duplicate_attempts, invoice_jobs IN SHARE ROW EXCLUSIVE MODE; -- as above
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM event_deliveries WHERE state = 'pending') THEN
        RAISE EXCEPTION 'migrating down refused: there are events that weren''t delivered yet'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'event_deliveries';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoices_told ON invoices;
DROP TRIGGER duplicate_attempts_told ON duplicate_attempts;
DROP TRIGGER invoice_jobs_told ON invoice_jobs;
DROP TRIGGER invoice_jobs_failure_told ON invoice_jobs;
DROP TABLE event_deliveries, events, event_recording, event_secrets, event_endpoints;
DROP FUNCTION tell_invoices(), tell_duplicates(), tell_failed(), tell_disabled(), test_endpoint(bigint), record_events(text[]), claim_events(bigint, integer, double precision), settle_events(bigint, bigint[], text[], bigint[], bigint[], text[]), tell(text, text, text, text, json), event_time(timestamptz);
