-- +goose Up

-- In the order in which those who erase take it.
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;

-- Functions that run with their owner's rights find nothing in their caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- The bytes of a document may lie outside of the database, in an object that is written before the document's row. Its name has the invoice and the
-- bytes' hash: no object is that of two invoices, and none is ever overwritten by others' bytes.
ALTER TABLE documents
    ADD COLUMN place text,
    DROP CONSTRAINT documents_erased_check,
    ADD CONSTRAINT documents_kept_check CHECK ((content IS NULL AND place IS NULL) = (erased_at IS NOT NULL)),
    ADD CONSTRAINT documents_place_check CHECK (content IS NULL OR place IS NULL),
    ADD CONSTRAINT documents_place_form_check CHECK (octet_length(place) <= 2000
        AND place LIKE '%:/%/' || left(encode(sha256, 'hex'), 2) || '/' || invoice_id::text || '-' || encode(sha256, 'hex'));
COMMENT ON COLUMN documents.content IS 'Its bytes. NULL: they are in place, or were erased.';
COMMENT ON COLUMN documents.place IS 'Where its bytes are, if they are outside of the database: folder:/path or s3://bucket/key. NULL: they are in content, or were erased.';

-- Objects that no document may have in the end. An object is announced before it is written, and deleted unless a document has it by then; and the
-- objects of erased documents are deleted. What somebody may still be writing is deleted once more afterwards.
CREATE TABLE document_leftovers (
    place         text        NOT NULL,
    invoice_id    bigint      NOT NULL,
    state         text        NOT NULL,
    written_until timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    since         timestamptz NOT NULL DEFAULT statement_timestamp(),
    attempts      integer     NOT NULL DEFAULT 0,
    error         text,
    CONSTRAINT document_leftovers_pkey PRIMARY KEY (place),
    CONSTRAINT document_leftovers_state_check CHECK (state IN ('announced', 'kept', 'deleting', 'erased')),
    CONSTRAINT document_leftovers_place_check CHECK (octet_length(place) <= 2000)
);
CREATE INDEX document_leftovers_due_idx ON document_leftovers (due_at, place);
CREATE INDEX document_leftovers_invoice_id_idx ON document_leftovers (invoice_id);
COMMENT ON TABLE document_leftovers IS 'Objects outside of the database that are being written, or are to be deleted.';
COMMENT ON COLUMN document_leftovers.place IS 'Where the object is.';
COMMENT ON COLUMN document_leftovers.invoice_id IS 'The row of the invoice whose document it is.';
COMMENT ON COLUMN document_leftovers.state IS 'announced: it is being written; kept: a document has it; deleting: none got it, and none gets it any more; erased: its document was erased.';
COMMENT ON COLUMN document_leftovers.written_until IS 'Until when somebody may be writing it.';
COMMENT ON COLUMN document_leftovers.due_at IS 'When it is deleted, or looked at, next.';
COMMENT ON COLUMN document_leftovers.since IS 'Since when it is announced, or is to be deleted.';
COMMENT ON COLUMN document_leftovers.attempts IS 'How often its deletion was tried.';
COMMENT ON COLUMN document_leftovers.error IS 'What went wrong at the last try.';

-- Announces an object that is written next. Nobody gets the place of one that is being deleted, nor announces that of another invoice, which would be deleted
-- as one that no document has.
-- +goose StatementBegin
CREATE FUNCTION announce_object(at text, invoice bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    until constant timestamptz := clock_timestamp() + interval '1 hour';
BEGIN
    IF coalesce(at, '') !~ ('^[a-z0-9]+:/.*/[0-9a-f]{2}/' || invoice || '-[0-9a-f]{64}$') THEN
        RAISE EXCEPTION 'this is no place of a document of invoice %', invoice
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'document_leftovers_place_form';
    END IF;
    PERFORM FROM invoices WHERE id = invoice AND erasure_id IS NULL FOR SHARE; -- an erasure waits for the announcement, or this for the erasure
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no invoice %, or its personal data was erased: it gets no document', invoice
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_not_erased';
    END IF;
    INSERT INTO document_leftovers AS l (place, invoice_id, state, written_until, due_at)
    VALUES (at, invoice, CASE WHEN EXISTS (SELECT FROM documents d WHERE d.invoice_id = invoice AND d.place = at) THEN 'kept' ELSE 'announced' END, until, until)
    ON CONFLICT ON CONSTRAINT document_leftovers_pkey DO UPDATE SET written_until = until, due_at = until WHERE l.state IN ('announced', 'kept');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the object is being deleted: write it later' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'document_leftovers_deleting';
    END IF;
END $$;
-- +goose StatementEnd

-- Returns objects that are to be deleted now, most at once, and keeps other processes from deleting the same for so many seconds.
-- +goose StatementBegin
CREATE FUNCTION claim_leftovers(most integer, seconds double precision) RETURNS TABLE (at text, invoice bigint, tries integer) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM document_leftovers l WHERE l.place IN (
        SELECT due.place FROM document_leftovers due WHERE due.due_at <= statement_timestamp() AND due.state = 'kept' LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN QUERY WITH due AS MATERIALIZED (
        SELECT o.place FROM document_leftovers o WHERE o.due_at <= statement_timestamp() AND o.state <> 'kept' ORDER BY o.due_at, o.place LIMIT most FOR UPDATE SKIP LOCKED
    ) UPDATE document_leftovers l SET attempts = l.attempts + 1, due_at = statement_timestamp() + seconds * interval '1 second',
        state = CASE l.state WHEN 'announced' THEN 'deleting' ELSE l.state END
    FROM due WHERE l.place = due.place AND l.state <> 'kept' RETURNING l.place, l.invoice_id, l.attempts;
END $$;
-- +goose StatementEnd

-- An object was deleted. If somebody may still be writing it, it is deleted again afterwards.
-- +goose StatementBegin
CREATE FUNCTION settle_leftover(at text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM document_leftovers WHERE place = at AND state IN ('deleting', 'erased') AND written_until <= clock_timestamp();
    UPDATE document_leftovers SET state = 'deleting', due_at = written_until, attempts = 0, error = NULL WHERE place = at AND state IN ('deleting', 'erased');
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION announce_object(text, bigint), claim_leftovers(integer, double precision), settle_leftover(text) FROM PUBLIC;
COMMENT ON FUNCTION announce_object(text, bigint) IS 'Announces an object that is written next.';
COMMENT ON FUNCTION claim_leftovers(integer, double precision) IS 'Returns objects that are to be deleted now.';
COMMENT ON FUNCTION settle_leftover(text) IS 'Notes that an object was deleted.';

-- As before, and the objects of erased documents are to be deleted.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION erase_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'invoices'::regclass THEN -- as above
        RAISE EXCEPTION 'erase_documents is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO document_leftovers AS l (place, invoice_id, state, written_until, due_at)
    SELECT d.place, d.invoice_id, 'erased', statement_timestamp(), statement_timestamp() FROM documents d
    WHERE d.place IS NOT NULL AND d.invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL) GROUP BY d.place, d.invoice_id
    ON CONFLICT ON CONSTRAINT document_leftovers_pkey DO UPDATE SET state = 'erased', due_at = statement_timestamp(), since = statement_timestamp();
    UPDATE document_leftovers SET state = 'erased', due_at = statement_timestamp(), since = statement_timestamp() -- that another process has just written
    WHERE state = 'announced' AND invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL);
    UPDATE documents SET content = NULL, place = NULL, erased_at = clock_timestamp()
    WHERE erased_at IS NULL AND invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL);
    DELETE FROM documents_owed WHERE invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- As before, and of the place, too.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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
        IF NEW.place IS NULL AND (NEW.content IS NULL OR sha256(NEW.content) <> NEW.sha256) THEN
            RAISE EXCEPTION 'a document needs its content, and that content''s SHA-256, or the place where it is'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_hashed', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := OLD;
        was.content := NULL;
        was.place := NULL;
        was.erased_at := NEW.erased_at;
        IF NEW.content IS NULL AND NEW.place IS NULL AND NEW IS NOT DISTINCT FROM was AND EXISTS (SELECT FROM invoices WHERE id = OLD.invoice_id AND erasure_id IS NOT NULL) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: a document stays what was handed out, and is only erased with its invoice', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- As before; and the document has its object.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_document() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'documents'::regclass THEN -- as above
        RAISE EXCEPTION 'settle_document is for documents' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.place IS NOT NULL THEN -- an object that may be deleted at any moment is no document's
        UPDATE document_leftovers SET state = 'kept' WHERE place = NEW.place AND state IN ('announced', 'kept') AND written_until > clock_timestamp();
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the object of this document was not announced, or so long ago that it is deleted: write it again'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'documents_announced', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END IF;
    IF NOT NEW.copy THEN
        DELETE FROM documents_owed WHERE invoice_id = NEW.invoice_id AND format = NEW.format;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose Down

LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE; -- as above
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
DO $$
BEGIN
    -- What is announced may be written by now, and nothing else knows of it.
    IF EXISTS (SELECT FROM documents WHERE place IS NOT NULL) OR EXISTS (SELECT FROM document_leftovers WHERE state <> 'kept') THEN
        RAISE EXCEPTION 'migrating down refused: there are documents outside of the database, or such that may be written there, or are still to be deleted'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'documents';
    END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION erase_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION guard_documents() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_document() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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

DROP TABLE document_leftovers;
DROP FUNCTION announce_object(text, bigint), claim_leftovers(integer, double precision), settle_leftover(text);
ALTER TABLE documents
    DROP CONSTRAINT documents_kept_check,
    DROP CONSTRAINT documents_place_check,
    DROP CONSTRAINT documents_place_form_check,
    DROP COLUMN place,
    ADD CONSTRAINT documents_erased_check CHECK ((content IS NULL) = (erased_at IS NOT NULL));
COMMENT ON COLUMN documents.content IS 'Its bytes. NULL: they were erased.';
