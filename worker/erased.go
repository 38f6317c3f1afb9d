package worker

import (
	"context"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// ofErased reports whether the personal data of the transaction of an ended job was erased, so that nothing of the job may stay behind in
// Redis: what the end's record has of it is gone already.
func (h *Handler) ofErased(ctx context.Context, end *ledger.End) (is bool) {
	if end.Invoice != nil {
		return end.Invoice.Erased()
	}
	if end.TransactionID == "" || end.Outcome == invoice.Conflict { // with an erased invoice nothing can conflict
		return false
	}
	defer func() {
		if recover() != nil {
			is = false // the end is recorded: nothing may keep it from being acknowledged
		}
	}()
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	job := &invoice.Job{Issuer: end.Issuer, TransactionID: end.TransactionID, IdempotencyKey: end.IdempotencyKey}
	found, err := h.generator.Lookup(clean, invoice.Request{JobID: end.JobID, Job: job}, invoice.AlreadyInvoiced)
	return err == nil && found.Invoice != nil && found.Invoice.Erased()
}
