package postgres

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// ErrNoJob says that the ledger has no job of that id.
var ErrNoJob = errors.New("no such job in the ledger")

// A StateError says that a job isn't in the state that something can be done about it in.
type StateError struct {
	JobID string
	State string // accepted, enqueued, done, failed or dismissed
}

func (e *StateError) Error() string { return fmt.Sprintf("job %s is %s", e.JobID, e.State) }

// Dismiss marks a failed job as dealt with, and writes down by whom and, in the note, why. Its outcome and reason stay, and
// it isn't done any more, whatever a queue says, until it is restored. It returns [ErrNoJob], or a [*StateError], and has
// changed nothing then.
func (s *Ledger) Dismiss(ctx context.Context, jobID string, by invoice.Actor) error {
	return s.act(ctx, jobID, "failed", "dismissed", "dismiss", by)
}

// Restore makes a dismissed job a failed one again, which can be replayed, and writes down by whom and, where there is a
// note, why. It returns [ErrNoJob], or a [*StateError], and has changed nothing then.
func (s *Ledger) Restore(ctx context.Context, jobID string, by invoice.Actor) error {
	return s.act(ctx, jobID, "dismissed", "failed", "restore", by)
}

// act takes a job from one state to another one, and writes down who did it.
func (s *Ledger) act(ctx context.Context, jobID, from, to, action string, by invoice.Actor) error {
	var states []string
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// A run of the same job may be about to commit its end; the next statement sees it then.
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
		return ErrNoJob
	case states[0] != from:
		return &StateError{JobID: jobID, State: states[0]}
	}
	return nil
}

// States tells, of those jobs that the ledger has, what state they are in.
func (s *Ledger) States(ctx context.Context, jobIDs []string) (map[string]string, error) {
	var rows []struct{ JobID, State string }
	err := s.db.WithContext(ctx).Raw("SELECT job_id, state FROM invoicer.invoice_jobs WHERE job_id = ANY(?::text[])", &jobIDs).Scan(&rows).Error
	states := make(map[string]string, len(rows))
	for _, r := range rows {
		states[r.JobID] = r.State
	}
	return states, classify(err)
}
