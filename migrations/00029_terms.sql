-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoices, invoice_lines, invoice_taxes IN ACCESS EXCLUSIVE MODE;

-- What a job of version 2 states beyond version 1, as it states it: numbers as text, defaults left out. What a person may stand in lies
-- apart, so that it can go without the rest. Workers of the release before write and read nothing of it.
ALTER TABLE invoices
    ADD COLUMN terms         jsonb,
    ADD COLUMN parties       jsonb,
    ADD COLUMN payable_minor bigint, -- NULL for total_minor
    ADD CONSTRAINT invoices_terms_check CHECK (
        (terms IS NULL OR jsonb_typeof(terms) = 'object' AND terms <> '{}') AND (parties IS NULL OR jsonb_typeof(parties) = 'object' AND parties <> '{}')) NOT VALID,
    DROP CONSTRAINT invoices_kind_check,
    -- The sign of the total decides, unless the job has stated a kind.
    ADD CONSTRAINT invoices_kind_check CHECK (kind IN ('invoice', 'credit_note')
        AND coalesce(terms ->> 'kind' = kind, (kind = 'credit_note') = (total_minor < 0))) NOT VALID;
ALTER TABLE invoice_lines
    ADD COLUMN terms jsonb,
    ADD COLUMN texts jsonb,
    ADD CONSTRAINT invoice_lines_terms_check CHECK (
        (terms IS NULL OR jsonb_typeof(terms) = 'object' AND terms <> '{}') AND (texts IS NULL OR jsonb_typeof(texts) = 'object' AND texts <> '{}')) NOT VALID,
    DROP CONSTRAINT invoice_lines_quantity_check, DROP CONSTRAINT invoice_lines_unit_price_check,
    DROP CONSTRAINT invoice_lines_discount_percent_check, DROP CONSTRAINT invoice_lines_tax_percent_check,
    ADD CONSTRAINT invoice_lines_quantity_check CHECK (abs(quantity) < 1e15 AND scale(quantity) <= 12) NOT VALID,
    ADD CONSTRAINT invoice_lines_unit_price_check CHECK (abs(unit_price) < 1e15 AND scale(unit_price) <= 12) NOT VALID,
    ADD CONSTRAINT invoice_lines_discount_percent_check
        CHECK (discount_percent >= 0 AND discount_percent <= 100 AND scale(discount_percent) <= 12) NOT VALID,
    ADD CONSTRAINT invoice_lines_tax_percent_check
        CHECK (tax_percent >= 0 AND tax_percent <= 100 AND scale(tax_percent) <= 12) NOT VALID;
-- Lines may state several taxes at one percentage, which are told apart by code and category. A compound tax is taken on net_minor and
-- on added_minor, the taxes before it; any other one is NULL there.
ALTER TABLE invoice_taxes
    ADD COLUMN code        text NOT NULL DEFAULT '',
    ADD COLUMN category    text NOT NULL DEFAULT '',
    ADD COLUMN added_minor bigint,
    DROP CONSTRAINT invoice_taxes_tax_percent_check,
    ADD CONSTRAINT invoice_taxes_tax_percent_check
        CHECK (tax_percent >= 0 AND tax_percent <= 100 AND scale(tax_percent) <= 12) NOT VALID;

-- +goose Down

LOCK TABLE invoices, invoice_lines, invoice_taxes IN ACCESS EXCLUSIVE MODE; -- as above
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoices WHERE fingerprint LIKE 'v2:%' OR terms IS NOT NULL OR parties IS NOT NULL OR payable_minor IS NOT NULL)
        OR EXISTS (SELECT FROM invoice_lines WHERE scale(quantity) > 6 OR scale(unit_price) > 6 OR abs(quantity) >= 1e12 OR abs(unit_price) >= 1e12
            OR scale(discount_percent) > 6 OR scale(tax_percent) > 6) THEN
        RAISE EXCEPTION 'migrating down refused: invoices state what only version 2 of the job knows'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoices';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE invoice_taxes
    DROP COLUMN code, DROP COLUMN category, DROP COLUMN added_minor,
    DROP CONSTRAINT invoice_taxes_tax_percent_check,
    ADD CONSTRAINT invoice_taxes_tax_percent_check CHECK (tax_percent >= 0 AND tax_percent <= 100 AND scale(tax_percent) <= 6);
ALTER TABLE invoice_lines
    DROP COLUMN terms, DROP COLUMN texts,
    DROP CONSTRAINT invoice_lines_quantity_check, DROP CONSTRAINT invoice_lines_unit_price_check,
    DROP CONSTRAINT invoice_lines_discount_percent_check, DROP CONSTRAINT invoice_lines_tax_percent_check,
    ADD CONSTRAINT invoice_lines_quantity_check CHECK (abs(quantity) < 1e12 AND scale(quantity) <= 6),
    ADD CONSTRAINT invoice_lines_unit_price_check CHECK (abs(unit_price) < 1e12 AND scale(unit_price) <= 6),
    ADD CONSTRAINT invoice_lines_discount_percent_check
        CHECK (discount_percent >= 0 AND discount_percent <= 100 AND scale(discount_percent) <= 6),
    ADD CONSTRAINT invoice_lines_tax_percent_check
        CHECK (tax_percent >= 0 AND tax_percent <= 100 AND scale(tax_percent) <= 6);
ALTER TABLE invoices
    DROP CONSTRAINT invoices_kind_check,
    ADD CONSTRAINT invoices_kind_check CHECK ((kind = 'credit_note') = (total_minor < 0) AND kind IN ('invoice', 'credit_note')),
    DROP COLUMN terms, DROP COLUMN parties, DROP COLUMN payable_minor;
