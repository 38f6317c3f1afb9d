-- +goose Up

-- Which version of what was known of the issuer a document's seller is, as it was when the document was made: NULL if its job has stated a
-- seller, if there is no issuer, and for documents of the release before.
ALTER TABLE invoices ADD COLUMN issuer_version integer;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoices WHERE issuer_version IS NOT NULL) THEN
        RAISE EXCEPTION 'migrating down refused: invoices say who sold, by their issuer'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoices';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE invoices DROP COLUMN issuer_version;
