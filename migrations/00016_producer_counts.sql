-- +goose Up

-- In the order in which record_ends takes them.
LOCK TABLE invoices, duplicate_attempts IN ACCESS EXCLUSIVE MODE;

-- Who asked for the invoice, when the ledger accepted its job (NULL if it didn't), and which version of the worker made it.
-- content_hash is equal for two invoices with the same customer, currency and lines, whatever their ids and times; NULL if no
-- customer is stated. Invoices of before have none of these.
ALTER TABLE invoices
    ADD COLUMN producer       text,
    ADD COLUMN accepted_at    timestamptz,
    ADD COLUMN worker_version text,
    ADD COLUMN content_hash   bigint;

-- How long before the transaction that wrote the invoice the attempt began; NULL if it began later, or if that isn't known. Who
-- then had merely looked whether there is an invoice would have found none.
ALTER TABLE duplicate_attempts ADD COLUMN before_invoice interval;
CREATE INDEX duplicate_attempts_before_invoice_idx ON duplicate_attempts (attempted_at) WHERE before_invoice IS NOT NULL;

-- How many jobs of a producer ended in five minutes, added up in the transactions that end them. Two transactions that are under
-- way at the same time never share a row: each worker has rows of its own, and each of its transactions has a lane.
CREATE TABLE producer_counts (
    window_start timestamptz NOT NULL,
    producer     text        NOT NULL,
    worker       text        NOT NULL,
    lane         integer     NOT NULL,
    ended        bigint      NOT NULL DEFAULT 0,
    duplicates   bigint      NOT NULL DEFAULT 0,
    lost_races   bigint      NOT NULL DEFAULT 0,
    conflicts    bigint      NOT NULL DEFAULT 0,
    CONSTRAINT producer_counts_pkey PRIMARY KEY (window_start, producer, worker, lane),
    CONSTRAINT producer_counts_counts_check CHECK (ended >= duplicates + conflicts AND duplicates >= lost_races AND lost_races >= 0 AND conflicts >= 0)
) WITH (fillfactor = 50); -- a row is updated many times, and stays on its page so

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- record_ends, which workers of the release before still call, under a new name: it also adds the duplicates that it records to
-- the counts of their producers, in a row of this worker and lane, and notes which attempts began before the transaction that
-- wrote their invoice. took is how many seconds ago each attempt began; NULL if that isn't known.
--
-- It records that jobs ended well, and ends their rows in the ledger, for any number of jobs at once: each argument has one
-- element for each. A job has created the invoice that it names, or was a duplicate of it. It returns those, by their place
-- from 1, for which nothing was recorded, and why:
--
--   dismissed     somebody has dismissed the job
--   altered       the ledger accepted another payload, which comes with it, unless it isn't kept any more
--   not_accepted  only jobs of the ledger count, and it has none of this id
--   not_invoiced  there is no such invoice, or this job made it and is no duplicate, or the other way round
--   ended         the job's record is about another transaction
--
-- A payload is compared by its digest. Where the row has none any more, the transaction must be the same.
-- +goose StatementBegin
CREATE FUNCTION record_counted_ends(
    job_ids text[], outcomes text[], transaction_ids text[], idempotency_keys text[],
    invoice_ids bigint[], invoiced text[], fingerprints text[], invoice_numbers text[],
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
        SELECT a.*, jobs.id AS row_id, jobs.payload, made.id AS found_id, made.created_at AS made_at, CASE
            WHEN jobs.state = 'dismissed' AND (jobs.ours OR jobs.transaction_id IS NOT DISTINCT FROM a.transaction_id) THEN 'dismissed'
            WHEN jobs.ours AND CASE
                WHEN jobs.payload IS NULL THEN jobs.transaction_id <> a.transaction_id
                ELSE encode(sha256(convert_to(jobs.payload, 'UTF8')), 'hex') <> a.digest
            END THEN 'altered'
            WHEN a.ledger_only AND jobs.ours IS NOT TRUE THEN 'not_accepted'
            WHEN made.id IS NULL THEN 'not_invoiced'
        END AS problem
        FROM unnest(job_ids, outcomes, transaction_ids, idempotency_keys, invoice_ids, invoiced, fingerprints, invoice_numbers, reasons,
                producers, workers, attempts, digests, ledger_only, took)
            WITH ORDINALITY AS a (job_id, outcome, transaction_id, idempotency_key, invoice_id, invoiced, fingerprint, invoice_number, reason,
                producer, worker, attempts, digest, ledger_only, took, member)
        LEFT JOIN LATERAL (
            SELECT id, state, transaction_id, payload, dispatch > 0 OR state IN ('accepted', 'enqueued') AS ours
            FROM invoice_jobs WHERE invoice_jobs.job_id = a.job_id
        ) AS jobs ON true
        -- The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
        LEFT JOIN LATERAL (
            SELECT id, created_at FROM invoices
            WHERE invoices.id = a.invoice_id AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint
                AND invoices.invoice_number = a.invoice_number AND (invoices.job_id = a.job_id) = (a.outcome = 'created')
        ) AS made ON true
    ), recorded AS (
        INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, producer, worker, before_invoice)
        SELECT job_id, transaction_id, idempotency_key, found_id, reason, producer, worker,
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
        UPDATE invoice_jobs SET state = 'done', outcome = asked.outcome, reason = asked.reason, invoice_id = asked.found_id,
            attempts = asked.attempts, updated_at = now()
        FROM asked WHERE asked.problem IS NULL
            AND invoice_jobs.id = asked.row_id AND invoice_jobs.transaction_id = asked.transaction_id AND state <> 'done'
    )
    SELECT asked.member, coalesce(asked.problem, 'ended'), CASE WHEN asked.problem = 'altered' THEN asked.payload END FROM asked
    WHERE asked.problem IS NOT NULL OR asked.outcome = 'duplicate' AND EXISTS (
        SELECT FROM duplicate_attempts d WHERE d.job_id = asked.job_id AND d.transaction_id <> asked.transaction_id);
    -- What was only found may have been committed on this server alone: see accept.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM pg_logical_emit_message(true, 'invoicer', '');
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down

-- What is lost are statistics: every end stays on record.
LOCK TABLE invoices, duplicate_attempts IN ACCESS EXCLUSIVE MODE;
DROP FUNCTION record_counted_ends(text[], text[], text[], text[], bigint[], text[], text[], text[], text[], text[], text[], integer[], text[], boolean[],
    double precision[], text, integer);
DROP TABLE producer_counts;
DROP INDEX duplicate_attempts_before_invoice_idx;
ALTER TABLE duplicate_attempts DROP COLUMN before_invoice;
ALTER TABLE invoices DROP COLUMN producer, DROP COLUMN accepted_at, DROP COLUMN worker_version, DROP COLUMN content_hash;
