package worker

import (
	"context"

	"invoicer/invoice"
)

// generateUnlocked makes the invoice without asking Redis. It is for a Redis whose done entries contradict the
// database however often they are deleted, because something keeps writing them. Working without the lock is safe: it
// only saves the database useless work.
func (h *Handler) generateUnlocked(ctx context.Context, a *attempt, r invoice.Request) (invoice.Result, error) {
	h.log.WarnContext(ctx, "done entries without an invoice come back: the database decides alone; does another program write them?", "transaction_id", r.Job.TransactionID, "job_id", a.jobID)
	result, err := h.generator.Generate(ctx, r)
	if err != nil || result.Outcome == invoice.Conflict {
		return result, err
	}
	if result.Recorded {
		a.series, a.since = result.Series, result.Since
		e := h.event(a, Invoiced)
		e.Invoice = result.Invoice
		h.options.Observe(e)
		return result, nil
	}
	end := a.result(result)
	return result, h.record(ctx, end)
}
