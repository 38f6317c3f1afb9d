package audit_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// An owner of the tables, who leaves nothing that the audit could find without seals: content, sums, fingerprints and numbers are
// made to fit, and all chains are computed again.
func (b *bundle) owner(t *testing.T, change string) {
	t.Helper()
	b.unguarded(t, change)
	b.refit(t)
	b.rechain(t)
}

// refit computes the fingerprints and sums of all invoices again from their lines.
func (b *bundle) refit(t *testing.T) {
	t.Helper()
	rows, err := b.conn.Query(t.Context(), "SELECT id FROM invoices ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	var changes strings.Builder
	for _, id := range ids {
		whole, err := b.store.Invoices.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		content := whole.Content()
		totals, err := content.Calculate()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&changes, "UPDATE invoices SET fingerprint = '%s', subtotal_minor = %d, tax_minor = %d, total_minor = %d WHERE id = %d;\n",
			content.Fingerprint(), totals.Subtotal, totals.Tax, totals.Total, id)
		for i, net := range totals.LineNets {
			fmt.Fprintf(&changes, "UPDATE invoice_lines SET net_minor = %d WHERE invoice_id = %d AND position = %d;\n", net, id, i+1)
		}
		fmt.Fprintf(&changes, "DELETE FROM invoice_taxes WHERE invoice_id = %d;\n", id)
		for _, tax := range totals.Taxes {
			fmt.Fprintf(&changes, "INSERT INTO invoice_taxes VALUES (%d, %s, %d, %d);\n", id, tax.Percent, tax.Net, tax.Tax)
		}
	}
	b.unguarded(t, changes.String()+"UPDATE invoice_series s SET last_number = coalesce((SELECT max(number) FROM invoices i WHERE i.issuer = s.issuer AND i.series = s.series AND i.period = s.period), first_number - 1)")
}

// rechain computes all links again, with the salts that there are: so what wasn't changed keeps its digest.
func (b *bundle) rechain(t *testing.T) {
	t.Helper()
	rows, err := b.conn.Query(t.Context(), "SELECT chain, salt, "+postgres.RecordColumns()+" FROM invoices i ORDER BY issuer, series, period, number")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var hasher invoice.Hasher
	var changes strings.Builder
	heads := make(map[string]invoice.Hash)
	for rows.Next() {
		var chain *string
		var salt []byte
		r, err := postgres.ScanRecord(rows, &chain, &salt)
		if err != nil {
			t.Fatal(err)
		}
		slot := r.Slot.Issuer + " " + r.Slot.Series + " " + r.Slot.Period
		if chain == nil {
			delete(heads, slot)
			continue
		}
		texts := hasher.Texts(&r.Record, salt)
		heads[slot] = invoice.Link(heads[slot], hasher.Digest(&r.Record, texts))
		fmt.Fprintf(&changes, `UPDATE invoices SET chain = '%s', text_hash = '\x%s' WHERE id = %d;`+"\n",
			invoice.FormatLink(heads[slot]), hex.EncodeToString(texts[:]), r.ID)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	b.unguarded(t, changes.String())
}

func removed(ids string) string {
	return "CREATE TEMP TABLE gone AS SELECT id FROM invoices WHERE id IN (" + ids + `); DELETE FROM invoice_lines WHERE invoice_id IN (TABLE gone);
DELETE FROM invoice_taxes WHERE invoice_id IN (TABLE gone); DELETE FROM invoices WHERE id IN (TABLE gone); DROP TABLE gone;`
}

// renumbered numbers invoices of INV anew, and prints them so.
func renumbered(by, which string) string {
	return "UPDATE invoices SET number = -(number " + by + "), invoice_number = 'X' || id WHERE series = 'INV' AND number " + which +
		"; UPDATE invoices SET number = -number WHERE number < 0; UPDATE invoices SET invoice_number = 'INV-' || lpad(number::text, 6, '0') WHERE invoice_number LIKE 'X%';"
}

// put puts a copy of invoice 6 in, as another transaction's.
func put(number string) string {
	return `INSERT INTO invoices (series, period, number, series_version, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, customer_name,
    currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata, chain, salt, text_hash)
SELECT series, period, ` + number + `, series_version, 'INV-' || lpad('` + number + `', 6, '0'), kind, 'P', 'P', 'job-P', fingerprint, customer_name,
    currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata, chain, salt, text_hash FROM invoices WHERE id = 6;
INSERT INTO invoice_lines SELECT (SELECT max(id) FROM invoices), position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor FROM invoice_lines WHERE invoice_id = 6;
INSERT INTO invoice_taxes SELECT (SELECT max(id) FROM invoices), tax_percent, net_minor, tax_minor FROM invoice_taxes WHERE invoice_id = 6;`
}
