-- +goose Up

-- Workers write meanwhile. Each table is read once.
ALTER TABLE invoices VALIDATE CONSTRAINT invoices_transaction_id_check, VALIDATE CONSTRAINT invoices_idempotency_key_check;
ALTER TABLE imported_invoices
    VALIDATE CONSTRAINT imported_invoices_transaction_id_check, VALIDATE CONSTRAINT imported_invoices_idempotency_key_check;

-- +goose Down

-- A validated constraint can't be made unvalidated, and needn't be.
SELECT;
