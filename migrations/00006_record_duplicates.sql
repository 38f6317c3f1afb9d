-- +goose Up

-- Records that jobs were duplicates of invoices, and ends their rows in the ledger, for any number of jobs at once: each
-- argument has one element for each. It returns those, by their place from 1, for which that isn't true then: nothing was
-- recorded as there is no such invoice, or the job's record is about another transaction.
-- +goose StatementBegin
CREATE FUNCTION record_duplicates(
    job_ids text[], transaction_ids text[], idempotency_keys text[], invoice_ids bigint[], invoiced text[], fingerprints text[],
    reasons text[], producers text[], workers text[], attempts integer[]
) RETURNS TABLE (member bigint, found boolean) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one's snapshot sees a failure of the same job that is being recorded.
    PERFORM pg_advisory_xact_lock(job) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(job_ids) AS id ORDER BY 1) AS ends;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.*, (
            SELECT id FROM invoices WHERE id = a.invoice_id AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
        ) AS found_id
        FROM unnest(job_ids, transaction_ids, idempotency_keys, invoice_ids, invoiced, fingerprints, reasons, producers, workers, attempts)
            WITH ORDINALITY AS a (job_id, transaction_id, idempotency_key, invoice_id, invoiced, fingerprint, reason, producer, worker, attempts, member)
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, producer, worker)
        SELECT job_id, transaction_id, idempotency_key, found_id, reason, producer, worker FROM asked WHERE found_id IS NOT NULL ORDER BY job_id
        ON CONFLICT (job_id) DO NOTHING
    ), ledger AS (
        UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', reason = asked.reason, invoice_id = asked.found_id,
            attempts = asked.attempts, updated_at = now()
        FROM asked WHERE asked.found_id IS NOT NULL
            AND invoice_jobs.job_id = asked.job_id AND invoice_jobs.transaction_id = asked.transaction_id AND state <> 'done'
    )
    SELECT asked.member, asked.found_id IS NOT NULL FROM asked
    WHERE asked.found_id IS NULL OR EXISTS (
        SELECT FROM duplicate_attempts d WHERE d.job_id = asked.job_id AND d.transaction_id <> asked.transaction_id);
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION record_duplicates(text[], text[], text[], bigint[], text[], text[], text[], text[], text[], integer[]);
