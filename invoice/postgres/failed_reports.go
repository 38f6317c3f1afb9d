package postgres

import (
	"context"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// FailedJobs returns up to limit of the failed jobs that match the filter, the latest first, beginning after the given job (its
// FailedAt and ID). The zero value begins with the latest.
func (s *Reports) FailedJobs(ctx context.Context, f ledger.FailedFilter, after report.FailedJob, limit int) ([]report.FailedJob, error) {
	where, values := failedWhere(f)
	if after.ID != 0 {
		where += " AND (updated_at, id) < (?, ?)"
		values = append(values, after.FailedAt, after.ID)
	}
	jobs := []report.FailedJob{}
	err := s.db.WithContext(ctx).Raw(`SELECT id, job_id, issuer, transaction_id, producer, queue, outcome, reason, updated_at AS failed_at
FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY updated_at DESC, id DESC LIMIT ?`, append(values, limit)...).Scan(&jobs).Error
	return jobs, classify(err)
}
