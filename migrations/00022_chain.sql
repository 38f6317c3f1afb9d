-- +goose Up

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE;

-- chain covers the whole invoice and, by the chain of the one before it in its series and period, all that come before. The texts
-- in which a person may stand enter it as text_hash, which is salted. An invoice of before, or one of a worker that knows no chain,
-- has none of the three.
ALTER TABLE invoices
    ADD COLUMN chain     text,
    ADD COLUMN salt      bytea,
    ADD COLUMN text_hash bytea;

-- +goose StatementBegin
CREATE FUNCTION refuse_link() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'INSERT into % refused: chain, salt and text_hash come together, and an invoice has them once', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_linked', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_link() FROM PUBLIC;

-- A trigger and no CHECK: that would have to be validated over all invoices of before, none of which has a chain.
CREATE TRIGGER invoices_linked BEFORE INSERT ON invoices FOR EACH ROW
    WHEN (num_nulls(NEW.chain, NEW.salt, NEW.text_hash) NOT IN (0, 3) OR left(NEW.chain, 1) <> 'v' OR length(NEW.chain) < 67
        OR octet_length(NEW.salt) <> 16 OR octet_length(NEW.text_hash) <> 32)
    EXECUTE FUNCTION refuse_link();

-- The links of invoices that a worker wrote which knew no chain. The next worker that knows one adds them, in the transaction in
-- which it writes the next invoice of their series and period.
CREATE TABLE invoice_links (
    invoice_id bigint      NOT NULL,
    chain      text        NOT NULL,
    salt       bytea       NOT NULL,
    text_hash  bytea       NOT NULL,
    linked_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_links_pkey PRIMARY KEY (invoice_id),
    CONSTRAINT invoice_links_chain_check CHECK (left(chain, 1) = 'v' AND length(chain) >= 67),
    CONSTRAINT invoice_links_salt_check CHECK (octet_length(salt) = 16),
    CONSTRAINT invoice_links_text_hash_check CHECK (octet_length(text_hash) = 32)
);

-- +goose StatementBegin
CREATE FUNCTION guard_links() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM invoices WHERE id = NEW.invoice_id AND chain IS NULL) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'INSERT into % refused: the invoice has its link, or isn''t there', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_links_linked', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RAISE EXCEPTION '% on % refused: a link is immutable, as its invoice is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_links_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION guard_links() FROM PUBLIC;
CREATE TRIGGER invoice_links_immutable BEFORE INSERT OR UPDATE OR DELETE ON invoice_links FOR EACH ROW EXECUTE FUNCTION guard_links();
CREATE TRIGGER invoice_links_no_truncate BEFORE TRUNCATE ON invoice_links FOR EACH STATEMENT EXECUTE FUNCTION guard_links();

-- +goose Down

LOCK TABLE invoices, invoice_links IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoices WHERE chain IS NOT NULL) OR EXISTS (SELECT FROM invoice_links) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete the links of invoices, which seals need; workers of the release before work with this schema, too'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_linked', TABLE = 'invoices';
    END IF;
END $$;
-- +goose StatementEnd
DROP TABLE invoice_links;
DROP TRIGGER invoices_linked ON invoices;
DROP FUNCTION guard_links(), refuse_link();
ALTER TABLE invoices DROP COLUMN chain, DROP COLUMN salt, DROP COLUMN text_hash;
