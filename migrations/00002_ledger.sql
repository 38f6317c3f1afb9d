-- +goose Up

-- The ledger: every accepted job, and every job that ended badly whichever way it came.
CREATE TABLE invoice_jobs (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    job_id          text        NOT NULL,
    transaction_id  text,
    idempotency_key text,
    producer        text,
    queue           text        NOT NULL,
    payload         text,
    payload_raw     bytea,
    state           text        NOT NULL,
    outcome         text,
    reason          text,
    invoice_id      bigint,
    dispatch        integer     NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    accepted_at     timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT invoice_jobs_job_id_key UNIQUE (job_id),
    CONSTRAINT invoice_jobs_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_jobs_job_id_check CHECK (job_id <> ''),
    CONSTRAINT invoice_jobs_payload_check CHECK (payload IS NULL OR payload_raw IS NULL),
    CONSTRAINT invoice_jobs_state_check CHECK (state IN ('accepted', 'enqueued', 'done', 'failed', 'dismissed')),
    -- One end, and only one: an invoice stands behind every good one, a reason behind every bad one.
    CONSTRAINT invoice_jobs_end_check CHECK (CASE
        WHEN state IN ('accepted', 'enqueued') THEN outcome IS NULL AND invoice_id IS NULL
        WHEN state = 'done' THEN outcome IS NOT NULL AND outcome IN ('created', 'duplicate') AND invoice_id IS NOT NULL
        ELSE outcome IS NOT NULL AND outcome IN ('conflict', 'invalid', 'failed') AND reason IS NOT NULL END),
    CONSTRAINT invoice_jobs_identified_check CHECK (state IN ('failed', 'dismissed')
        OR (transaction_id IS NOT NULL AND idempotency_key IS NOT NULL)),
    CONSTRAINT invoice_jobs_counts_check CHECK (dispatch >= 0 AND attempts >= 0)
);
CREATE INDEX invoice_jobs_transaction_id_idx ON invoice_jobs (transaction_id);
CREATE INDEX invoice_jobs_open_idx ON invoice_jobs (state, updated_at) WHERE state <> 'done';

CREATE TABLE duplicate_attempts (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    job_id          text        NOT NULL,
    transaction_id  text        NOT NULL,
    idempotency_key text        NOT NULL,
    invoice_id      bigint      NOT NULL,
    reason          text        NOT NULL,
    producer        text,
    worker          text        NOT NULL,
    attempted_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT duplicate_attempts_pkey PRIMARY KEY (id),
    CONSTRAINT duplicate_attempts_job_id_key UNIQUE (job_id),
    CONSTRAINT duplicate_attempts_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    CONSTRAINT duplicate_attempts_reason_check CHECK (reason IN ('lost_race', 'already_invoiced'))
);
CREATE INDEX duplicate_attempts_transaction_id_idx ON duplicate_attempts (transaction_id);

-- +goose Down

-- Locked first: what is committed between a look into the tables and their end would be lost unseen.
LOCK TABLE invoice_jobs, duplicate_attempts IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoice_jobs) OR EXISTS (SELECT FROM duplicate_attempts) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete recorded jobs'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_jobs';
    END IF;
END $$;
-- +goose StatementEnd
DROP TABLE duplicate_attempts, invoice_jobs;
