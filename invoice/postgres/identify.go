package postgres

import (
	"context"
	"regexp"

	"invoicer/internal/report"
)

const (
	// mostMatches bounds what an id may be. A job id and an idempotency key may be anything, and many jobs may have the same key.
	mostMatches = 20
	// lookedAtOfID is how many of the newest records of one transaction id are looked at for their issuers.
	lookedAtOfID = 1000
)

// taskID matches the ledger's task ids: a job's id, and the number of the dispatch.
var taskID = regexp.MustCompile(`(?s)^(.+)\.[1-9][0-9]{0,9}$`)

// Identify returns what an id is: a transaction's id, a job's, a task's, an idempotency key, an invoice's number, or several of
// these, in this order, each transaction of an issuer and each job without a transaction once. If issuers isn't nil, it returns what
// the id is for these. It reads by indexes alone.
func (s *Reports) Identify(ctx context.Context, issuers []string, id string) ([]report.Match, error) {
	ofTask := ""
	if parts := taskID.FindStringSubmatch(id); parts != nil {
		ofTask = parts[1]
	}
	const of = " AND coalesce(issuer = ANY(CAST(@issuers AS text[])), true) "
	var rows []report.Match
	err := s.db.WithContext(ctx).Raw(`
SELECT kind, issuer, transaction_id, job_id FROM (
    (SELECT 1 AS place, 'transaction_id' AS kind, issuer, transaction_id, NULL AS job_id FROM invoicer.invoices WHERE transaction_id = @id`+of+`LIMIT @most)
    UNION ALL (SELECT 1, 'transaction_id', issuer, transaction_id, NULL FROM invoicer.imported_invoices WHERE transaction_id = @id AND withdrawn_at IS NULL`+of+`LIMIT @most)
    UNION ALL SELECT DISTINCT 1, 'transaction_id', issuer, transaction_id, NULL FROM (
        SELECT issuer, transaction_id FROM invoicer.imported_invoices WHERE transaction_id = @id AND withdrawn_at IS NOT NULL`+of+`LIMIT @look) AS withdrawn
    UNION ALL SELECT DISTINCT 1, 'transaction_id', issuer, transaction_id, NULL FROM (
        SELECT issuer, transaction_id FROM invoicer.invoice_jobs WHERE transaction_id = @id`+of+`LIMIT @look) AS jobs
    UNION ALL SELECT DISTINCT 1, 'transaction_id', issuer, transaction_id, NULL FROM (
        SELECT issuer, transaction_id FROM invoicer.duplicate_attempts WHERE transaction_id = @id`+of+`LIMIT @look) AS attempts
    UNION ALL (SELECT 2, 'job_id', issuer, transaction_id, job_id FROM invoicer.invoice_jobs WHERE job_id = @id`+of+`)
    UNION ALL (SELECT 2, 'job_id', issuer, transaction_id, job_id FROM invoicer.duplicate_attempts WHERE job_id = @id`+of+`)
    UNION ALL (SELECT 2, 'job_id', issuer, transaction_id, job_id FROM invoicer.invoices WHERE job_id = @id`+of+`LIMIT @most)
    UNION ALL (SELECT 3, 'task_id', issuer, transaction_id, job_id FROM invoicer.invoice_jobs WHERE job_id = @task`+of+`)
    UNION ALL (SELECT 4, 'idempotency_key', issuer, transaction_id, NULL FROM invoicer.invoices WHERE idempotency_key = @id`+of+`LIMIT @most)
    UNION ALL (SELECT 4, 'idempotency_key', issuer, transaction_id, NULL FROM invoicer.imported_invoices
        WHERE idempotency_key = @id AND withdrawn_at IS NULL`+of+`LIMIT @most)
    UNION ALL (SELECT 4, 'idempotency_key', issuer, transaction_id, CASE WHEN transaction_id IS NULL THEN job_id END FROM invoicer.invoice_jobs
        WHERE idempotency_key = @id AND idempotency_key IS DISTINCT FROM transaction_id`+of+`LIMIT @most)
    UNION ALL (SELECT 4, 'idempotency_key', issuer, transaction_id, NULL FROM invoicer.duplicate_attempts
        WHERE idempotency_key = @id AND idempotency_key IS DISTINCT FROM transaction_id`+of+`LIMIT @most)
    UNION ALL (SELECT 5, 'invoice_number', issuer, transaction_id, NULL FROM invoicer.invoices WHERE invoice_number = @id`+of+`LIMIT @most)
    UNION ALL (SELECT 5, 'invoice_number', issuer, transaction_id, NULL FROM invoicer.imported_invoices
        WHERE invoice_number = @id AND withdrawn_at IS NULL`+of+`LIMIT @most)
) AS meanings ORDER BY place, issuer, transaction_id, job_id`,
		map[string]any{"id": id, "task": ofTask, "issuers": textsOrNull(issuers), "most": mostMatches, "look": lookedAtOfID}).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	found, seen := []report.Match{}, map[[3]string]bool{}
	for _, m := range rows {
		about := [3]string{"job", text(m.JobID)}
		if m.TransactionID != nil {
			about = [3]string{"transaction", *m.TransactionID, m.Issuer}
		}
		if !seen[about] && len(found) < mostMatches {
			seen[about] = true
			found = append(found, m)
		}
	}
	return found, nil
}
