package main

import (
	"strings"
	"testing"
)

// A duplicate says which other producer asked for the invoice.
func TestStatusNamesTheOtherProducer(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	b.exec(t, `INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('SHOP', '', 'invoice', 0)`)
	b.exec(t, `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata, producer)
		VALUES ('SHOP', '', 1, 'SHOP-000001', 'invoice', 'T9', 'T9', 'made', 'v1:' || repeat('0', 64), 'GBP', 1, 0, 1, '2011-01-02T03:04:05Z', '{}', 'shop-a')`)
	b.exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker, producer)
		SELECT 'd-' || asked.producer, 'T9', 'T9', id, 'already_invoiced', 'w1', asked.producer FROM invoices, (VALUES ('shop-a'), ('shop-b')) AS asked (producer) WHERE transaction_id = 'T9'`)
	_, out, _ := b.status(t, "T9")
	for _, line := range []string{"already_invoiced  shop-b (invoiced: shop-a)  w1      d-shop-b\n", "already_invoiced  shop-a                     w1      d-shop-a\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("%q isn't in\n%s", line, out)
		}
	}
	if !strings.Contains(out, "; producer shop-a asked for that, and shop-b for this") || strings.Contains(out, "and shop-a for this") {
		t.Errorf("the story doesn't name the other producer:\n%s", out)
	}
}
