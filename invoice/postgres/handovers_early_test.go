package postgres_test

import (
	"errors"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/handover"
)

// A credit note that comes before its invoice waits for the clearance all the same, once the invoice is there; unless it was tried before, or its channel
// doesn't await clearances. Its hand-over knows that of the invoice either way.
func TestACreditNoteThatComesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "https", AwaitClearance: true}, {Name: "archive", Kind: "program"}}); err != nil {
		t.Fatal(err)
	}
	note := b.credited(t, "T1")
	tried := b.credited(t, "T2")
	b.Exec(t, "UPDATE handovers SET attempts = 1, error = 'nobody there' WHERE invoice_id = $1 AND channel = $2", tried, authority)
	decided := b.credited(t, "T3")
	b.Exec(t, "UPDATE handovers SET changed_by = 'ada' WHERE invoice_id = $1 AND channel = $2", decided, authority)
	ended := b.credited(t, "T4")
	b.Exec(t, "UPDATE handovers SET state = 'cancelled', changed_by = 'ada', due_at = NULL WHERE invoice_id = $1 AND channel = $2", ended, authority)
	for _, transaction := range []string{"T1", "T2", "T3", "T4", "T5"} {
		b.invoiced(t, transaction)
	}
	stands := func() string {
		return b.Text(t, `SELECT string_agg(concat_ws(' ', n.channel, i.transaction_id, n.state, CASE WHEN n.due_at IS NULL THEN 'not due' ELSE 'due' END, ci.transaction_id), ', ' ORDER BY n.channel DESC, n.id)
			FROM handovers n JOIN invoices i ON i.id = n.invoice_id LEFT JOIN handovers c ON c.id = n.credits AND c.channel = n.channel LEFT JOIN invoices ci ON ci.id = c.invoice_id WHERE i.kind = 'credit_note'`)
	}
	if got := stands(); got != "authority C-T1 queued not due T1, authority C-T2 queued due T2, authority C-T3 queued due T3, authority C-T4 cancelled not due T4, "+
		"archive C-T1 queued due T1, archive C-T2 queued due T2, archive C-T3 queued due T3, archive C-T4 queued due T4" {
		t.Error(got)
	}
	list, err := b.store.Handovers.List(t.Context(), handover.Filter{State: handover.Queued, Number: "INV-CN-000001", Channel: authority})
	if err != nil || len(list) != 1 || list[0].WaitsFor != "INV-000001" {
		t.Errorf("%+v, %v", list, err)
	}
	b.Exec(t, "UPDATE handovers SET state = 'cleared', clearance = 'CLR-1', answered_at = now(), due_at = NULL FROM invoices i WHERE i.id = invoice_id AND i.transaction_id = 'T1' AND channel = $1", authority)
	b.Exec(t, "UPDATE handovers SET due_at = now() + interval '1 hour' WHERE due_at IS NOT NULL AND invoice_id <> $1", note)
	if c, found := b.claim(t); !found || c.InvoiceID != note || c.Clearance != "CLR-1" {
		t.Errorf("%v %+v", found, c)
	}
	for _, statement := range []string{
		"UPDATE handovers SET credits = id WHERE credits IS NULL", "UPDATE handovers SET credits = NULL WHERE credits IS NOT NULL", "UPDATE handovers SET credits = 1 WHERE credits IS NOT NULL",
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s went through", statement)
		}
	}
}

// Where the invoice and its credit note are written at the same moment, whoever comes second waits for the first, and sees it.
func TestACreditNoteBesideItsInvoice(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"T1", "C-T1"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			b := channelled(t, patient)
			b.Exec(t, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					IF EXISTS (SELECT FROM added WHERE transaction_id = TG_ARGV[0]) THEN
						PERFORM pg_advisory_xact_lock(hashtext(TG_TABLE_SCHEMA));
					END IF;
					RETURN NULL;
				END $$`)
			b.Exec(t, "CREATE TRIGGER zz_held AFTER INSERT ON invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION hold('"+first+"')")
			gate := b.begin(t)
			in(t, gate, "SELECT pg_advisory_xact_lock(hashtext('"+b.Schema+"'))")
			create := func(transaction string) chan error {
				done := make(chan error, 1)
				j := job(t, transaction)
				if transaction != "T1" {
					j.CreditsTransactionID = "T1"
					for n := range j.Lines {
						j.Lines[n].Quantity = j.Lines[n].Quantity.Neg()
					}
				}
				go func() {
					result, err := b.generator.Generate(t.Context(), request("job of "+transaction, j))
					for errors.Is(err, invoice.ErrHeld) { // for too long, on a busy machine: the job comes again
						result, err = b.generator.Generate(t.Context(), request("job of "+transaction, j))
					}
					if err == nil && result.Outcome != invoice.Created {
						t.Errorf("%s: %s", transaction, result.Outcome)
					}
					done <- err
				}()
				return done
			}
			one := create(first)
			b.AwaitBlocked(t)
			second := "T1"
			if first == second {
				second = "C-T1"
			}
			two := create(second)
			rig.Eventually(t, "the second to wait, or to be through", func() bool {
				return len(two) > 0 || b.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", b.Schema) == 2
			})
			if err := gate.Commit(); err != nil {
				t.Fatal(err)
			}
			for _, done := range []chan error{one, two} {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			if c, found := b.claim(t); !found || c.Number != "INV-000001" {
				t.Fatalf("%v %+v", found, c)
			}
			if c, found, err := b.store.Handovers.Claim(t.Context(), authority, time.Minute); found || err != nil {
				t.Errorf("the credit note doesn't wait: %+v %v", c, err)
			}
		})
	}
}
