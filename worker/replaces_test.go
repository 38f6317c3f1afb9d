package worker_test

import (
	"errors"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// An invoice, its credit note and the corrected invoice are sent in quick succession. The corrected one waits for the credit note, without
// using up a retry, until that has ended.
func TestCorrectedInvoicesWaitForTheCreditNote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.store(t).Settings.Change(t.Context(), &postgres.SettingsChange{What: "set", By: "ada", To: func(s invoice.Settings) (invoice.Settings, error) {
		s.CreditReplaced = true
		return s, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := b.start(t, "w1")
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Fatalf("%+v, want the invoice", e)
	}
	credit := job("T1-storno")
	credit.CreditsTransactionID = "T1"
	for i := range credit.Lines {
		credit.Lines[i].Quantity = credit.Lines[i].Quantity.Neg()
	}
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('away', 'T1-storno', 'T1-storno', 'elsewhere', '{"credits_transaction_id":"T1"}', 'enqueued')`)
	corrected := job("T1:2")
	corrected.Terms = &invoice.Terms{ReplacesTransactionID: "T1"}
	b.enqueue(t, corrected)
	var waits *invoice.CreditWaitsError
	for range 2 {
		if e := w.await(t, worker.PutBack); !errors.As(e.Err, &waits) || waits.JobID != "away" || waits.TransactionID != "T1-storno" {
			t.Fatalf("%+v, want it to wait for the credit note", e)
		}
	}
	b.enqueue(t, credit)
	if e := w.ended(t); e.Outcome != invoice.Created || e.TransactionID != "T1-storno" {
		t.Fatalf("%+v, want the credit note", e)
	}
	if e := w.ended(t); e.Outcome != invoice.Created || e.TransactionID != "T1:2" || e.Attempt != 1 {
		t.Errorf("%+v, want the corrected invoice at its first attempt", e)
	}
	second := job("T1:2:2")
	second.Terms = &invoice.Terms{ReplacesTransactionID: "T1:2"}
	b.enqueue(t, second)
	if e := w.ended(t); e.Outcome != invoice.Invalid {
		t.Errorf("%+v, want it to be invalid", e)
	}
	if reason := b.Text(t, "SELECT reason FROM invoice_jobs WHERE transaction_id = 'T1:2:2'"); !strings.Contains(reason, "names transaction_id T1:2, of which ") {
		t.Error(reason)
	}
}
