-- +goose Up

-- Workers write meanwhile. Each table is read once.
ALTER TABLE invoices VALIDATE CONSTRAINT invoices_terms_check, VALIDATE CONSTRAINT invoices_kind_check;
ALTER TABLE invoice_lines
    VALIDATE CONSTRAINT invoice_lines_terms_check,
    VALIDATE CONSTRAINT invoice_lines_quantity_check,
    VALIDATE CONSTRAINT invoice_lines_unit_price_check,
    VALIDATE CONSTRAINT invoice_lines_discount_percent_check,
    VALIDATE CONSTRAINT invoice_lines_tax_percent_check;
ALTER TABLE invoice_taxes VALIDATE CONSTRAINT invoice_taxes_tax_percent_check;

-- +goose Down

-- A validated constraint can't be made unvalidated, and needn't be.
SELECT;
