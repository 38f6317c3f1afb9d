-- +goose Up

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- In which fields a duplicate may differ from its invoice.
ALTER TABLE settings
    ADD COLUMN ignore text[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT settings_ignore_check CHECK (ignore <@ ARRAY['issued_at', 'presentation']);

-- In which it does; NULL if in none.
ALTER TABLE duplicate_attempts ADD COLUMN differs text[];

-- record_ends_of_issuers, which workers of the release before still call, under a new name and with one more argument: differing has
-- the fields in which a duplicate differs from its invoice, one on each line, or NULL.
-- +goose StatementBegin
CREATE FUNCTION record_ends_with_differences(
    issuers text[], job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], imported_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[],
    took double precision[], differing text[], counting_worker text, counting_lane integer
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one's snapshot sees another end of the same job, or a dismissal, that is being
    -- recorded.
    PERFORM pg_advisory_xact_lock(job) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(job_ids) AS id ORDER BY 1) AS ends;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.*, jobs.id AS row_id, jobs.payload, made.id AS found_id, made.created_at AS made_at, imported.id AS found_import, CASE
            WHEN jobs.state = 'dismissed' AND (jobs.ours OR jobs.transaction_id IS NOT DISTINCT FROM a.transaction_id) THEN 'dismissed'
            WHEN jobs.ours AND CASE
                WHEN jobs.payload IS NULL THEN (jobs.issuer, jobs.transaction_id) <> (a.issuer, a.transaction_id)
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL AND imported.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(issuers, job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, imported_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only, took, differing)
            WITH ORDINALITY AS a (issuer, job_id, outcome, transaction_id, idempotency_key, invoice_id, imported_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, took, differs, member)
        LEFT JOIN LATERAL (
            SELECT id, state, issuer, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id, created_at FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.issuer = a.issuer AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
        LEFT JOIN LATERAL (
            SELECT id FROM imported_invoices
            WHERE imported_invoices.id = a.imported_id AND imported_invoices.issuer = a.issuer AND imported_invoices.transaction_id = a.transaction_id AND a.outcome = 'duplicate'
                AND imported_invoices.invoice_number = a.invoice_number AND imported_invoices.withdrawn_at IS NULL AND a.invoice_id IS NULL
        ) AS imported ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, issuer, transaction_id, idempotency_key, invoice_id, imported_id, reason, producer, worker, before_invoice, differs)
        SELECT job_id, issuer, transaction_id, idempotency_key, found_id, found_import, reason, producer, worker,
            CASE WHEN statement_timestamp() - took * interval '1 second' < made_at THEN made_at - (statement_timestamp() - took * interval '1 second') END,
            string_to_array(differs, chr(10))
        FROM asked WHERE problem IS NULL AND outcome = 'duplicate' ORDER BY job_id
        ON CONFLICT (job_id) DO NOTHING
        RETURNING coalesce(producer, '') AS producer, reason
    ), counted AS (
        INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates, lost_races)
        SELECT to_timestamp(floor(extract(epoch FROM now()) / 300) * 300), recorded.producer, counting_worker, counting_lane,
            count(*), count(*), count(*) FILTER (WHERE recorded.reason = 'lost_race')
        FROM recorded GROUP BY recorded.producer
        ON CONFLICT ON CONSTRAINT producer_counts_pkey DO UPDATE SET ended = producer_counts.ended + excluded.ended,
            duplicates = producer_counts.duplicates + excluded.duplicates, lost_races = producer_counts.lost_races + excluded.lost_races
    ), ledger AS (
        UPDATE invoice_jobs SET state = 'done', outcome = asked.outcome, reason = asked.reason, invoice_id = asked.found_id, imported_id = asked.found_import,
            attempts = asked.attempts, updated_at = now()
        FROM asked WHERE asked.problem IS NULL
            AND invoice_jobs.id = asked.row_id AND invoice_jobs.issuer = asked.issuer AND invoice_jobs.transaction_id = asked.transaction_id AND state <> 'done'
    )
    SELECT asked.member, coalesce(asked.problem, 'ended'), CASE WHEN asked.problem = 'altered' THEN asked.payload END FROM asked
    WHERE asked.problem IS NOT NULL OR asked.outcome = 'duplicate' AND EXISTS (
        SELECT FROM duplicate_attempts d WHERE d.job_id = asked.job_id AND (d.issuer, d.transaction_id) <> (asked.issuer, asked.transaction_id));
    -- What was only found may have been committed on this server alone: see accept.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM pg_logical_emit_message(true, 'invoicer', '');
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_ends_of_issuers(
    issuers text[], job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], imported_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[],
    took double precision[], counting_worker text, counting_lane integer
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY SELECT * FROM record_ends_with_differences(issuers, job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, imported_ids, invoiced,
        fingerprints, invoice_numbers, reasons, producers, workers, attempts, digests, ledger_only, took, array_fill(NULL::text, ARRAY[cardinality(job_ids)]),
        counting_worker, counting_lane);
END $$;
-- +goose StatementEnd

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
LOCK TABLE settings, duplicate_attempts IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM settings WHERE ignore <> '{}') OR EXISTS (SELECT FROM duplicate_attempts WHERE differs IS NOT NULL) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete settings that were changed, or in what duplicates differ'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'settings';
    END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_ends_of_issuers(
    issuers text[], job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], imported_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
    reasons text[], producers text[], workers text[], attempts integer[], digests text[], ledger_only boolean[],
    took double precision[], counting_worker text, counting_lane integer
) RETURNS TABLE (member bigint, problem text, accepted text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one's snapshot sees another end of the same job, or a dismissal, that is being
    -- recorded.
    PERFORM pg_advisory_xact_lock(job) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(job_ids) AS id ORDER BY 1) AS ends;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT a.*, jobs.id AS row_id, jobs.payload, made.id AS found_id, made.created_at AS made_at, imported.id AS found_import, CASE
            WHEN jobs.state = 'dismissed' AND (jobs.ours OR jobs.transaction_id IS NOT DISTINCT FROM a.transaction_id) THEN 'dismissed'
            WHEN jobs.ours AND CASE
                WHEN jobs.payload IS NULL THEN (jobs.issuer, jobs.transaction_id) <> (a.issuer, a.transaction_id)
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL AND imported.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(issuers, job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, imported_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only, took)
            WITH ORDINALITY AS a (issuer, job_id, outcome, transaction_id, idempotency_key, invoice_id, imported_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, took, member)
        LEFT JOIN LATERAL (
            SELECT id, state, issuer, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id, created_at FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.issuer = a.issuer AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
        LEFT JOIN LATERAL (
            SELECT id FROM imported_invoices
            WHERE imported_invoices.id = a.imported_id AND imported_invoices.issuer = a.issuer AND imported_invoices.transaction_id = a.transaction_id AND a.outcome = 'duplicate'
                AND imported_invoices.invoice_number = a.invoice_number AND imported_invoices.withdrawn_at IS NULL AND a.invoice_id IS NULL
        ) AS imported ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, issuer, transaction_id, idempotency_key, invoice_id, imported_id, reason, producer, worker, before_invoice)
        SELECT job_id, issuer, transaction_id, idempotency_key, found_id, found_import, reason, producer, worker,
            CASE WHEN statement_timestamp() - took * interval '1 second' < made_at THEN made_at - (statement_timestamp() - took * interval '1 second') END
        FROM asked WHERE problem IS NULL AND outcome = 'duplicate' ORDER BY job_id
        ON CONFLICT (job_id) DO NOTHING
        RETURNING coalesce(producer, '') AS producer, reason
    ), counted AS (
        INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates, lost_races)
        SELECT to_timestamp(floor(extract(epoch FROM now()) / 300) * 300), recorded.producer, counting_worker, counting_lane,
            count(*), count(*), count(*) FILTER (WHERE recorded.reason = 'lost_race')
        FROM recorded GROUP BY recorded.producer
        ON CONFLICT ON CONSTRAINT producer_counts_pkey DO UPDATE SET ended = producer_counts.ended + excluded.ended,
            duplicates = producer_counts.duplicates + excluded.duplicates, lost_races = producer_counts.lost_races + excluded.lost_races
    ), ledger AS (
        UPDATE invoice_jobs SET state = 'done', outcome = asked.outcome, reason = asked.reason, invoice_id = asked.found_id, imported_id = asked.found_import,
            attempts = asked.attempts, updated_at = now()
        FROM asked WHERE asked.problem IS NULL
            AND invoice_jobs.id = asked.row_id AND invoice_jobs.issuer = asked.issuer AND invoice_jobs.transaction_id = asked.transaction_id AND state <> 'done'
    )
    SELECT asked.member, coalesce(asked.problem, 'ended'), CASE WHEN asked.problem = 'altered' THEN asked.payload END FROM asked
    WHERE asked.problem IS NOT NULL OR asked.outcome = 'duplicate' AND EXISTS (
        SELECT FROM duplicate_attempts d WHERE d.job_id = asked.job_id AND (d.issuer, d.transaction_id) <> (asked.issuer, asked.transaction_id));
    -- What was only found may have been committed on this server alone: see accept.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM pg_logical_emit_message(true, 'invoicer', '');
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION record_ends_with_differences;
ALTER TABLE duplicate_attempts DROP COLUMN differs;
ALTER TABLE settings DROP COLUMN ignore;
