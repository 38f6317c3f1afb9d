-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoice_series, invoices, invoice_lines, invoice_taxes IN ACCESS EXCLUSIVE MODE;

-- The same conditions, in words that pg_dump and pg_restore leave as they are: of BETWEEN within a chain of ANDs they lose
-- the brackets. They are validated by migration 11, which lets workers write meanwhile.
ALTER TABLE invoices
    DROP CONSTRAINT invoices_transaction_id_check, DROP CONSTRAINT invoices_idempotency_key_check,
    ADD CONSTRAINT invoices_transaction_id_check
        CHECK (transaction_id !~ '[^A-Za-z0-9._:/@+=-]' AND length(transaction_id) >= 1 AND length(transaction_id) <= 128) NOT VALID,
    ADD CONSTRAINT invoices_idempotency_key_check
        CHECK (idempotency_key !~ '[^A-Za-z0-9._:/@+=-]' AND length(idempotency_key) >= 1 AND length(idempotency_key) <= 255) NOT VALID;
ALTER TABLE invoice_lines
    DROP CONSTRAINT invoice_lines_discount_percent_check, DROP CONSTRAINT invoice_lines_tax_percent_check,
    ADD CONSTRAINT invoice_lines_discount_percent_check
        CHECK (discount_percent >= 0 AND discount_percent <= 100 AND scale(discount_percent) <= 6) NOT VALID,
    ADD CONSTRAINT invoice_lines_tax_percent_check
        CHECK (tax_percent >= 0 AND tax_percent <= 100 AND scale(tax_percent) <= 6) NOT VALID;
ALTER TABLE invoice_taxes
    DROP CONSTRAINT invoice_taxes_tax_percent_check,
    ADD CONSTRAINT invoice_taxes_tax_percent_check CHECK (tax_percent >= 0 AND tax_percent <= 100 AND scale(tax_percent) <= 6) NOT VALID;

-- Of use to a foreign key alone, which migration 4 has taken away.
ALTER TABLE invoice_series DROP CONSTRAINT invoice_series_series_period_kind_key;

-- What is searched first, unless it is named, is the caller's temporary schema: a table there must not stand in for ours.
-- +goose StatementBegin
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN SELECT oid FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace AND prokind IN ('f', 'p') LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = %I, pg_temp', routine, current_schema());
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

LOCK TABLE invoice_series, invoices, invoice_lines, invoice_taxes IN ACCESS EXCLUSIVE MODE; -- as above

-- The functions keep pg_temp at the end of their search path: the release before works with that as well.
ALTER TABLE invoice_series ADD CONSTRAINT invoice_series_series_period_kind_key UNIQUE (series, period, kind);
ALTER TABLE invoice_taxes
    DROP CONSTRAINT invoice_taxes_tax_percent_check,
    ADD CONSTRAINT invoice_taxes_tax_percent_check CHECK (tax_percent BETWEEN 0 AND 100 AND scale(tax_percent) <= 6);
ALTER TABLE invoice_lines
    DROP CONSTRAINT invoice_lines_discount_percent_check, DROP CONSTRAINT invoice_lines_tax_percent_check,
    ADD CONSTRAINT invoice_lines_discount_percent_check CHECK (discount_percent BETWEEN 0 AND 100 AND scale(discount_percent) <= 6),
    ADD CONSTRAINT invoice_lines_tax_percent_check CHECK (tax_percent BETWEEN 0 AND 100 AND scale(tax_percent) <= 6);
ALTER TABLE invoices
    DROP CONSTRAINT invoices_transaction_id_check, DROP CONSTRAINT invoices_idempotency_key_check,
    ADD CONSTRAINT invoices_transaction_id_check
        CHECK (transaction_id !~ '[^A-Za-z0-9._:/@+=-]' AND length(transaction_id) BETWEEN 1 AND 128),
    ADD CONSTRAINT invoices_idempotency_key_check
        CHECK (idempotency_key !~ '[^A-Za-z0-9._:/@+=-]' AND length(idempotency_key) BETWEEN 1 AND 255);
