package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/invoice/ledger"
)

// Dismiss marks a failed job as dealt with, and records the actor with the note that says why. The job's outcome and
// reason stay. Until it is restored no worker does it, even if it is still in a queue. Dismiss returns [ledger.ErrNoJob]
// or a [*ledger.StateError] if it changed nothing for that reason.
func (s *Ledger) Dismiss(ctx context.Context, jobID string, by ledger.Actor) error {
	return s.act(ctx, jobID, "failed", "dismissed", "dismiss", by)
}

// Restore turns a dismissed job back into a failed one, which can be replayed, and records the actor with the
// optional note. It returns [ledger.ErrNoJob] or a [*ledger.StateError] if it changed nothing for that reason.
func (s *Ledger) Restore(ctx context.Context, jobID string, by ledger.Actor) error {
	return s.act(ctx, jobID, "dismissed", "failed", "restore", by)
}

// act moves a job from one state to another, and records the actor.
func (s *Ledger) act(ctx context.Context, jobID, from, to, action string, by ledger.Actor) error {
	var states []string
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// An attempt at the same job may be about to commit its end. After this wait, the next statement sees that
		// end.
		if err := tx.Exec("SELECT "+lockEnd, jobID).Error; err != nil {
			return err
		}
		return tx.Raw(`
WITH was AS (
    SELECT id, job_id, state, dispatch, outcome, reason FROM invoicer.invoice_jobs WHERE job_id = ? FOR UPDATE
), changed AS (
    UPDATE invoicer.invoice_jobs SET state = ?, updated_at = now()
    FROM was WHERE invoice_jobs.id = was.id AND was.state = ?
    RETURNING invoice_jobs.id
), written AS (
    INSERT INTO invoicer.invoice_job_actions (job_id, action, actor, note, dispatch, outcome, reason)
    SELECT was.job_id, ?, ?, ?, was.dispatch, was.outcome, was.reason FROM was JOIN changed USING (id)
)
SELECT state FROM was`, jobID, to, from, action, storable(by.Name), nullable(storable(by.Note))).Scan(&states).Error
	})
	switch {
	case err != nil:
		return classify(err)
	case len(states) == 0:
		return ledger.ErrNoJob
	case states[0] != from:
		return &ledger.StateError{JobID: jobID, State: states[0]}
	}
	return nil
}

// States returns the states of those of the jobs that the ledger has, by job id.
func (s *Ledger) States(ctx context.Context, jobIDs []string) (map[string]string, error) {
	var rows []struct{ JobID, State string }
	err := s.db.WithContext(ctx).Raw("SELECT job_id, state FROM invoicer.invoice_jobs WHERE job_id = ANY(?::text[])", &jobIDs).Scan(&rows).Error
	states := make(map[string]string, len(rows))
	for _, r := range rows {
		states[r.JobID] = r.State
	}
	return states, classify(err)
}
