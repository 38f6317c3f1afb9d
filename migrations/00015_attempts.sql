-- +goose Up

-- What failed before a job was tried again. What goes well isn't recorded. A job that was enqueued directly has no row in
-- the ledger to refer to.
CREATE TABLE job_attempts (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    job_id    text        NOT NULL,
    dispatch  integer     NOT NULL,
    attempt   integer     NOT NULL,
    worker    text        NOT NULL,
    reason    text        NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT job_attempts_pkey PRIMARY KEY (id),
    CONSTRAINT job_attempts_job_id_check CHECK (job_id <> ''),
    CONSTRAINT job_attempts_counts_check CHECK (dispatch >= 0 AND attempt >= 1)
);
CREATE INDEX job_attempts_job_id_idx ON job_attempts (job_id, id);

-- What people did that isn't about one failed job: they paused a queue, freed a lock. role is what the database knows of
-- them, actor is what they have called themselves.
CREATE TABLE actions (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    action   text        NOT NULL,
    subject  text        NOT NULL,
    actor    text        NOT NULL,
    role     text        NOT NULL DEFAULT session_user,
    note     text,
    details  text,
    acted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT actions_pkey PRIMARY KEY (id),
    CONSTRAINT actions_named_check CHECK (action <> '' AND subject <> '' AND actor <> '')
);
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
CREATE FUNCTION refuse_other_past() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: what people did stays on record', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
CREATE TRIGGER actions_immutable BEFORE UPDATE OR DELETE ON actions FOR EACH ROW EXECUTE FUNCTION refuse_other_past();
CREATE TRIGGER actions_no_truncate BEFORE TRUNCATE ON actions FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_past();

-- For the rows from now on: whose the earlier ones are isn't known.
ALTER TABLE invoice_job_actions ADD COLUMN role text;
ALTER TABLE invoice_job_actions ALTER COLUMN role SET DEFAULT session_user;

-- By which people look things up. Those on keys have no entry for the usual job, whose key is its transaction's id.
CREATE INDEX invoice_jobs_idempotency_key_idx ON invoice_jobs (idempotency_key) WHERE idempotency_key IS DISTINCT FROM transaction_id;
CREATE INDEX duplicate_attempts_idempotency_key_idx ON duplicate_attempts (idempotency_key) WHERE idempotency_key IS DISTINCT FROM transaction_id;
CREATE INDEX invoices_job_id_idx ON invoices USING hash (job_id);
-- By which they filter: rows come in the order of time, so these are small.
CREATE INDEX invoices_created_at_idx ON invoices USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX duplicate_attempts_attempted_at_idx ON duplicate_attempts USING brin (attempted_at) WITH (autosummarize = on);
CREATE INDEX invoice_jobs_accepted_at_idx ON invoice_jobs USING brin (accepted_at) WITH (autosummarize = on);

-- +goose Down

-- Locked first: what is committed between a look into the tables and their end would be lost unseen.
LOCK TABLE actions, job_attempts IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM actions) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete the record of who did what'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'actions';
    END IF;
END $$;
-- +goose StatementEnd
DROP INDEX invoices_job_id_idx, invoices_created_at_idx, invoice_jobs_idempotency_key_idx, invoice_jobs_accepted_at_idx,
    duplicate_attempts_idempotency_key_idx, duplicate_attempts_attempted_at_idx;
ALTER TABLE invoice_job_actions DROP COLUMN role;
DROP TABLE actions, job_attempts;
DROP FUNCTION refuse_other_past();
