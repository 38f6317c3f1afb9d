package inquiry_test

import (
	"strings"
	"testing"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// A story of a transaction that was invoiced elsewhere is found by each id that the import states, and shows its withdrawal.
func TestStoryOfAnImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	total := int64(1250)
	_, err := b.store.Imports.Add(t.Context(), []invoice.Import{{TransactionID: "T1", IdempotencyKey: "K1", InvoiceNumber: "OLD-1", Currency: "GBP", Total: &total}}, false)
	must(t, err)
	b.Exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, imported_id, reason, worker) SELECT 'job-1', 'T1', 'K', id, 'already_invoiced', 'w1' FROM imported_invoices`)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, reason) VALUES ('job-2', 'T1', 'K', $1, 'failed', 'conflict', 'another total')`, b.Queue)
	_, err = b.store.Imports.Withdraw(t.Context(), nil, "T1", ledger.Actor{Name: "ada", Note: "a quote"})
	must(t, err)
	_, err = b.store.Imports.Add(t.Context(), []invoice.Import{{TransactionID: "T1", IdempotencyKey: "K2", InvoiceNumber: "OLD-2"}}, false)
	must(t, err)
	for id, kind := range map[string]string{"T1": report.ByTransaction, "K2": report.ByKey, "OLD-2": report.ByNumber} {
		s := b.story(t, id)
		if len(s.Matches) == 0 || s.Matches[0].Kind != kind || len(s.Imports) != 2 || s.Import() == nil || s.Import().InvoiceNumber != "OLD-2" || len(s.Waits) != 0 {
			t.Errorf("%s: matches %+v, imports %+v, waits %+v", id, s.Matches, s.Imports, s.Waits)
		}
	}
	var texts []string
	for _, e := range b.story(t, "T1").Events {
		texts = append(texts, e.What+" "+e.Text)
	}
	for _, want := range []string{
		"imported imported: it was invoiced elsewhere as OLD-1, 12.50 GBP", "duplicate a duplicate: the transaction was invoiced elsewhere as OLD-1",
		"failed ended as conflict", "withdrawn the import as OLD-1 was withdrawn by ada: a quote", "imported imported: it was invoiced elsewhere as OLD-2",
	} {
		if !strings.Contains(strings.Join(texts, "\n")+"\n", want+"\n") {
			t.Errorf("nothing says %q in\n%s", want, strings.Join(texts, "\n"))
		}
	}
	b.Exec(t, "UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'ada' WHERE withdrawn_at IS NULL")
	if s := b.story(t, "T1"); codes(s) != "failed" {
		t.Errorf("with nothing that stands in its way: waits %+v", s.Waits)
	}
	page, err := b.store.Reports.Duplicates(t.Context(), report.Filter{}, "", 10)
	if err != nil || len(page.Rows) != 1 || page.Rows[0].InvoiceNumber != "OLD-1" || page.Rows[0].InvoiceID != nil || page.Rows[0].ImportedID == nil || page.Rows[0].WinnerJobID != "" {
		t.Errorf("listed are %+v, %v", page.Rows, err)
	}
}
