package audit_test

import (
	"strings"
	"testing"
)

// notInvoiced is the finding of a changed content.
func notInvoiced(id string) []string {
	return []string{"invoices: the content is not what was invoiced: id=" + id + " "}
}

func TestLines(t *testing.T) {
	t.Parallel()
	testPlanted(t, []planted{
		{
			name: "changed net",
			sql:  `UPDATE invoice_lines SET net_minor = 1455 WHERE invoice_id = 1 AND position = 1`,
			want: map[string][]string{
				"lines": {"invoice_lines: net_minor is not what quantity, price and discount come to: invoice_id=1 invoice_number=INV-000001 position=1 net_minor=1455 computed=1454"},
			},
		},
		{
			name: "two nets that make up for each other",
			sql:  `UPDATE invoice_lines SET net_minor = net_minor + position - 2 WHERE invoice_id = 1 AND position IN (1, 3)`,
			want: map[string][]string{
				"lines": {
					"invoice_lines: net_minor is not what quantity, price and discount come to: invoice_id=1 invoice_number=INV-000001 position=1 ",
					"invoice_lines: net_minor is not what quantity, price and discount come to: invoice_id=1 invoice_number=INV-000001 position=3 ",
				},
			},
		},
		{
			name: "net unknown",
			sql:  `ALTER TABLE invoice_lines ALTER net_minor DROP NOT NULL; UPDATE invoice_lines SET net_minor = NULL WHERE invoice_id = 3`,
			want: map[string][]string{
				"lines":       {"invoice_lines: net_minor is not what quantity, price and discount come to: invoice_id=3 invoice_number=INV-000003 position=1 net_minor=<nil> computed=0"},
				"constraints": {"invoice_lines: column is not what the migrations made: column=net_minor definition=bigint expected=bigint NOT NULL"},
			},
		},
		{
			name: "missing line",
			sql:  `DELETE FROM invoice_lines WHERE invoice_id = 1 AND position = 2`,
			want: map[string][]string{
				"lines":        {"invoice_lines: the line before it is not there: position 2 is expected: invoice_id=1 invoice_number=INV-000001 position=3"},
				"fingerprints": notInvoiced("1"),
				"sums": {
					"invoices: subtotal_minor is not what the lines add up to: id=1 ", "invoices: tax_minor is not what the lines add up to: id=1 ",
					"invoices: total_minor is not what the lines add up to: id=1 ",
					"invoice_taxes: nothing states this percentage, or there is another row for it: id=1 invoice_number=INV-000001 transaction_id=T1 tax_percent=7.5",
				},
			},
		},
		{
			name: "missing last line, of no worth",
			sql: `UPDATE invoice_lines SET position = 4 WHERE invoice_id = 1 AND position = 3;
INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) VALUES (1, 3, 0, 0, 0)`,
			want: map[string][]string{"fingerprints": notInvoiced("1")},
		},
		{
			name: "no lines",
			sql:  `DELETE FROM invoice_lines WHERE invoice_id = 3`,
			want: map[string][]string{"lines": {"invoices: it has no lines: id=3 invoice_number=INV-000003 transaction_id=T3"}},
		},
		{
			name:    "position twice",
			dropped: []string{"invoice_lines.invoice_lines_pkey"},
			sql:     `INSERT INTO invoice_lines SELECT * FROM invoice_lines WHERE invoice_id = 3`,
			want: map[string][]string{
				"lines":        {"invoice_lines: this position is there twice: invoice_id=3 invoice_number=INV-000003 position=1"},
				"fingerprints": notInvoiced("3"),
			},
		},
		{
			name:    "no number",
			dropped: []string{"invoice_lines.invoice_lines_quantity_check"},
			sql:     `UPDATE invoice_lines SET quantity = 'NaN' WHERE invoice_id = 2`,
			want: map[string][]string{
				"lines": {"invoice_lines: it can't be read: stored quantity: "},
			},
		},
		{
			name: "line of nothing",
			sql: `INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor)
VALUES (-1, 1, 1, 1, 100), (99, 1, 1, 1, 100), (99, 2, 1, 1, 100)`,
			want: map[string][]string{
				"lines": {
					"invoice_lines: this line's invoice is not there: invoice_id=-1 position=1",
					"invoice_lines: this line's invoice is not there: invoice_id=99 position=1",
					"invoice_lines: this line's invoice is not there: invoice_id=99 position=2",
				},
			},
		},
		{
			name:    "line and tax row of nothing known",
			dropped: []string{"invoice_lines.invoice_lines_pkey", "invoice_taxes.invoice_taxes_pkey"},
			sql: `ALTER TABLE invoice_lines ALTER invoice_id DROP NOT NULL; ALTER TABLE invoice_taxes ALTER invoice_id DROP NOT NULL;
INSERT INTO invoice_lines (position, quantity, unit_price, net_minor) VALUES (1, 1, 1, 100); INSERT INTO invoice_taxes VALUES (NULL, 20, 100, 20)`,
			want: map[string][]string{
				"lines": {"invoice_lines: this line's invoice is not there: invoice_id=<nil> position=1"},
				"sums":  {"invoice_taxes: this tax row's invoice is not there: invoice_id=<nil> tax_percent=20"},
				"constraints": {
					"invoice_lines: column is not what the migrations made: column=invoice_id ", "invoice_taxes: column is not what the migrations made: column=invoice_id ",
				},
			},
		},
		{
			name: "invoice deleted",
			sql:  `DELETE FROM invoices WHERE id = 4; UPDATE invoice_series SET last_number = 0 WHERE series = 'INV-CN'`,
			want: map[string][]string{
				"lines": {"invoice_lines: this line's invoice is not there: invoice_id=4 position=1"},
				"sums":  {"invoice_taxes: this tax row's invoice is not there: invoice_id=4 tax_percent=20"},
			},
		},
		{
			name:    "id twice",
			dropped: []string{"documents.documents_invoice_id_fkey", "handovers.handovers_invoice_id_fkey", "invoices.invoices_pkey"},
			sql: copyInvoice("3", "'T6'", "'T6'", "'job-13'") + `;
DELETE FROM invoice_lines WHERE invoice_id = 6; DELETE FROM invoice_taxes WHERE invoice_id = 6;
ALTER TABLE invoices ALTER id SET GENERATED BY DEFAULT; UPDATE invoices SET id = 3 WHERE number = 5;
ALTER TABLE invoices ALTER id SET GENERATED ALWAYS`,
			want: map[string][]string{
				"lines": {"invoices: this id is there twice: id=3 ", "invoices: it has no lines: id=3 "},
			},
		},
	})
}

func TestSums(t *testing.T) {
	t.Parallel()
	const added = " is not what the lines add up to: id=1 invoice_number=INV-000001 transaction_id=T1 "
	const noLine = "invoice_taxes: nothing states this percentage, or there is another row for it: id=1 invoice_number=INV-000001 transaction_id=T1 "
	testPlanted(t, []planted{
		{
			name:    "changed total",
			dropped: []string{"invoices.invoices_total_check"},
			sql:     `UPDATE invoices SET total_minor = total_minor + 1 WHERE id = 1`,
			want:    map[string][]string{"sums": {"invoices: total_minor" + added + "total_minor=2239 computed=2238"}},
		},
		{
			name: "changed subtotal and tax",
			sql:  `UPDATE invoices SET subtotal_minor = subtotal_minor + 1, tax_minor = tax_minor - 1 WHERE id = 1`,
			want: map[string][]string{"sums": {
				"invoices: subtotal_minor" + added + "subtotal_minor=1919 computed=1918", "invoices: tax_minor" + added + "tax_minor=319 computed=320",
			}},
		},
		{
			name:    "changed kind",
			dropped: []string{"invoices.invoices_kind_check"},
			sql: `UPDATE invoices SET kind = 'credit_note' WHERE series = 'INV' AND id = 3;
UPDATE invoices SET series = 'CN', number = 1 WHERE id = 3; UPDATE invoices SET number = 3 WHERE id = 5;
INSERT INTO invoice_series VALUES ('CN', '', 'credit_note', 1); UPDATE invoice_series SET last_number = 3 WHERE series = 'INV'`,
			want: map[string][]string{
				"sums":   {"invoices: kind is neither what the job states, nor what the total makes it: id=3 invoice_number=INV-000003 transaction_id=T3 kind=credit_note computed=invoice"},
				"series": {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=3 invoice_number=INV-000004 "},
			},
		},
		{
			name: "tax row of nothing",
			sql:  `INSERT INTO invoice_taxes VALUES (-1, 20, 0, 0), (99, 0, 0, 0)`,
			want: map[string][]string{"sums": {
				"invoice_taxes: this tax row's invoice is not there: invoice_id=-1 tax_percent=20", "invoice_taxes: this tax row's invoice is not there: invoice_id=99 tax_percent=0",
			}},
		},
		{
			name: "extra tax row",
			sql:  `INSERT INTO invoice_taxes VALUES (1, 0, 0, 0), (1, 10, 0, 0), (1, 100, 0, 0)`,
			want: map[string][]string{"sums": {noLine + "tax_percent=0", noLine + "tax_percent=10", noLine + "tax_percent=100"}},
		},
		{
			name:    "tax row twice",
			dropped: []string{"invoice_taxes.invoice_taxes_pkey"},
			sql:     `INSERT INTO invoice_taxes SELECT * FROM invoice_taxes WHERE invoice_id = 1 AND tax_percent = 20`,
			want:    map[string][]string{"sums": {noLine + "tax_percent=20"}},
		},
		{
			name: "missing tax rows",
			sql:  `DELETE FROM invoice_taxes WHERE invoice_id IN (1, 3) AND tax_percent < 20`,
			want: map[string][]string{"sums": {
				"invoice_taxes: the row for this percentage is not there: id=1 invoice_number=INV-000001 transaction_id=T1 tax_percent=7.5 ",
				"invoice_taxes: the row for this percentage is not there: id=3 invoice_number=INV-000003 transaction_id=T3 tax_percent=0 ",
			}},
		},
		{
			name: "changed tax rows",
			sql:  `UPDATE invoice_taxes SET net_minor = net_minor + 1, tax_minor = tax_minor - 1 WHERE invoice_id = 1 AND tax_percent = 20`,
			want: map[string][]string{"sums": {
				"invoice_taxes: net_minor is not what the lines at this percentage add up to: id=1 invoice_number=INV-000001 transaction_id=T1 tax_percent=20 net_minor=1410 computed=1409",
				"invoice_taxes: tax_minor is not this percentage of its lines: id=1 invoice_number=INV-000001 transaction_id=T1 tax_percent=20 tax_minor=281 computed=282",
			}},
		},
		{
			name:    "tax row that is no number",
			dropped: []string{"invoice_taxes.invoice_taxes_tax_percent_check"},
			sql:     `INSERT INTO invoice_taxes VALUES (1, 'NaN', 0, 0)`,
			want:    map[string][]string{"sums": {noLine + "tax_percent=NaN"}},
		},
		{
			name: "changed payable",
			sql:  `UPDATE invoices SET payable_minor = 1 WHERE id = 1`,
			want: map[string][]string{"sums": {"invoices: payable_minor" + added + "payable_minor=1 computed=2238"}},
		},
		{
			name: "changed code, category and base of a tax",
			sql: `UPDATE invoice_taxes SET code = 'GST' WHERE invoice_id = 1 AND tax_percent = 20; UPDATE invoice_taxes SET added_minor = 5 WHERE invoice_id = 1 AND tax_percent < 20;
UPDATE invoice_taxes SET category = 'Z' WHERE invoice_id = 3 AND tax_percent = 0`,
			want: map[string][]string{"sums": {
				"invoice_taxes: added_minor is not what the taxes before it add up to: id=1 ", noLine + "tax_percent=20 code=GST", "invoice_taxes: the row for this percentage is not there: id=1 invoice_number=INV-000001 transaction_id=T1 tax_percent=20 ",
				"invoice_taxes: nothing states this percentage, or there is another row for it: id=3 invoice_number=INV-000003 transaction_id=T3 tax_percent=0 category=Z",
				"invoice_taxes: the row for this percentage is not there: id=3 invoice_number=INV-000003 transaction_id=T3 tax_percent=0 ",
			}},
		},
		{
			name: "terms that change what the document comes to",
			sql:  `UPDATE invoices SET terms = '{"rounding": "0.02"}' WHERE id = 1`,
			want: map[string][]string{"sums": {"invoices: payable_minor" + added + "payable_minor=2238 computed=2240"}, "fingerprints": notInvoiced("1")},
		},
		{
			name:    "terms that can't be read",
			dropped: []string{"invoices.invoices_terms_check", "invoice_lines.invoice_lines_terms_check"},
			sql: `UPDATE invoices SET terms = '{"due_date": "soon"}' WHERE id = 1; UPDATE invoices SET terms = '{}' WHERE id = 2;
UPDATE invoice_lines SET terms = '[]' WHERE invoice_id = 3 AND position = 1`,
			want: map[string][]string{"lines": {
				"invoices: its terms can't be read: due_date must be a date", "invoices: its terms can't be read: state nothing", "invoice_lines: it can't be read: stored terms: ",
			}},
		},
		{
			name: "unknown currency",
			sql:  `UPDATE invoices SET currency = 'QQQ' WHERE id = 2`,
			want: map[string][]string{
				"sums":         {"invoices: it can't be added up: currency "},
				"fingerprints": notInvoiced("2"),
			},
		},
	})
}

// TestFingerprints changes each column that the fingerprint is about, and then puts it back.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, column := range []struct{ table, name, value string }{
		{"invoices", "fingerprint", "'v1:' || repeat('0', 64)"},
		{"invoices", "transaction_id", "'T99'"},
		{"invoices", "requested_series", "'INV'"},
		{"invoices", "credits_transaction_id", "'T0'"},
		{"invoices", "customer_id", "NULL"},
		{"invoices", "customer_name", "'Zoe'"},
		{"invoices", "country", "'Eire'"},
		{"invoices", "issued_at", "issued_at + interval '1 microsecond'"},
		{"invoices", "issued_at", "'infinity'"},
		{"invoice_lines", "sku", "'other'"},
		{"invoice_lines", "description", "' '"},
		{"invoice_lines", "discount_percent", "discount_percent + 0.000001"},
		{"invoices", "terms", `'{"due_date": "2010-12-31"}'`},
		{"invoices", "parties", `'{"buyer": {"name": "Zoë"}}'`},
		{"invoice_lines", "terms", `'{"unit": "C62"}'`},
		{"invoice_lines", "texts", `'{"name": "tea"}'`},
	} {
		b.unguarded(t, "CREATE TABLE original AS SELECT * FROM "+column.table)
		id, row := "id", "id = 1"
		if column.table == "invoice_lines" {
			id, row = "invoice_id, position", "invoice_id = 1 AND position = 3"
		}
		b.unguarded(t, "UPDATE "+column.table+" SET "+column.name+" = "+column.value+" WHERE "+row)
		want := map[string][]string{"fingerprints": notInvoiced("1")}
		if column.name == "transaction_id" {
			want["duplicates"] = []string{"duplicate_attempts: the invoice that it names is another transaction's: id=1 ", "duplicate_attempts: the invoice that it names is another transaction's: id=2 "}
			want["ledger"] = []string{"invoice_jobs: done, and its invoice is another transaction's: job_id=job-7 "}
		}
		if column.name == "fingerprint" {
			want["accepted"] = []string{"invoice_jobs: its invoice has other content than was accepted: job_id=job-7 "}
		}
		b.expect(t, want)
		if t.Failed() {
			t.Fatalf("%s.%s", column.table, column.name)
		}
		b.unguarded(t, "UPDATE "+column.table+" t SET "+column.name+" = o."+column.name+" FROM original o WHERE (t."+strings.ReplaceAll(id, ", ", ", t.")+") = (o."+strings.ReplaceAll(id, ", ", ", o.")+"); DROP TABLE original")
	}
	if report := b.audit(t); !report.OK() {
		t.Errorf("broken although all is as it was: %v", broken(report))
	}
}
