-- +goose Up

ALTER TABLE invoices VALIDATE CONSTRAINT invoices_transaction_id_check;
ALTER TABLE invoices VALIDATE CONSTRAINT invoices_idempotency_key_check;
ALTER TABLE invoices VALIDATE CONSTRAINT invoices_fingerprint_check;

-- +goose Down

-- A validated constraint can't be made unvalidated, and needn't be.
SELECT;
