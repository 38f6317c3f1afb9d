package worker

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// refuse records that the job can never become the invoice that it asks for.
func (h *Handler) refuse(ctx context.Context, a *attempt, o invoice.Outcome, detail string) (*ledger.End, error) {
	end := a.end(o, detail)
	return end, h.record(ctx, end)
}

// giveUp records that the job's retries are used up, unless an earlier attempt has reached a good end that the queue
// doesn't know of.
func (h *Handler) giveUp(ctx context.Context, a *attempt, cause error) (*ledger.End, error) {
	return h.badEnd(ctx, a, a.failed(cause))
}

// badEnd records a bad end that doesn't depend on the job's content. If an earlier attempt has reached a good end,
// that end stays.
func (h *Handler) badEnd(ctx context.Context, a *attempt, end *ledger.End) (*ledger.End, error) {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := h.recorder.Record(clean, *end)
	if !errors.Is(err, invoice.ErrEnded) {
		return end, err
	}
	read, err := invoice.Read(a.payload)
	if err != nil {
		return h.refuse(ctx, a, invoice.Invalid, err.Error())
	}
	result, err := h.generator.Lookup(clean, h.request(a, &read), invoice.AlreadyInvoiced)
	switch {
	case errors.Is(err, invoice.ErrNotInvoiced): // the other end belongs to another transaction
		return end, h.record(ctx, end)
	case err != nil:
		return end, err
	case result.Outcome == invoice.Conflict:
		return h.refuse(ctx, a, invoice.Conflict, result.Detail)
	}
	end = a.result(result)
	return end, h.record(ctx, end)
}

// exhausted reports whether err was the job's last failure. It was if the job has failed as often as the worker or
// the task's producer allows, or if no worker here knows its version and the queue won't keep it for a newer worker.
// For a job of the ledger, the ledger counts the failures as well, since the queue's count may have been altered.
// exhausted returns err, or an error that says that the failed payload isn't the accepted one.
func (h *Handler) exhausted(ctx context.Context, a *attempt, err error) (bool, error) {
	if !isFailure(err) {
		return !a.fromLedger && a.final && errors.As(err, new(*invoice.VersionError)), err
	}
	failures, limit := a.retried, min(h.options.MaxRetry, a.limit)
	if a.fromLedger {
		n, counted := h.count(ctx, a)
		switch {
		case errors.As(counted, new(*ledger.AlteredError)):
			return false, counted
		case counted != nil: // the database can't record an end now either
			return false, err
		case n > 0:
			failures, limit = min(failures, n-1), h.options.MaxRetry
		}
	}
	return failures >= limit, err
}

// poisoned reports whether the job has crashed its workers too often. The queue counts the crashes; once the queue's
// count reaches the limit, the ledger counts as well.
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

// record records an end, even if the job's own time is up. A foreign producer may use the id of a job that has ended
// for another job; the end is then recorded under an id that also depends on the payload.
func (h *Handler) record(ctx context.Context, end *ledger.End) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := h.recorder.Record(clean, *end)
	if errors.Is(err, invoice.ErrEnded) {
		end.JobID = distinctJobID(end.JobID, end.Payload)
		err = h.recorder.Record(clean, *end)
	}
	return err
}

// sendable returns err in a form whose text the queue can store: a server's message may be in another encoding.
func sendable(err error) error {
	if err == nil || utf8.ValidString(err.Error()) {
		return err
	}
	return &cleanError{err}
}

type cleanError struct{ error }

func (e *cleanError) Error() string { return strings.ToValidUTF8(e.error.Error(), "\uFFFD") }
func (e *cleanError) Unwrap() error { return e.error }
