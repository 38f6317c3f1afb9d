package worker

import (
	"context"

	"invoicer/invoice"
	"invoicer/locking"
)

// Numbers knows the numbers that were given out, for a database that may lose some.
type Numbers interface {
	// Lost reports whether the database has lost a number that it gave out. Its series is paused then.
	Lost(ctx context.Context, n invoice.Numbered) (bool, error)
}

// lostNumber returns an [*invoice.PausedError] if the database has lost the number of a done entry.
func (h *Handler) lostNumber(ctx context.Context, entry *locking.DoneError) error {
	_, n, _ := DecodeDone(entry.Value)
	if h.options.Numbers == nil || !n.Known() {
		return nil
	}
	lost, err := h.options.Numbers.Lost(ctx, n)
	if err == nil && lost {
		err = &invoice.PausedError{Series: n.ID()}
	}
	return err
}

// forget deletes a done entry that contradicts the database. If its number is one that the database has lost, the entry stays, since it
// says whose number that is, and the job waits as those of its series do.
func (h *Handler) forget(ctx context.Context, a *attempt, r invoice.Request, entry *locking.DoneError) error {
	if err := h.lostNumber(ctx, entry); err != nil {
		return err
	}
	h.log.WarnContext(ctx, "done entry without an invoice: deleted", "transaction_id", r.Job.TransactionID, "job_id", a.jobID)
	if _, err := h.locker.Within(r.Job.Issuer).Forget(ctx, r.Job.TransactionID, entry.Value); err != nil {
		return redisError(err)
	}
	return nil
}
