-- +goose Up

-- Requests by HTTP that name an Idempotency-Key, so that the same request again gets the same answer.
CREATE TABLE api_requests (
    token          text        NOT NULL,
    key            bytea       NOT NULL,
    content        bytea       NOT NULL,
    job_id         text        NOT NULL,
    queue          text        NOT NULL,
    status         text        NOT NULL,
    known_job_id   text,
    invoice_number text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_requests_pkey PRIMARY KEY (token, key),
    CONSTRAINT api_requests_hashes_check CHECK (octet_length(key) = 32 AND octet_length(content) = 32),
    CONSTRAINT api_requests_status_check CHECK (CASE status WHEN 'inserted' THEN num_nonnulls(known_job_id, invoice_number) = 0
        WHEN 'known' THEN known_job_id IS NOT NULL AND invoice_number IS NULL WHEN 'duplicate' THEN invoice_number IS NOT NULL AND known_job_id IS NULL ELSE false END)
);
-- Rows are added in the order of time, and pruned by it.
CREATE INDEX api_requests_created_at_idx ON api_requests USING brin (created_at);

-- Accepts a job, and says what was there of its transaction. With a key, it does so once: the row of the request and the job are of one
-- transaction, and whoever comes at the same moment waits at the row's index for the first one's end.
-- +goose StatementBegin
CREATE FUNCTION accept_request(
    payload text, queue text, job_id uuid, issuer text, transaction_id text, token text DEFAULT NULL, key bytea DEFAULT NULL, content bytea DEFAULT NULL, traceparent text DEFAULT NULL,
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
            SELECT * INTO before FROM api_requests r WHERE r.token = accept_request.token AND r.key = accept_request.key;
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
    PERFORM set_config('invoicer.traceparent', coalesce(traceparent, ''), true);
    PERFORM accept(payload, queue, job_id);
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text) FROM PUBLIC;

COMMENT ON TABLE api_requests IS 'Jobs that were accepted by HTTP under an Idempotency-Key, with the answer. Nothing personal is in it, so that erasing leaves it alone. Pruned by age.';
COMMENT ON COLUMN api_requests.token IS 'The name of the token: keys are its own.';
COMMENT ON COLUMN api_requests.key IS 'The SHA-256 of the key.';
COMMENT ON COLUMN api_requests.content IS 'The HMAC-SHA-256 of queue and job under the key, by which other content is known. Nobody can try guesses of the content against it without the key.';
COMMENT ON COLUMN api_requests.job_id IS 'The job that the request has made.';
COMMENT ON COLUMN api_requests.queue IS 'The job''s queue.';
COMMENT ON COLUMN api_requests.status IS 'What was there of the transaction: nothing (inserted), a job that had no end yet (known), its invoice (duplicate).';
COMMENT ON COLUMN api_requests.known_job_id IS 'That job.';
COMMENT ON COLUMN api_requests.invoice_number IS 'The number of that invoice.';
COMMENT ON COLUMN api_requests.created_at IS 'When it was accepted.';
COMMENT ON FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text) IS 'Accepts a job for the HTTP API, once for each key of a token.';

-- +goose Down

DROP FUNCTION accept_request(text, text, uuid, text, text, text, bytea, bytea, text);
DROP TABLE api_requests;
