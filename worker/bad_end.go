package worker

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"invoicer/invoice"
)

// refuse records that the job can never be what it asks for.
func (h *Handler) refuse(ctx context.Context, a *attempt, o invoice.Outcome, detail string) (invoice.End, error) {
	end := a.end(o, detail)
	return end, h.record(ctx, &end)
}

// giveUp records that the job's retries are used up; unless an earlier run had come to a good end, of which only the
// queue doesn't know.
func (h *Handler) giveUp(ctx context.Context, a *attempt, cause error) (invoice.End, error) {
	return h.badEnd(ctx, a, a.failed(cause))
}

// badEnd records a bad end that says nothing of what the job asks for, and so gives way to an earlier run's good one.
func (h *Handler) badEnd(ctx context.Context, a *attempt, end invoice.End) (invoice.End, error) {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := h.recorder.Record(clean, end)
	if !errors.Is(err, invoice.ErrEnded) {
		return end, err
	}
	job, err := invoice.Decode(a.payload)
	if err != nil {
		return h.refuse(ctx, a, invoice.Invalid, err.Error())
	}
	result, err := h.generator.Lookup(clean, h.request(a, job), invoice.AlreadyInvoiced)
	switch {
	case errors.Is(err, invoice.ErrNotInvoiced): // the other end is of another transaction
		return end, h.record(ctx, &end)
	case err != nil:
		return end, err
	case result.Outcome == invoice.Conflict:
		return h.refuse(ctx, a, invoice.Conflict, result.Detail)
	}
	end = a.result(result)
	return end, h.record(ctx, &end)
}

// exhausted tells whether the job has had its last chance with err: as many real failures as the worker, or the task's
// producer, allows; or no worker here knows its version, and the queue won't keep it for a newer one. Of a job of the
// ledger, the ledger counts the failures as well: what the queue says of them may have been altered. It returns err, or one
// that says that what failed isn't what was accepted.
func (h *Handler) exhausted(ctx context.Context, a *attempt, err error) (bool, error) {
	if !isFailure(err) {
		return !a.fromLedger && a.final && errors.As(err, new(*invoice.VersionError)), err
	}
	failures, limit := a.retried, min(h.options.MaxRetry, a.limit)
	if a.fromLedger {
		n, counted := h.count(ctx, a)
		switch {
		case errors.As(counted, new(*invoice.AlteredError)):
			return false, counted
		case counted != nil: // it can't be recorded now either
			return false, err
		case n > 0:
			failures, limit = min(failures, n-1), h.options.MaxRetry
		}
	}
	return failures >= limit, err
}

// poisoned tells whether the job may be what kills its workers. The ledger has it from the queue how often that was; from
// when it may be enough on, it counts itself.
func (h *Handler) poisoned(ctx context.Context, a *attempt) (bool, error) {
	if a.retried <= h.options.MaxRetry+maxCrashes || a.counted {
		return false, nil
	}
	if !a.fromLedger {
		return true, nil
	}
	n, err := h.count(ctx, a)
	a.counted = err == nil && n > 0
	return err == nil && (n == 0 || n > maxCrashes), err
}

func (h *Handler) count(ctx context.Context, a *attempt) (int, error) {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return h.recorder.CountAttempt(clean, a.jobID, a.payload)
}

// record writes an end down, even when the job's own time is up. A foreign producer may use a task id twice, for a job
// that has an end already and for this one; then the record's job id also tells what was asked.
func (h *Handler) record(ctx context.Context, end *invoice.End) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := h.recorder.Record(clean, *end)
	if errors.Is(err, invoice.ErrEnded) {
		end.JobID = distinctJobID(end.JobID, end.Payload)
		err = h.recorder.Record(clean, *end)
	}
	return err
}

// sendable makes sure that the queue can keep the error's text: a server may complain in an encoding of its own.
func sendable(err error) error {
	if err == nil || utf8.ValidString(err.Error()) {
		return err
	}
	return &cleanError{err}
}

type cleanError struct{ error }

func (e *cleanError) Error() string { return strings.ToValidUTF8(e.error.Error(), "\uFFFD") }
func (e *cleanError) Unwrap() error { return e.error }
