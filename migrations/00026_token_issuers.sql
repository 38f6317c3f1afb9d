-- +goose Up

-- The issuers whose jobs, invoices and series a token shows; NULL for all. '' is the one without a name. A worker of the release before
-- doesn't read this column, and takes a token for one of all issuers: therefore what is kept of a token with issuers isn't its SHA-256 but
-- its SHA-512/256, which that worker never computes.
ALTER TABLE tokens ADD COLUMN issuers text[];
ALTER TABLE tokens ADD CONSTRAINT tokens_issuers_check CHECK (cardinality(issuers) <= 100 AND
    array_to_string(issuers, '/', '!') || '/' ~ ('^([A-Z0-9-]{0,32}/){' || cardinality(issuers) || '}$'));

-- +goose Down

-- Locked first: what is committed between a look into the table and its end would be lost unseen.
LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM tokens WHERE issuers IS NOT NULL) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete which issuers tokens are limited to'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'tokens';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE tokens DROP COLUMN issuers;
