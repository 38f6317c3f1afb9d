package postgres

import (
	"context"
	"regexp"

	"invoicer/internal/report"
)

// mostMatches bounds what an id may be. A job id and an idempotency key may be anything, and many jobs may have the same key.
const mostMatches = 20

// taskID matches the ledger's task ids: a job's id, and the number of the dispatch.
var taskID = regexp.MustCompile(`(?s)^(.+)\.[1-9][0-9]{0,9}$`)

// Identify returns what an id is: a transaction's id, a job's, a task's, an idempotency key, an invoice's number, or several of
// these, in this order, each transaction and each job without a transaction once. It reads by indexes alone.
func (s *Reports) Identify(ctx context.Context, id string) ([]report.Match, error) {
	ofTask := ""
	if parts := taskID.FindStringSubmatch(id); parts != nil {
		ofTask = parts[1]
	}
	var rows []report.Match
	err := s.db.WithContext(ctx).Raw(`
SELECT kind, transaction_id, job_id FROM (
    (SELECT 1 AS place, 'transaction_id' AS kind, transaction_id, NULL AS job_id FROM invoicer.invoices WHERE transaction_id = @id)
    UNION ALL (SELECT 1, 'transaction_id', transaction_id, NULL FROM invoicer.invoice_jobs WHERE transaction_id = @id LIMIT 1)
    UNION ALL (SELECT 1, 'transaction_id', transaction_id, NULL FROM invoicer.duplicate_attempts WHERE transaction_id = @id LIMIT 1)
    UNION ALL (SELECT 2, 'job_id', transaction_id, job_id FROM invoicer.invoice_jobs WHERE job_id = @id)
    UNION ALL (SELECT 2, 'job_id', transaction_id, job_id FROM invoicer.duplicate_attempts WHERE job_id = @id)
    UNION ALL (SELECT 2, 'job_id', transaction_id, job_id FROM invoicer.invoices WHERE job_id = @id LIMIT @most)
    UNION ALL (SELECT 3, 'task_id', transaction_id, job_id FROM invoicer.invoice_jobs WHERE job_id = @task)
    UNION ALL (SELECT 4, 'idempotency_key', transaction_id, NULL FROM invoicer.invoices WHERE idempotency_key = @id)
    UNION ALL (SELECT 4, 'idempotency_key', transaction_id, CASE WHEN transaction_id IS NULL THEN job_id END FROM invoicer.invoice_jobs
        WHERE idempotency_key = @id AND idempotency_key IS DISTINCT FROM transaction_id LIMIT @most)
    UNION ALL (SELECT 4, 'idempotency_key', transaction_id, NULL FROM invoicer.duplicate_attempts
        WHERE idempotency_key = @id AND idempotency_key IS DISTINCT FROM transaction_id LIMIT @most)
    UNION ALL (SELECT 5, 'invoice_number', transaction_id, NULL FROM invoicer.invoices WHERE invoice_number = @id)
) AS meanings ORDER BY place, transaction_id, job_id`, map[string]any{"id": id, "task": ofTask, "most": mostMatches}).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	found, seen := []report.Match{}, map[string]bool{}
	for _, m := range rows {
		about := "job " + text(m.JobID)
		if m.TransactionID != nil {
			about = "transaction " + *m.TransactionID
		}
		if !seen[about] && len(found) < mostMatches {
			seen[about] = true
			found = append(found, m)
		}
	}
	return found, nil
}
