-- +goose Up

-- Which span of the asking service's trace a job belongs to, in the form of W3C Trace Context. It is no part of the job. The service
-- sets it for its transaction, and then accepts the job there:
--
--     SELECT set_config('invoicer.traceparent', '00-…', true);
--
-- A setting, unlike a parameter of accept, leaves that function and the rights on it as they are, and workers and producers of the
-- release before know nothing of it. What isn't in that form is no reason to refuse a job: it isn't kept.
ALTER TABLE invoice_jobs ADD COLUMN traceparent text
    CONSTRAINT invoice_jobs_traceparent_check CHECK (octet_length(traceparent) = 55);
-- Apart, so that it isn't the value of the rows that are there.
ALTER TABLE invoice_jobs ALTER COLUMN traceparent
    SET DEFAULT substring(current_setting('invoicer.traceparent', true) FROM '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');

-- +goose Down

ALTER TABLE invoice_jobs DROP COLUMN traceparent;
