package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
)

// ErrUnknownJob means that nobody knows a job: neither the database nor, where the client has Redis, the queue.
var ErrUnknownJob = errors.New("unknown job")

// An End is how a job has ended.
type End struct {
	JobID         string
	Issuer        string // "" is the one without a name
	TransactionID string // "" if the job was too bad to have one
	Outcome       invoice.Outcome
	// InvoiceNumber is the number that the job's transaction has now: of what the job has made, or is a duplicate of. A job with another
	// outcome mostly has none.
	InvoiceNumber string
	// Reason is the error of a job that made no invoice, or how a duplicate was recognized. It is "" if Outcome is created.
	Reason string
	// Dismissed says that a person has decided that the job, which failed, needs no invoice.
	Dismissed bool
	At        time.Time // when it ended, by the database's clock
	// Document is what the job has made, or is a duplicate of. It is nil if there is none here. Only the HTTP API tells.
	Document *Document
}

// Invoiced reports whether the job's transaction has its invoice, by this job or an earlier one.
func (e *End) Invoiced() bool { return e.Outcome == invoice.Created || e.Outcome == invoice.Duplicate }

const (
	firstPause = 20 * time.Millisecond
	mostPause  = 2 * time.Second
)

// Wait returns once the job has ended, however that may be: an outcome such as conflict is no error. It asks the database again
// and again, first after 20 ms and then at growing intervals of up to 2 s. A job that has failed can be replayed later, and then
// ends anew.
//
// The job is one that Accept returned a receipt of, once that transaction is committed, or, if the client has Redis, one that
// Enqueue put into the client's queue or the given one. If nobody knows the job, Wait returns an error that wraps
// [ErrUnknownJob] at once. If ctx ends, it returns an error that wraps the cause of that; the job goes on. Any other error
// comes from the database or Redis, and calling again is safe.
//
// Pass a [*sql.DB] or a pool by [Pgx]: a transaction, or a standby that lags behind, may not see the end. The role needs USAGE on the
// schema, and SELECT on its tables invoices, imported_invoices, invoice_jobs and duplicate_attempts.
func (c *Client) Wait(ctx context.Context, q Querier, jobID string, queue ...string) (End, error) {
	for pause := firstPause; ; pause = min(pause*3/2, mostPause) {
		end, state, err := c.end(ctx, q, jobID)
		if err == nil && state == Unknown {
			var under bool
			if under, err = c.underWay(jobID, c.queueOf(queue)); err == nil && !under {
				// It may have ended between the two looks.
				if end, state, err = c.end(ctx, q, jobID); err == nil && state == Unknown {
					err = ErrUnknownJob
				}
			}
		}
		switch {
		case err == nil && end != nil:
			return *end, nil
		case ctx.Err() != nil:
			return End{}, fmt.Errorf("wait for job %s: %w", jobID, context.Cause(ctx))
		case err != nil:
			return End{}, fmt.Errorf("wait for job %s: %w", jobID, err)
		}
		next := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter needs no secrecy
		select {
		case <-next.C:
		case <-ctx.Done():
		}
		next.Stop()
	}
}

// underWay reports whether the queue has the job and it has not ended.
func (c *Client) underWay(jobID, queue string) (bool, error) {
	if c.tasks == nil {
		return false, nil
	}
	task, err := c.tasks.GetTaskInfo(queue, jobID)
	if errors.Is(err, asynq.ErrQueueNotFound) || errors.Is(err, asynq.ErrTaskNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking into queue %s: %w", queue, err)
	}
	return task.State != asynq.TaskStateCompleted, nil
}

// end returns a job's end, nil if there is none yet. The state is Unknown if the database has nothing of the job.
func (c *Client) end(ctx context.Context, q Querier, jobID string) (*End, State, error) {
	schema := `"` + c.options.Schema + `"`
	var state, outcome, reason, issuer, transaction, number sql.NullString
	var at sql.NullTime
	// A job that was enqueued directly has a row among the ledger's only if it failed. What it made, or is a duplicate of, names it.
	row := q.QueryRowContext(ctx, `
SELECT coalesce(j.state, CASE WHEN made.id IS NOT NULL OR d.id IS NOT NULL THEN 'done' END),
    coalesce(j.outcome, CASE WHEN made.id IS NOT NULL THEN 'created' WHEN d.id IS NOT NULL THEN 'duplicate' END),
    coalesce(j.reason, CASE WHEN made.id IS NULL OR j.outcome = 'duplicate' THEN d.reason END),
    coalesce(j.issuer, made.issuer, d.issuer), coalesce(j.transaction_id, made.transaction_id, d.transaction_id),
    coalesce(i.invoice_number, imported.invoice_number), coalesce(j.updated_at, made.created_at, d.attempted_at)
FROM (SELECT $1::text AS id) AS asked
LEFT JOIN `+schema+`.invoice_jobs j ON j.job_id = asked.id
LEFT JOIN LATERAL (SELECT id, issuer, transaction_id, created_at FROM `+schema+`.invoices WHERE job_id = asked.id ORDER BY id LIMIT 1) AS made ON true
LEFT JOIN `+schema+`.duplicate_attempts d ON d.job_id = asked.id
LEFT JOIN `+schema+`.invoices i ON i.id = coalesce(j.invoice_id, made.id, d.invoice_id)
LEFT JOIN `+schema+`.imported_invoices imported ON imported.id = coalesce(j.imported_id, d.imported_id)`, jobID)
	if err := row.Scan(&state, &outcome, &reason, &issuer, &transaction, &number, &at); err != nil {
		return nil, Unknown, err
	}
	switch state.String {
	case "":
		return nil, Unknown, nil
	case "accepted", "enqueued":
		return nil, State(state.String), nil
	}
	end := &End{
		JobID: jobID, Issuer: issuer.String, TransactionID: transaction.String, Outcome: invoice.Outcome(outcome.String),
		InvoiceNumber: number.String, Reason: reason.String, Dismissed: state.String == string(Dismissed), At: at.Time,
	}
	return end, State(state.String), nil
}
