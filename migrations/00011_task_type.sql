-- +goose Up

ALTER TABLE invoices VALIDATE CONSTRAINT invoices_transaction_id_check, VALIDATE CONSTRAINT invoices_idempotency_key_check;
ALTER TABLE invoice_lines VALIDATE CONSTRAINT invoice_lines_discount_percent_check, VALIDATE CONSTRAINT invoice_lines_tax_percent_check;
ALTER TABLE invoice_taxes VALIDATE CONSTRAINT invoice_taxes_tax_percent_check;

-- The queue's type of a failed job that its worker didn't know; NULL is invoice:generate. It comes last: nobody is to wait
-- for this table while the others are read.
ALTER TABLE invoice_jobs ADD COLUMN task_type text;

-- +goose Down

-- Validated constraints can't be made unvalidated, and needn't be.

-- Locked first: what is committed between a look into the table and its end would be lost unseen.
LOCK TABLE invoice_jobs IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoice_jobs WHERE task_type IS NOT NULL) THEN
        RAISE EXCEPTION 'migrating down refused: it would forget the types of recorded jobs'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_jobs';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE invoice_jobs DROP COLUMN task_type;
