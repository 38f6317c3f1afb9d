-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoice_series, invoices, invoice_lines, invoice_taxes IN ACCESS EXCLUSIVE MODE;

-- What was checked row by row is checked once for all rows of a statement, however many they are, and no less is refused.
-- Nothing that is referenced here is ever changed or deleted, so looking at it when it is referenced is enough.
ALTER TABLE invoices DROP CONSTRAINT invoices_series_fkey;
ALTER TABLE invoice_lines DROP CONSTRAINT invoice_lines_invoice_id_fkey;
ALTER TABLE invoice_taxes DROP CONSTRAINT invoice_taxes_invoice_id_fkey;

-- A line or tax belongs to an invoice that the same transaction has written: neither to none, nor to an earlier one,
-- which it would change. The subquery, unlike a join, reads by the key whatever the planner thinks of the table's size.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_addition() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT invoice_id FROM added) members
        WHERE (SELECT created_at FROM invoices WHERE id = members.invoice_id) IS DISTINCT FROM now()) THEN
        RAISE EXCEPTION 'INSERT into % refused: the invoice is complete and immutable, or there is none', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_complete', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- A document has a counter of its kind, and number n is refused while n-1 isn't there. As numbers are unique, those of a
-- statement are consecutive when they span no more than they are; then only the first one's predecessor is looked for.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    run record;
BEGIN
    FOR run IN SELECT series, period, min(kind) AS kind, max(kind) AS other, min(number) AS first, max(number) AS last, count(*) AS members
        FROM added GROUP BY series, period LOOP
        IF run.kind <> run.other OR run.kind IS DISTINCT FROM (
            SELECT kind FROM invoice_series WHERE series = run.series AND period = run.period) THEN
            RAISE EXCEPTION 'series % refused: it has no counter for this kind of document in period "%"', run.series, run.period
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_counted', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF run.last - run.first >= run.members OR run.first > 1 AND NOT EXISTS (
            SELECT FROM invoices WHERE series = run.series AND period = run.period AND number = run.first - 1) THEN
            RAISE EXCEPTION 'numbers % to % of series % refused: one before them, or between them, is not there', run.first, run.last, run.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_gapless', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The same sets of values: a counted repetition in a regular expression costs as much as the rest of a row's checks.
-- They are validated by the next migration, which lets workers write meanwhile.
ALTER TABLE invoices
    DROP CONSTRAINT invoices_transaction_id_check, DROP CONSTRAINT invoices_idempotency_key_check, DROP CONSTRAINT invoices_fingerprint_check,
    ADD CONSTRAINT invoices_transaction_id_check
        CHECK (transaction_id !~ '[^A-Za-z0-9._:/@+=-]' AND length(transaction_id) BETWEEN 1 AND 128) NOT VALID,
    ADD CONSTRAINT invoices_idempotency_key_check
        CHECK (idempotency_key !~ '[^A-Za-z0-9._:/@+=-]' AND length(idempotency_key) BETWEEN 1 AND 255) NOT VALID,
    ADD CONSTRAINT invoices_fingerprint_check
        CHECK (fingerprint ~ '^v[0-9]+:[0-9a-f]+$' AND length(split_part(fingerprint, ':', 2)) = 64) NOT VALID;

-- +goose Down

LOCK TABLE invoice_series, invoices, invoice_lines, invoice_taxes IN ACCESS EXCLUSIVE MODE; -- as above

ALTER TABLE invoices
    DROP CONSTRAINT invoices_transaction_id_check, DROP CONSTRAINT invoices_idempotency_key_check, DROP CONSTRAINT invoices_fingerprint_check,
    ADD CONSTRAINT invoices_transaction_id_check CHECK (transaction_id ~ '^[A-Za-z0-9._:/@+=-]{1,128}$'),
    ADD CONSTRAINT invoices_idempotency_key_check CHECK (idempotency_key ~ '^[A-Za-z0-9._:/@+=-]{1,255}$'),
    ADD CONSTRAINT invoices_fingerprint_check CHECK (fingerprint ~ '^v[0-9]+:[0-9a-f]{64}$');

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_addition() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM added JOIN invoices ON invoices.id = added.invoice_id WHERE invoices.created_at <> now()) THEN
        RAISE EXCEPTION 'INSERT into % refused: the invoice is complete and immutable', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_complete', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    gap record;
BEGIN
    SELECT added.series, added.period, added.number INTO gap FROM added
    WHERE added.number > 1 AND NOT EXISTS (
        SELECT FROM invoices before
        WHERE before.series = added.series AND before.period = added.period AND before.number = added.number - 1)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'number % of series % refused: number % is not there', gap.number, gap.series, gap.number - 1
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_gapless', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

ALTER TABLE invoices ADD CONSTRAINT invoices_series_fkey FOREIGN KEY (series, period, kind) REFERENCES invoice_series (series, period, kind);
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id);
ALTER TABLE invoice_taxes ADD CONSTRAINT invoice_taxes_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id);
