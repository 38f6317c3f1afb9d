package audit

func ledger() inquiry {
	return inquiry{
		name: "ledger", promises: []int{2, 4},
		proves: "a job's state, outcome, reason and invoice go together",
		tables: []string{"invoice_jobs"},
		queries: []query{
			{"invoice_jobs", `
SELECT 'this job has more than one row', job_id, count(*) AS jobs, string_agg(state, ', ' ORDER BY id) AS state
FROM invoice_jobs GROUP BY job_id HAVING count(*) > 1 ORDER BY min(id)`, twice("invoice_jobs", "job_id")},
			// IS NOT TRUE also finds an unknown word in state, for which the CASE is NULL.
			{"invoice_jobs", `
SELECT CASE
        WHEN state IN ('failed', 'dismissed') AND coalesce(reason, '') = '' THEN 'a bad end without a reason'
        ELSE 'state and outcome contradict each other'
    END, job_id, issuer, transaction_id, state, outcome, invoice_id, imported_id
FROM invoice_jobs
WHERE (CASE
    WHEN state IN ('accepted', 'enqueued') THEN outcome IS NULL AND invoice_id IS NULL AND imported_id IS NULL
    WHEN state = 'done' THEN outcome IN ('created', 'duplicate') AND outcome IS NOT NULL
        AND (imported_id IS NULL OR outcome = 'duplicate' AND invoice_id IS NULL)
    WHEN state IN ('failed', 'dismissed') THEN outcome IN ('conflict', 'invalid', 'failed') AND coalesce(reason, '') <> '' AND imported_id IS NULL
END) IS NOT TRUE
ORDER BY id`, ""},
			{"invoice_jobs", `
SELECT * FROM (
    SELECT CASE
            WHEN coalesce(invoices.id, imported.id) IS NULL THEN 'done, and its invoice is not there'
            WHEN coalesce(invoices.transaction_id, imported.transaction_id) IS DISTINCT FROM jobs.transaction_id THEN 'done, and its invoice is another transaction''s'
            WHEN coalesce(invoices.issuer, imported.issuer) IS DISTINCT FROM jobs.issuer THEN 'done, and its invoice is another issuer''s'
            WHEN jobs.outcome = 'created' AND invoices.job_id IS DISTINCT FROM jobs.job_id THEN 'created, and its invoice is another job''s'
            WHEN jobs.outcome = 'duplicate' AND attempts.job_id IS NULL THEN 'a duplicate, and its attempt is not there'
            WHEN jobs.outcome = 'duplicate' AND (attempts.invoice_id, attempts.imported_id) IS DISTINCT FROM (jobs.invoice_id, jobs.imported_id)
                THEN 'a duplicate, and its attempt names another invoice'
        END AS problem, jobs.job_id, jobs.issuer, jobs.transaction_id, jobs.outcome, jobs.invoice_id,
        coalesce(invoices.issuer, imported.issuer) AS invoice_issuer, invoices.invoice_number, invoices.job_id AS invoice_job_id, attempts.invoice_id AS attempt_invoice_id,
        jobs.imported_id, attempts.imported_id AS attempt_imported_id
    FROM invoice_jobs jobs
    LEFT JOIN invoices ON invoices.id = jobs.invoice_id
    LEFT JOIN imported_invoices imported ON imported.id = jobs.imported_id
    LEFT JOIN duplicate_attempts attempts ON attempts.job_id = jobs.job_id
    WHERE jobs.state = 'done' AND jobs.outcome IN ('created', 'duplicate')
) done
WHERE problem IS NOT NULL`, ""},
		},
	}
}

func duplicates() inquiry {
	return inquiry{
		name: "duplicates", promises: []int{4},
		proves: "a duplicate names its transaction's invoice, which another job made, or its transaction's import",
		tables: []string{"duplicate_attempts"},
		queries: []query{{"duplicate_attempts", `
SELECT * FROM (
    SELECT CASE
            WHEN coalesce(invoices.id, imported.id) IS NULL THEN 'the invoice that it names is not there'
            WHEN attempts.invoice_id IS NOT NULL AND attempts.imported_id IS NOT NULL THEN 'it names an invoice and an import'
            WHEN coalesce(invoices.transaction_id, imported.transaction_id) IS DISTINCT FROM attempts.transaction_id THEN 'the invoice that it names is another transaction''s'
            WHEN coalesce(invoices.issuer, imported.issuer) IS DISTINCT FROM attempts.issuer THEN 'the invoice that it names is another issuer''s'
            WHEN invoices.job_id IS NOT DISTINCT FROM attempts.job_id THEN 'the invoice that it names was made by the same job'
            WHEN (attempts.reason IN ('lost_race', 'already_invoiced')) IS NOT TRUE THEN 'its reason is none'
        END AS problem, attempts.id, attempts.job_id, attempts.issuer, attempts.transaction_id, attempts.invoice_id, attempts.reason,
        coalesce(invoices.issuer, imported.issuer) AS invoice_issuer,
        coalesce(invoices.invoice_number, imported.invoice_number) AS invoice_number,
        coalesce(invoices.transaction_id, imported.transaction_id) AS invoice_transaction_id, attempts.imported_id
    FROM duplicate_attempts attempts
    LEFT JOIN invoices ON invoices.id = attempts.invoice_id
    LEFT JOIN imported_invoices imported ON imported.id = attempts.imported_id
) attempted
WHERE problem IS NOT NULL`, ""}},
	}
}

// oneEnd doesn't count a done row of the ledger as an end: the row refers to an invoice or a duplicate attempt, and
// the ledger's check compares them.
func oneEnd() inquiry {
	return inquiry{
		name: "ends", promises: []int{2},
		proves: "no job has ended twice, or has ended and is still waiting",
		tables: []string{"invoices", "duplicate_attempts", "invoice_jobs"},
		queries: []query{{"invoice_jobs", `
WITH ends AS NOT MATERIALIZED (
    SELECT job_id, 'invoice ' || invoice_number AS ending, false AS waiting FROM invoices
    UNION ALL
    SELECT job_id, 'duplicate attempt ' || id, false FROM duplicate_attempts
    UNION ALL
    SELECT job_id, state || coalesce(': ' || outcome, ''), state IN ('accepted', 'enqueued') FROM invoice_jobs WHERE state <> 'done'
)
SELECT CASE WHEN bool_or(waiting) THEN 'this job has ended, and is still waiting' ELSE 'this job has more than one end' END,
    job_id, string_agg(ending, ', ' ORDER BY ending) AS ends
FROM ends WHERE job_id IN (SELECT job_id FROM ends GROUP BY job_id HAVING count(*) > 1)
GROUP BY job_id HAVING NOT bool_and(waiting) ORDER BY job_id`, twice(`(
    SELECT job_id FROM invoices
    UNION ALL SELECT job_id FROM duplicate_attempts
    UNION ALL SELECT job_id FROM invoice_jobs WHERE state <> 'done'
) ends`, "job_id")}},
	}
}
