package audit_test

import (
	"slices"
	"testing"

	"invoicer/invoice/postgres/audit"
)

// What is credited by too much is listed, and breaks no promise.
func TestOvercreditedIsListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if report := b.audit(t); len(report.Overcredited) != 0 {
		t.Errorf("%+v", report.Overcredited)
	}
	b.create(t, "early", `{"transaction_id":"C9","credits_transaction_id":"T9","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":-1,"unit_price":"150"}]}`)
	b.create(t, "late", `{"transaction_id":"T9","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"100"}]}`)
	b.exec(t, `INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number, currency, total_minor, credited_total_minor) VALUES ('OLD', 'OLD', 'OLD-1', 'GBP', 500, 600), ('FINE', 'FINE', 'OLD-2', 'GBP', 500, 100)`)
	for _, id := range []string{"OLD", "FINE"} {
		b.create(t, "credit of "+id, `{"transaction_id":"C-`+id+`","credits_transaction_id":"`+id+`","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":0,"unit_price":"1"}]}`)
	}
	report := b.audit(t)
	want := []audit.Overcredited{
		{InvoiceNumber: "INV-000005", TransactionID: "T9", Currency: "GBP", TotalMinor: 10000, LeftMinor: -5000},
		{InvoiceNumber: "OLD-1", TransactionID: "OLD", Currency: "GBP", TotalMinor: 500, LeftMinor: -100},
	}
	if !report.OK() || !slices.Equal(report.Overcredited, want) {
		t.Errorf("%+v, want %+v; broken %v", report.Overcredited, want, broken(report))
	}
}
