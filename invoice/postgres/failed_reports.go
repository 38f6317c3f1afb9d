package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// causeOf is a failed job's reason with # in place of each word with a digit: an id, a number or a time.
const causeOf = `regexp_replace(reason, '[^\s"'';,()]*[0-9][^\s"'';,()]*', '#', 'g')`

// lookedAtForCauses is how many failed jobs are grouped by cause: the latest.
const lookedAtForCauses = 50_000

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

// Causes groups the latest failed jobs that match the filter by cause: their outcome and reason, without ids and numbers. It returns
// the causes of most jobs, limit at most. A filter with such a cause selects its jobs.
func (s *Reports) Causes(ctx context.Context, f ledger.FailedFilter, limit int) (report.Causes, error) {
	found := report.Causes{Causes: []report.Cause{}}
	where, values := failedWhere(f)
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		var err error
		if found.Jobs, found.AtLeast, err = countFailed(tx, f, lookedAtForCauses); err != nil {
			return err
		}
		return tx.Raw(`
SELECT outcome, `+causeOf+` AS reason, count(*) AS jobs, min(updated_at) AS first_at, max(updated_at) AS last_at,
    (array_agg(job_id ORDER BY updated_at DESC))[1] AS job_id
FROM (SELECT outcome, reason, job_id, updated_at FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY updated_at DESC, id DESC LIMIT ?) latest
GROUP BY 1, 2 ORDER BY jobs DESC, reason LIMIT ?`, append(values, lookedAtForCauses, limit)...).Scan(&found.Causes).Error
	})
	return found, classify(err)
}

// countFailed counts the failed jobs that match the filter up to a limit.
func countFailed(tx *gorm.DB, f ledger.FailedFilter, most int) (n int, atLeast bool, err error) {
	where, values := failedWhere(f)
	err = tx.Raw("SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE "+where+" LIMIT ?) counted", append(values, most+1)...).Row().Scan(&n)
	return min(n, most), n > most, err
}
