package worker_test

import (
	"errors"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/worker"
)

// A credit note whose invoice is under way goes back to its queue, without using up a retry, until that invoice is made. Of two that ask
// for the whole, one is made and the other is a failed job that says what is left.
func TestCreditNotesWaitForTheirInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('away', 'T1', 'T1', 'elsewhere', '{}', 'enqueued')`)
	w := b.start(t, "w1")
	credit := func(id string) *invoice.Job {
		j := job(id)
		j.CreditsTransactionID = "T1"
		for i := range j.Lines {
			j.Lines[i].Quantity = j.Lines[i].Quantity.Neg()
		}
		return j
	}
	b.enqueue(t, credit("C1"))
	var waits *invoice.CreditWaitsError
	for range 2 {
		if e := w.await(t, worker.PutBack); !errors.As(e.Err, &waits) || waits.JobID != "away" {
			t.Fatalf("%+v, want it to wait for its invoice", e)
		}
	}
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Created || e.TransactionID != "T1" {
		t.Fatalf("%+v, want the invoice", e)
	}
	if e := w.ended(t); e.Outcome != invoice.Created || e.TransactionID != "C1" || e.Attempt != 1 {
		t.Errorf("%+v, want the credit note at its first attempt", e)
	}
	b.enqueue(t, credit("C2"))
	if e := w.ended(t); e.Outcome != invoice.Invalid {
		t.Errorf("%+v, want it to be invalid", e)
	}
	if reason := b.Text(t, "SELECT reason FROM invoice_jobs WHERE transaction_id = 'C2'"); !strings.Contains(reason, "credits INV-000001 by more than is left of it: 0.00 GBP of ") {
		t.Error(reason)
	}
}
