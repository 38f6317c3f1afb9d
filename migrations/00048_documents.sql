-- +goose Up

-- In the order in which those who write invoices take it.
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;

-- Functions that run with their owner's rights find nothing in their caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- What invoices look like to people and authorities: the bytes that were handed out, which stay what they are. Personal data in them is
-- erased with that of their invoice.
CREATE TABLE documents (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    invoice_id bigint      NOT NULL,
    format     text        NOT NULL,
    language   text        NOT NULL,
    copy       boolean     NOT NULL,
    content    bytea,
    size       bigint      NOT NULL,
    sha256     bytea       NOT NULL,
    renderer   text        NOT NULL,
    rules      text        NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at  timestamptz,
    CONSTRAINT documents_pkey PRIMARY KEY (id),
    CONSTRAINT documents_invoice_id_key UNIQUE (invoice_id, format, language),
    CONSTRAINT documents_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    CONSTRAINT documents_format_check CHECK (format ~ '^[a-z][a-z0-9_-]{0,31}$'),
    CONSTRAINT documents_language_check CHECK (language IN ('', 'en', 'de', 'fr', 'es', 'it', 'nl', 'pl', 'sv',
        'en-AU', 'en-CA', 'en-GB', 'en-US', 'de-AT', 'de-CH', 'de-LI', 'fr-CA', 'fr-CH', 'fr-LU', 'es-MX', 'it-CH')), -- those of package pdf
    CONSTRAINT documents_size_check CHECK (size > 0 AND octet_length(content) = size),
    CONSTRAINT documents_sha256_check CHECK (octet_length(sha256) = 32),
    CONSTRAINT documents_versions_check CHECK (octet_length(renderer) <= 200 AND octet_length(rules) <= 200),
    CONSTRAINT documents_erased_check CHECK ((content IS NULL) = (erased_at IS NOT NULL))
);
CREATE UNIQUE INDEX documents_original_key ON documents (invoice_id, format) WHERE NOT copy;
ALTER TABLE documents ALTER COLUMN content SET STORAGE EXTERNAL; -- PDF is compressed already

-- The formats that are owed of each invoice from now on.
CREATE TABLE document_formats (
    format text NOT NULL,
    CONSTRAINT document_formats_pkey PRIMARY KEY (format),
    CONSTRAINT document_formats_format_check CHECK (format ~ '^[a-z][a-z0-9_-]{0,31}$')
);

-- Documents that are to be made, written in the transaction of their invoice, and deleted in that of the document.
CREATE TABLE documents_owed (
    invoice_id bigint      NOT NULL,
    format     text        NOT NULL,
    attempts   integer     NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT statement_timestamp(),
    since      timestamptz NOT NULL DEFAULT statement_timestamp(),
    error      text,
    CONSTRAINT documents_owed_pkey PRIMARY KEY (invoice_id, format)
);
CREATE INDEX documents_owed_due_idx ON documents_owed (due_at, invoice_id, format);

-- +goose StatementBegin
CREATE FUNCTION owe_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'invoices'::regclass THEN -- elsewhere "added" could be a view that runs others' code
        RAISE EXCEPTION 'owe_documents is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM document_formats) THEN
        INSERT INTO documents_owed (invoice_id, format) SELECT added.id, f.format FROM added CROSS JOIN document_formats f;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- An invoice whose personal data is erased has no document any more, and gets none.
-- +goose StatementBegin
CREATE FUNCTION erase_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'invoices'::regclass THEN -- as above
        RAISE EXCEPTION 'erase_documents is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE documents SET content = NULL, erased_at = clock_timestamp()
    WHERE content IS NOT NULL AND invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL);
    DELETE FROM documents_owed WHERE invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- What was handed out stays what it is. A document that is being made waits for an erasure of its invoice, and an erasure for it.
-- +goose StatementBegin
CREATE FUNCTION guard_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    was documents;
BEGIN
    IF TG_RELID <> 'documents'::regclass THEN -- as above
        RAISE EXCEPTION 'guard_documents is for documents' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM FROM invoices WHERE id = NEW.invoice_id AND erasure_id IS NULL FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no invoice %, or its personal data was erased: it gets no document', NEW.invoice_id
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_not_erased', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF NEW.content IS NULL OR sha256(NEW.content) <> NEW.sha256 THEN
            RAISE EXCEPTION 'a document needs its content, and that content''s SHA-256'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_hashed', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := OLD;
        was.content := NULL;
        was.erased_at := NEW.erased_at;
        IF NEW.content IS NULL AND NEW IS NOT DISTINCT FROM was AND EXISTS (SELECT FROM invoices WHERE id = OLD.invoice_id AND erasure_id IS NOT NULL) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: a document stays what was handed out, and is only erased with its invoice', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- A document that was made isn't owed any more. A copy isn't the one that is owed.
-- +goose StatementBegin
CREATE FUNCTION settle_document() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'documents'::regclass THEN -- as above
        RAISE EXCEPTION 'settle_document is for documents' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT NEW.copy THEN
        DELETE FROM documents_owed WHERE invoice_id = NEW.invoice_id AND format = NEW.format;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The formats that are owed of each invoice are these from now on.
-- +goose StatementBegin
CREATE FUNCTION owe_formats(formats text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM document_formats WHERE format <> ALL (coalesce(formats, '{}'));
    INSERT INTO document_formats SELECT DISTINCT unnest(formats) ON CONFLICT DO NOTHING;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION owe_documents(), erase_documents(), guard_documents(), settle_document(), owe_formats(text[]) FROM PUBLIC;

CREATE TRIGGER invoices_owe_documents AFTER INSERT ON invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION owe_documents();
CREATE TRIGGER invoices_erase_documents AFTER UPDATE ON invoices REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION erase_documents();
CREATE TRIGGER documents_immutable BEFORE INSERT OR UPDATE OR DELETE ON documents FOR EACH ROW EXECUTE FUNCTION guard_documents();
CREATE TRIGGER documents_settled AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION settle_document();
CREATE TRIGGER documents_no_truncate BEFORE TRUNCATE ON documents FOR EACH STATEMENT EXECUTE FUNCTION guard_documents();

COMMENT ON TABLE documents IS 'What invoices look like to people and authorities: the bytes that were handed out.';
COMMENT ON COLUMN documents.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN documents.invoice_id IS 'The invoice''s row.';
COMMENT ON COLUMN documents.format IS 'pdf, ubl, cii or facturx.';
COMMENT ON COLUMN documents.language IS 'In which of the languages of a page it is, as BCP 47; '''' where it has none.';
COMMENT ON COLUMN documents.copy IS 'Whether it says that it is a copy: in another language than the original of its format.';
COMMENT ON COLUMN documents.content IS 'Its bytes. NULL: they were erased.';
COMMENT ON COLUMN documents.size IS 'How many bytes it has, or had.';
COMMENT ON COLUMN documents.sha256 IS 'The SHA-256 of its bytes.';
COMMENT ON COLUMN documents.renderer IS 'The version of the program that made it.';
COMMENT ON COLUMN documents.rules IS 'The profile, and the version of its rules.';
COMMENT ON COLUMN documents.made_at IS 'When it was made.';
COMMENT ON COLUMN documents.erased_at IS 'When its bytes were erased with its invoice''s personal data. NULL: they weren''t.';
COMMENT ON TABLE document_formats IS 'The formats that are owed of each invoice.';
COMMENT ON COLUMN document_formats.format IS 'A format.';
COMMENT ON TABLE documents_owed IS 'Documents that are to be made.';
COMMENT ON COLUMN documents_owed.invoice_id IS 'The invoice''s row.';
COMMENT ON COLUMN documents_owed.format IS 'In which format.';
COMMENT ON COLUMN documents_owed.attempts IS 'How often it was tried.';
COMMENT ON COLUMN documents_owed.due_at IS 'When it is tried next; while it is being made, when another process may do so.';
COMMENT ON COLUMN documents_owed.since IS 'Since when it is owed.';
COMMENT ON COLUMN documents_owed.error IS 'What went wrong at the last attempt.';
COMMENT ON FUNCTION owe_documents() IS 'Trigger: notes the documents that are owed of new invoices.';
COMMENT ON FUNCTION erase_documents() IS 'Trigger: erases the documents of invoices whose personal data is erased.';
COMMENT ON FUNCTION guard_documents() IS 'Trigger: documents stay what was handed out.';
COMMENT ON FUNCTION settle_document() IS 'Trigger: a document that was made isn''t owed any more.';
COMMENT ON FUNCTION owe_formats(text[]) IS 'Sets which formats are owed of each invoice.';

-- +goose Down

LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE; -- as above
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM documents) THEN
        RAISE EXCEPTION 'migrating down refused: there are documents that were handed out'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'documents';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoices_owe_documents ON invoices;
DROP TRIGGER invoices_erase_documents ON invoices;
DROP TABLE documents_owed, document_formats, documents;
DROP FUNCTION owe_documents(), erase_documents(), guard_documents(), settle_document(), owe_formats(text[]);
