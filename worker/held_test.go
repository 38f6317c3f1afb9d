package worker_test

import (
	"fmt"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// Jobs of a series whose counter somebody holds don't take up the slots of the others, and use no retry up.
func TestHeldSeriesLeavesSlotsToOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, series := range []string{"A", "B"} {
		if _, err := b.DB.ExecContext(t.Context(), "INSERT INTO invoice_series (series, period, kind) VALUES ($1, '', 'invoice')", series); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), "SELECT FROM invoice_series WHERE series = 'A' FOR UPDATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // unless it is rolled back below

	const ofA, ofB = 1000, 100
	for i := range ofA {
		j := job(fmt.Sprintf("A%d", i))
		j.Series = "A"
		b.enqueue(t, j)
	}
	store, err := postgres.Open(postgres.Options{URL: b.URL + "&application_name=" + b.Schema, Schema: b.Schema, Callers: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := b.start(t, "w", func(p *parts) { p.generator = invoice.NewGenerator(store.Invoices, numbering) })
	w.await(t, worker.PutBack) // one of A's
	for i := range ofB {
		j := job(fmt.Sprintf("B%d", i))
		j.Series = "B"
		b.enqueue(t, j)
	}
	for range ofB {
		if e := w.ended(t); e.Outcome != invoice.Created || e.TransactionID[0] != 'B' {
			t.Fatalf("%s ended as %s, while A's counter was held", e.TransactionID, e.Outcome)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range ofA {
		if e := w.ended(t); e.Outcome != invoice.Created || e.Attempt != 1 {
			t.Fatalf("%s ended as %s at attempt %d", e.TransactionID, e.Outcome, e.Attempt)
		}
	}
	b.tally(t, ofA+ofB, 0, 0)
}
