package handovers_test

import (
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice/handover"
)

// A clearance that comes while a credit note of its invoice is being written lets that go: neither passes the other by unseen.
func TestAClearanceWhileACreditNoteIsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: "one", Kind: "https", AwaitClearance: true}}); err != nil {
		t.Fatal(err)
	}
	b.invoiced(t, 1, 1)
	c, found, err := b.store.Handovers.Claim(t.Context(), "one", time.Minute)
	if err != nil || !found {
		t.Fatal(err)
	}
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('INV-CN', '', 'credit_note')")
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // it is over by then
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor,
    issued_at, credits_transaction_id) VALUES ('INV-CN', '', 1, 'INV-CN-1', 'credit_note', 'C1', 'C1', 'job C1', 'v1:' || repeat('0', 64), 'GBP', -100, 0, -100, now(), 'T1')`); err != nil {
		t.Fatal(err)
	}
	settled := make(chan error, 1)
	go func() {
		settled <- b.store.Handovers.Settle(t.Context(), &c, handover.Result{State: handover.Cleared, Clearance: "CLR-1", Answered: true})
	}()
	rig.Eventually(t, "the clearance to wait for the credit note", func() bool {
		return b.Is(t, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%handovers SET state%' AND datname = current_database())")
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	c, found, err = b.store.Handovers.Claim(t.Context(), "one", time.Minute)
	if err != nil || !found || c.Kind != "credit_note" || c.Clearance != "CLR-1" {
		t.Errorf("%v, %v, %+v", found, err, c)
	}
}
