-- +goose Up

LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE invoice_taxes IN ACCESS EXCLUSIVE MODE;

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Both were built before if the tables are large.
CREATE UNIQUE INDEX IF NOT EXISTS invoice_taxes_rows_key ON invoice_taxes (invoice_id, tax_percent, code, category);
CREATE INDEX IF NOT EXISTS invoices_replaces_idx ON invoices (issuer, (terms ->> 'replaces_transaction_id')) WHERE terms ->> 'replaces_transaction_id' IS NOT NULL;
ALTER TABLE invoice_taxes DROP CONSTRAINT invoice_taxes_pkey, ADD CONSTRAINT invoice_taxes_pkey PRIMARY KEY USING INDEX invoice_taxes_rows_key;

-- A document's rows at one percentage, which code and category tell apart, are credited together.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_credits(made bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off AS $$
DECLARE
    document record;
    problem  jsonb;
    wanted   bigint[];
    locked   bigint[] := '{}';
BEGIN
    LOOP
        wanted := ARRAY(
            SELECT DISTINCT hashtextextended(families.issuer || ' ' || families.transaction_id, 27) AS family FROM (
                SELECT issuer, transaction_id FROM invoices WHERE id = ANY (made)
                UNION ALL
                SELECT issuer, credit_root(issuer, credits_transaction_id) FROM invoices WHERE id = ANY (made)
            ) AS families EXCEPT SELECT unnest(locked) ORDER BY 1);
        EXIT WHEN cardinality(wanted) = 0;
        PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;
        locked := locked || wanted;
    END LOOP;
    FOR document IN SELECT i.*, rates.of AS rates, rates.amounts FROM invoices i
        CROSS JOIN LATERAL (
            SELECT array_agg(tax_percent) AS of, array_agg(amount) AS amounts FROM (
                SELECT tax_percent, sum(net_minor + tax_minor) AS amount FROM invoice_taxes WHERE invoice_id = i.id GROUP BY tax_percent
                UNION ALL
                SELECT NULL, i.total_minor - coalesce(sum(net_minor + tax_minor), 0) FROM invoice_taxes WHERE invoice_id = i.id
            ) AS each
        ) AS rates
        WHERE i.id = ANY (made) ORDER BY i.id
    LOOP
        problem := credit_problem(document.issuer, document.transaction_id, document.credits_transaction_id, document.currency, document.issued_at,
            document.total_minor, document.rates, document.amounts, document.id);
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'transaction_id % refused: it can''t credit transaction_id %', document.transaction_id, document.credits_transaction_id
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_credits', DETAIL = problem::text, TABLE = 'invoices';
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE invoice_taxes IN ACCESS EXCLUSIVE MODE;
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoice_taxes WHERE code <> '' OR category <> '' OR added_minor IS NOT NULL) THEN
        RAISE EXCEPTION 'migrating down refused: invoices state taxes that only version 2 of the job knows'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_taxes';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE invoice_taxes DROP CONSTRAINT invoice_taxes_pkey, ADD CONSTRAINT invoice_taxes_pkey PRIMARY KEY (invoice_id, tax_percent);
DROP INDEX invoices_replaces_idx;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_credits(made bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off AS $$
DECLARE
    document record;
    problem  jsonb;
    wanted   bigint[];
    locked   bigint[] := '{}';
BEGIN
    LOOP
        wanted := ARRAY(
            SELECT DISTINCT hashtextextended(families.issuer || ' ' || families.transaction_id, 27) AS family FROM (
                SELECT issuer, transaction_id FROM invoices WHERE id = ANY (made)
                UNION ALL
                SELECT issuer, credit_root(issuer, credits_transaction_id) FROM invoices WHERE id = ANY (made)
            ) AS families EXCEPT SELECT unnest(locked) ORDER BY 1);
        EXIT WHEN cardinality(wanted) = 0;
        PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;
        locked := locked || wanted;
    END LOOP;
    FOR document IN SELECT i.*, rates.of AS rates, rates.amounts FROM invoices i
        CROSS JOIN LATERAL (
            SELECT array_agg(tax_percent) AS of, array_agg(amount) AS amounts FROM (
                SELECT tax_percent, net_minor + tax_minor AS amount FROM invoice_taxes WHERE invoice_id = i.id
                UNION ALL
                SELECT NULL, i.total_minor - coalesce(sum(net_minor + tax_minor), 0) FROM invoice_taxes WHERE invoice_id = i.id
            ) AS each
        ) AS rates
        WHERE i.id = ANY (made) ORDER BY i.id
    LOOP
        problem := credit_problem(document.issuer, document.transaction_id, document.credits_transaction_id, document.currency, document.issued_at,
            document.total_minor, document.rates, document.amounts, document.id);
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'transaction_id % refused: it can''t credit transaction_id %', document.transaction_id, document.credits_transaction_id
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_credits', DETAIL = problem::text, TABLE = 'invoices';
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd
