package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"invoicer/invoice"
)

// Accept asks for a job's invoice inside the caller's transaction: the job exists if and only if the transaction is
// committed, and from then on it is never lost. The ledger must be in the same database. IssuedAt is cut to whole
// microseconds.
//
// The role needs no more than USAGE on the ledger's schema and EXECUTE on its function accept. If it also has SELECT on the
// tables invoice_jobs and invoices, the receipt says whether the job is new and whether its transaction is invoiced; with
// SELECT on imported_invoices, also whether it was invoiced elsewhere. It says so as of the statement's snapshot. All of it is
// one statement.
//
// If replication is synchronous, the caller's COMMIT waits for a standby. If that wait is cancelled, by a timeout or
// by an administrator, Postgres has committed on the primary alone, and answers with success and a warning (SQLSTATE
// 01000) that database/sql doesn't pass on. A caller that has to know must read the server's warnings, with pgx by
// ConnConfig.OnNotice, and treat a COMMIT with such a warning like one whose reply was lost: its outcome is unknown.
// In both cases it is right to ask again: the transaction is invoiced once. (A repeated Accept with the same
// [Options].JobID waits for the row that it finds.)
//
// For a job that can never be an invoice, Accept returns an [*invoice.InvalidError] before it sends anything. Any
// other error comes from the database, and the transaction can only be rolled back; for an id that another job has, it is a
// [*TakenError], and for a queue that no worker has ever consumed an [*UnknownQueueError]: see [Options].NewQueue.
func (c *Client) Accept(ctx context.Context, tx Querier, job *invoice.Job, queue ...string) (Receipt, error) {
	a, err := c.ask(job)
	if err != nil {
		return Receipt{}, err
	}
	receipts, err := c.accept(ctx, tx, []ask{a}, c.queueOf(queue))
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// AcceptMany is Accept for many jobs, in one statement: all of them are accepted, in their order, or none is. Its receipts are
// in the order of the jobs.
//
// If jobs can never be invoices, AcceptMany returns a [*BatchError] that names all of them, before it sends anything. Any other
// error comes from the database, as for Accept; where an id belongs to another job, it is a [*BatchError], too.
func (c *Client) AcceptMany(ctx context.Context, tx Querier, jobs []*invoice.Job, queue ...string) ([]Receipt, error) {
	asks := make([]ask, len(jobs))
	first := make(map[string]int, len(jobs))
	bad := BatchError{Of: len(jobs)}
	for i, job := range jobs {
		a, err := c.ask(job)
		if err == nil {
			asks[i] = a
			if at, ok := first[a.id]; !ok {
				first[a.id] = i
			} else if !bytes.Equal(asks[at].payload, a.payload) {
				err = &TakenError{JobID: a.id}
			}
		}
		if err != nil {
			bad.Jobs = append(bad.Jobs, JobError{Index: i, Err: err})
		}
	}
	if len(bad.Jobs) > 0 {
		return nil, &bad
	}
	if len(jobs) == 0 {
		return nil, nil
	}
	receipts, err := c.accept(ctx, tx, asks, c.queueOf(queue))
	var taken *TakenError
	if errors.As(err, &taken) {
		return nil, &BatchError{Of: len(jobs), Jobs: []JobError{{Index: first[taken.JobID], Err: err}}}
	}
	return receipts, err
}

// A BatchError says which of the jobs that [Client.AcceptMany] was given are refused. None of the others was accepted either.
type BatchError struct {
	Of   int        // the number of jobs that were given
	Jobs []JobError // at least one, in the order of the jobs
}

// A JobError says why a job is refused, mostly by an [*invoice.InvalidError], which names the fields.
type JobError struct {
	Index int // of the job among those given, from 0
	Err   error
}

// shownJobs is the number of jobs that an error's text names at most.
const shownJobs = 20

// Error returns one line that names up to 20 jobs by index and counts the others.
func (e *BatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "accept: %d of %d jobs refused, so none is accepted", len(e.Jobs), e.Of)
	for _, j := range e.Jobs[:min(len(e.Jobs), shownJobs)] {
		fmt.Fprintf(&b, "; jobs[%d]: %v", j.Index, j.Err)
	}
	if more := len(e.Jobs) - shownJobs; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Unwrap returns the errors of the jobs.
func (e *BatchError) Unwrap() []error {
	all := make([]error, len(e.Jobs))
	for i := range e.Jobs {
		all[i] = e.Jobs[i].Err
	}
	return all
}

// What the statement takes of a job, in two lists: payloads are sent once.
type (
	sent struct {
		JobID   string `json:"job_id"`
		Payload string `json:"payload"`
	}
	look struct {
		JobID         string `json:"job_id"`
		Issuer        string `json:"issuer"`
		TransactionID string `json:"transaction_id"`
	}
)

func (c *Client) accept(ctx context.Context, tx Querier, asks []ask, queue string) ([]Receipt, error) {
	jobs, looks := make([]sent, len(asks)), make([]look, len(asks))
	for i, a := range asks {
		jobs[i] = sent{JobID: a.id, Payload: string(a.payload)}
		looks[i] = look{JobID: a.id, Issuer: a.issuer, TransactionID: a.transactionID}
	}
	// Lists are sent as JSON, since drivers send arrays in different ways, and cast, since they send strings with different types.
	listed, err := json.Marshal(jobs)
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	looked, err := json.Marshal(looks)
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	schema := `"` + c.options.Schema + `"`
	call := schema + `.accept(a.payload, $2::text, a.job_id)`
	if c.options.NewQueue {
		call = schema + `.accept(a.payload, $2::text, a.job_id, true)`
	}
	args := []any{string(listed), queue, string(looked)}
	if c.options.Traceparent != nil {
		// CASE has an order. What is set holds until the transaction ends, so it is set for a job without a trace, too.
		call = `CASE WHEN set_config('invoicer.traceparent', $4::text, true) IS NOT NULL THEN ` + call + ` END`
		args = append(args, c.traceparent(ctx))
	}
	var accepted int64
	var before *string
	row := tx.QueryRowContext(ctx, "SELECT count("+call+"), ("+told(schema)+")\nFROM json_to_recordset($1::text::json) AS a (job_id uuid, payload text)", args...)
	if err := row.Scan(&accepted, &before); err != nil {
		if unknown := unknownQueue(queue, err); unknown != nil {
			return nil, fmt.Errorf("accept: %w", unknown)
		}
		for _, a := range asks {
			if a.repeatable && strings.Contains(err.Error(), "job_id "+a.id+" belongs to another job") { // drivers have different types for errors
				err = &TakenError{JobID: a.id, Err: err}
				break
			}
		}
		return nil, fmt.Errorf("accept: %w", err)
	}
	return receipts(asks, queue, before)
}
