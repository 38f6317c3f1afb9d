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
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	end := a.failed(cause)
	err := h.recorder.Record(clean, end)
	if !errors.Is(err, invoice.ErrEnded) {
		return end, err
	}
	job, err := invoice.Decode(a.task.Payload())
	if err != nil {
		return h.refuse(ctx, a, invoice.Invalid, err.Error())
	}
	result, err := h.generator.Lookup(clean, invoice.NewRequest(a.jobID, a.number(), job), invoice.AlreadyInvoiced)
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
