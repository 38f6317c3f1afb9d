package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// causeOf is a failed job's reason without the quoted texts, ids and numbers in it, by which reasons of one cause differ.
const causeOf = `regexp_replace(left(reason, 300), '"[^"]*"|[[:xdigit:]]{8}-[[:xdigit:]-]{27}|[0-9]+([.,:][0-9]+)*', '…', 'g')`

// FailedJobs returns up to limit of the failed jobs that match the filter, the latest first, beginning after the given job (its
// FailedAt and ID). The zero value begins with the latest.
func (s *Reports) FailedJobs(ctx context.Context, f ledger.FailedFilter, after report.FailedJob, limit int) ([]report.FailedJob, error) {
	where, values := failedWhere(f)
	if after.ID != 0 {
		where += " AND (updated_at, id) < (?, ?)"
		values = append(values, after.FailedAt, after.ID)
	}
	jobs := []report.FailedJob{}
	err := s.db.WithContext(ctx).Raw(`SELECT id, job_id, transaction_id, producer, queue, outcome, reason, updated_at AS failed_at
FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY updated_at DESC, id DESC LIMIT ?`, append(values, limit)...).Scan(&jobs).Error
	return jobs, classify(err)
}

// FailedCauses returns the causes, of most jobs first and limit at most, of the failed jobs that match the filter. It looks at a bounded
// number of jobs, the latest.
func (s *Reports) FailedCauses(ctx context.Context, f ledger.FailedFilter, limit int) (report.Causes, error) {
	found := report.Causes{Causes: []report.Cause{}}
	where, values := failedWhere(f)
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		var err error
		if found.Jobs, err = countFailed(tx, f); err != nil {
			return err
		}
		return tx.Raw(`
SELECT outcome, cause, count(*) AS jobs, min(updated_at) AS first, max(updated_at) AS last FROM (
    SELECT outcome, updated_at, `+causeOf+` AS cause FROM (
        SELECT outcome, updated_at, reason FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY updated_at DESC, id DESC LIMIT ?
    ) newest
) jobs GROUP BY outcome, cause ORDER BY jobs DESC, last DESC, cause LIMIT ?`, append(values, mostCounted, limit)...).Scan(&found.Causes).Error
	})
	return found, classify(err)
}

func countFailed(tx *gorm.DB, f ledger.FailedFilter) (report.Count, error) {
	where, values := failedWhere(f)
	var n int
	err := tx.Raw("SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE "+where+" LIMIT ?) counted", append(values, mostCounted+1)...).Row().Scan(&n)
	return report.Count{N: min(n, mostCounted), More: n > mostCounted}, err
}
