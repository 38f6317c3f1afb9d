package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// keptAttempts is how many failed attempts are kept of one job: the newest.
const keptAttempts = 100

// keptReason is how many characters are kept of an attempt's reason.
const keptReason = 2000

// RecordAttempt records an attempt that failed, after which the job is tried again. Of each job the newest 100 are kept.
func (s *Ledger) RecordAttempt(ctx context.Context, a ledger.FailedAttempt) error {
	reason := []rune(storable(a.Reason))
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec(`
WITH old AS (
    DELETE FROM invoicer.job_attempts WHERE job_id = @job
        AND id <= (SELECT id FROM invoicer.job_attempts WHERE job_id = @job ORDER BY id DESC OFFSET @kept LIMIT 1)
)
INSERT INTO invoicer.job_attempts (job_id, dispatch, attempt, worker, reason) VALUES (@job, @dispatch, @attempt, @worker, @reason)`,
			map[string]any{
				"job": a.JobID, "dispatch": a.Dispatch, "attempt": a.Attempt, "worker": storable(a.Worker),
				"reason": string(reason[:min(len(reason), keptReason)]), "kept": keptAttempts - 1,
			}).Error
	}))
}

// Attempts returns the failed attempts at a job, the latest last. It is for jobs that the ledger doesn't have.
func (s *Reports) Attempts(ctx context.Context, jobID string) ([]report.Attempt, error) {
	attempts, err := readFailedAttempts(s.db.WithContext(ctx), []string{jobID})
	return attempts, classify(err)
}

func readFailedAttempts(db *gorm.DB, jobIDs []string) (attempts []report.Attempt, err error) {
	err = db.Raw(`SELECT * FROM invoicer.job_attempts WHERE job_id = ANY(?::text[]) ORDER BY id`, &jobIDs).Scan(&attempts).Error
	return attempts, err
}

// Payload returns the payload of a job that the ledger has, nil if it isn't kept or isn't text, or if issuers isn't nil and the job is
// none of theirs.
func (s *Reports) Payload(ctx context.Context, issuers []string, jobID string) ([]byte, error) {
	var rows []struct{ Payload *string }
	err := s.db.WithContext(ctx).Raw(`SELECT payload FROM invoicer.invoice_jobs WHERE job_id = ? AND coalesce(issuer = ANY(?::text[]), true)`, jobID, textsOrNull(issuers)).Scan(&rows).Error
	if err != nil || len(rows) == 0 || rows[0].Payload == nil {
		return nil, classify(err)
	}
	return []byte(*rows[0].Payload), nil
}

// TaskOf returns the id of the task by which a job was last sent to its queue, "" if the ledger has sent none.
func (s *Reports) TaskOf(ctx context.Context, jobID string) (taskID string, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT job_id || '.' || dispatch FROM invoicer.invoice_jobs WHERE job_id = ? AND dispatch > 0`, storable(jobID)).Scan(&taskID).Error
	return taskID, classify(err)
}
