package rig

import (
	"strconv"
	"testing"
)

// Fill makes invoices of two lines with ended jobs, past the triggers and by any release's schema from migration 28 on. No content has
// their fingerprints.
func (d *Database) Fill(t testing.TB, invoices int) {
	t.Helper()
	tx, err := d.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it is committed below
	for _, statement := range []string{
		"SET LOCAL session_replication_role = replica",
		"INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('INV', '', 'invoice', " + strconv.Itoa(invoices) + ")",
		`INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT 'INV', '', n, 'INV-' || lpad(n::text, greatest(6, length(n::text)), '0'), 'invoice', 'W-' || n, 'W-' || n, 'job-' || n, 'v1:' || repeat('0', 64), 'GBP', 1020, 204, 1224, now()
FROM generate_series(1, ` + strconv.Itoa(invoices) + `) AS n`,
		"INSERT INTO invoice_lines (invoice_id, position, sku, quantity, unit_price, tax_percent, net_minor) SELECT id, position, '85123A', 2, 2.55, 20, 510 FROM invoices, generate_series(1, 2) AS position",
		"INSERT INTO invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor) SELECT id, 20, 1020, 204 FROM invoices",
		`INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, invoice_id, dispatch)
SELECT job_id, transaction_id, idempotency_key, 'q', 'done', 'created', id, 1 FROM invoices`,
		"ANALYZE",
	} {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
