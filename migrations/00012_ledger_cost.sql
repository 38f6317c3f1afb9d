-- +goose Up

-- In the order in which record_ends takes them: else the two might wait for each other. Whoever writes invoices takes the
-- first two the other way round, and gives up after a fraction of a second to try again.
LOCK TABLE invoice_jobs, invoices, duplicate_attempts IN ACCESS EXCLUSIVE MODE;

-- That a record's invoice exists is checked once for all rows of a statement. A foreign key does it row by row, and locks
-- each invoice, which writes to its row once more. Invoices are never changed or deleted, so looking when one is
-- referenced is enough.
ALTER TABLE invoice_jobs DROP CONSTRAINT invoice_jobs_invoice_id_fkey;
ALTER TABLE duplicate_attempts DROP CONSTRAINT duplicate_attempts_invoice_id_fkey;

-- As a foreign key does, it looks with its owner's rights, so that a role which changes records needn't read invoices. A
-- definer's function must not find anything in its caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- The subquery, unlike a join, reads by the key whatever the planner thinks of the table's size.
-- +goose StatementBegin
CREATE FUNCTION refuse_unknown_invoice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    missing bigint;
BEGIN
    -- On a table of somebody else's, "changed" could be a view that runs their code with the owner's rights.
    IF TG_RELID NOT IN ('invoice_jobs'::regclass, 'duplicate_attempts'::regclass) THEN
        RAISE EXCEPTION 'refuse_unknown_invoice is for invoice_jobs and duplicate_attempts' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_LEVEL = 'ROW' THEN
        SELECT NEW.invoice_id INTO missing WHERE NOT EXISTS (SELECT FROM invoices WHERE id = NEW.invoice_id);
    ELSE
        SELECT invoice_id INTO missing FROM changed
        WHERE invoice_id IS NOT NULL AND (SELECT id FROM invoices WHERE id = changed.invoice_id) IS NULL LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION '% refused: there is no invoice with id %', TG_TABLE_NAME, missing
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '_invoice_known', COLUMN = 'invoice_id',
                TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_unknown_invoice() FROM PUBLIC;

CREATE TRIGGER invoice_jobs_invoice_known AFTER UPDATE ON invoice_jobs
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION refuse_unknown_invoice();
CREATE TRIGGER invoice_jobs_new_invoice_known AFTER INSERT ON invoice_jobs
    FOR EACH ROW WHEN (NEW.invoice_id IS NOT NULL) EXECUTE FUNCTION refuse_unknown_invoice();
CREATE TRIGGER duplicate_attempts_invoice_known AFTER INSERT ON duplicate_attempts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION refuse_unknown_invoice();
CREATE TRIGGER duplicate_attempts_new_invoice_known AFTER UPDATE ON duplicate_attempts
    FOR EACH ROW WHEN (NEW.invoice_id <> OLD.invoice_id) EXECUTE FUNCTION refuse_unknown_invoice();

-- What is accepted or enqueued has indexes of its own, and a job on its way needn't be entered in this one twice.
DROP INDEX invoice_jobs_open_idx;
CREATE INDEX invoice_jobs_bad_idx ON invoice_jobs (state, updated_at) WHERE state IN ('failed', 'dismissed');

-- +goose Down

LOCK TABLE invoice_jobs, invoices, duplicate_attempts IN ACCESS EXCLUSIVE MODE; -- as above

DROP INDEX invoice_jobs_bad_idx;
CREATE INDEX invoice_jobs_open_idx ON invoice_jobs (state, updated_at) WHERE state <> 'done';
DROP TRIGGER invoice_jobs_invoice_known ON invoice_jobs;
DROP TRIGGER invoice_jobs_new_invoice_known ON invoice_jobs;
DROP TRIGGER duplicate_attempts_invoice_known ON duplicate_attempts;
DROP TRIGGER duplicate_attempts_new_invoice_known ON duplicate_attempts;
DROP FUNCTION refuse_unknown_invoice();
ALTER TABLE invoice_jobs ADD CONSTRAINT invoice_jobs_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id);
ALTER TABLE duplicate_attempts ADD CONSTRAINT duplicate_attempts_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id);
