-- +goose Up

ALTER TABLE duplicate_attempts VALIDATE CONSTRAINT duplicate_attempts_of_check;
ALTER TABLE invoice_jobs VALIDATE CONSTRAINT invoice_jobs_end_check;

-- +goose Down

-- A validated constraint can't be made unvalidated, and needn't be.
SELECT;
