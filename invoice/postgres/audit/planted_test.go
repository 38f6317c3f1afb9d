package audit_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A planted violation. Triggers are off while it is planted and on again afterwards, so that only what the case is
// about is wrong.
type planted struct {
	name string
	// dropped are constraints, as table.name, without which the violation can't be planted. That they are missing is
	// expected beside want.
	dropped []string
	// sql plants it.
	sql string
	// want are the findings by check, each by how it begins: table: problem: column=value ….
	want map[string][]string
}

func testPlanted(t *testing.T, cases []planted) {
	t.Helper()
	testPlantedIn(t, setup, cases)
}

func testPlantedIn(t *testing.T, setup func(*testing.T) *bundle, cases []planted) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			want := maps.Clone(c.want)
			for _, dropped := range c.dropped {
				table, constraint, _ := strings.Cut(dropped, ".")
				b.exec(t, "ALTER TABLE "+table+" DROP CONSTRAINT "+constraint+" CASCADE")
				want["constraints"] = append(want["constraints"], table+": constraint is missing: constraint="+constraint+" ")
			}
			b.unguarded(t, c.sql)
			b.expect(t, want)
		})
	}
}

// unguarded runs the statements while no trigger refuses them.
func (b *bundle) unguarded(t *testing.T, sql string) {
	t.Helper()
	for _, change := range []string{"DISABLE", "ENABLE"} {
		for _, table := range []string{"invoices", "invoice_lines", "invoice_taxes", "invoice_links", "invoice_series", "series", "issuers", "invoice_jobs", "duplicate_attempts", "imported_invoices", "documents", "handovers", "handover_log"} {
			b.exec(t, "ALTER TABLE "+table+" "+change+" TRIGGER USER")
		}
		if change == "DISABLE" {
			b.exec(t, sql)
		}
	}
}

// expect audits, and wants exactly these findings in exactly these checks. The chain breaks with most of what can be changed, so it is
// looked at only where findings of it are wanted.
func (b *bundle) expect(t *testing.T, want map[string][]string) {
	t.Helper()
	report := b.audit(t)
	if report.OK() {
		t.Error("the audit found nothing")
	}
	got := broken(report)
	for _, check := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[check]; !ok && check != "chain" {
			t.Errorf("%s is broken as well:\n\t%s", check, strings.Join(got[check], "\n\t"))
		}
	}
	for check, beginnings := range want {
		findings := got[check]
		if len(findings) != len(beginnings) {
			t.Errorf("%s: %d findings, want %d:\n\t%s", check, len(findings), len(beginnings), strings.Join(findings, "\n\t"))
			continue
		}
		for _, beginning := range beginnings {
			if !slices.ContainsFunc(findings, func(f string) bool { return strings.HasPrefix(f, beginning) }) {
				t.Errorf("%s: nothing begins with\n\t%s\nin\n\t%s", check, beginning, strings.Join(findings, "\n\t"))
			}
		}
	}
}

// copyInvoice plants a copy of an invoice, lines and taxes, under the next number; what differs is given as SQL.
func copyInvoice(id, transactionID, key, jobID string) string {
	return `
UPDATE invoice_series SET last_number = 5 WHERE series = 'INV';
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
    requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT series, period, 5, 'INV-000005', kind, ` + transactionID + `, ` + key + `, ` + jobID + `, fingerprint,
    requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor, issued_at
FROM invoices WHERE id = ` + id + `;
INSERT INTO invoice_lines SELECT (SELECT max(id) FROM invoices), position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor
FROM invoice_lines WHERE invoice_id = ` + id + `;
INSERT INTO invoice_taxes SELECT (SELECT max(id) FROM invoices), tax_percent, net_minor, tax_minor FROM invoice_taxes WHERE invoice_id = ` + id
}

// readyForInserts makes an index miss what is inserted, as a corrupted one does. It takes a superuser.
func readyForInserts(index, ready string) string {
	return `UPDATE pg_index SET indisready = ` + ready + ` WHERE indexrelid = '` + index + `'::regclass;`
}

func TestUnique(t *testing.T) {
	t.Parallel()
	testPlanted(t, []planted{
		{
			name:    "second invoice for a transaction",
			dropped: []string{"invoices.invoices_transaction_id_key"},
			sql:     copyInvoice("1", "transaction_id", "'K-other'", "'job-13'"),
			want: map[string][]string{
				"transactions": {"invoices: this transaction has more than one invoice: transaction_id=T1 invoices=2 invoice_number=INV-000001, INV-000005"},
			},
		},
		{
			name:    "key twice",
			dropped: []string{"invoices.invoices_idempotency_key_key"},
			sql:     copyInvoice("1", "'T-other'", "idempotency_key", "'job-13'"),
			want: map[string][]string{
				"keys": {"invoices: this key has more than one invoice: idempotency_key=K1 invoices=2 invoice_number=INV-000001, INV-000005"},
				// Nothing but a fingerprint of its own would make it the content of another transaction.
				"fingerprints": {"invoices: the content is not what was invoiced: id=6 invoice_number=INV-000005 transaction_id=T-other"},
			},
		},
		{
			name: "second invoice that the unique index doesn't know",
			sql: readyForInserts("invoices_transaction_id_key", "false") + copyInvoice("1", "transaction_id", "'K-other'", "'job-13'") + ";" +
				readyForInserts("invoices_transaction_id_key", "true"),
			want: map[string][]string{
				"transactions": {"invoices: this transaction has more than one invoice: transaction_id=T1 invoices=2 invoice_number=INV-000001, INV-000005"},
			},
		},
	})
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	testPlanted(t, []planted{
		{
			name: "gap",
			sql:  `UPDATE invoices SET number = 5 WHERE id = 5; UPDATE invoice_series SET last_number = 5 WHERE series = 'INV'`,
			want: map[string][]string{
				"series":  {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=5 invoice_number=INV-000004 "},
				"numbers": {"invoices: number 4 is missing before it: series=INV period= number=5 invoice_number=INV-000004 transaction_id=T5"},
			},
		},
		{
			name: "wide gap",
			sql:  `UPDATE invoices SET number = 9 WHERE id = 5; UPDATE invoice_series SET last_number = 9 WHERE series = 'INV'`,
			want: map[string][]string{
				"series":  {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=9 invoice_number=INV-000004 "},
				"numbers": {"invoices: numbers 4 to 8 are missing before it: series=INV period= number=9 "},
			},
		},
		{
			name: "first number missing in another period",
			sql: `INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('INV', '2011', 'invoice', 2);
UPDATE invoices SET period = '2011', number = 2 WHERE id = 5; UPDATE invoice_series SET last_number = 3 WHERE series = 'INV' AND period = ''`,
			want: map[string][]string{
				"series":  {"invoice_series: this counter isn't as the newest settings of its series have it: series=INV period=2011 settings=0 version=1 "},
				"numbers": {"invoices: number 1 is missing before it: series=INV period=2011 number=2 "},
			},
		},
		{
			name:    "number twice",
			dropped: []string{"invoices.invoices_series_period_number_key"},
			sql:     `UPDATE invoices SET number = 3 WHERE id = 5; UPDATE invoice_series SET last_number = 3 WHERE series = 'INV'`,
			want: map[string][]string{
				"series":  {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=3 invoice_number=INV-000004 "},
				"numbers": {"invoices: this number is there twice: series=INV period= number=3 "},
			},
		},
		{
			name:    "number below 1",
			dropped: []string{"invoices.invoices_number_check"},
			sql:     `UPDATE invoices SET number = -3 WHERE id = 1`,
			want: map[string][]string{
				"series": {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=-3 invoice_number=INV-000001 "},
				"numbers": {
					"invoices: this number is below the first one: series=INV period= number=-3 invoice_number=INV-000001 ",
					"invoices: number 1 is missing before it: series=INV period= number=2 invoice_number=INV-000002 ",
				},
			},
		},
		{
			name:    "printed twice",
			dropped: []string{"invoices.invoices_invoice_number_key"},
			sql:     `UPDATE invoices SET invoice_number = 'INV-000001' WHERE id = 2`,
			want: map[string][]string{
				"series":          {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=2 invoice_number=INV-000001 "},
				"invoice_numbers": {"invoices: this number is printed on more than one document: invoice_number=INV-000001 invoices=2 transaction_id=T1, T2"},
			},
		},
		{
			name: "counter ahead",
			sql:  `UPDATE invoice_series SET last_number = 7 WHERE series = 'INV'`,
			want: map[string][]string{
				"counters": {"invoice_series: the counter is ahead of the numbers: series=INV period= last_number=7 highest_number=4"},
			},
		},
		{
			name: "counter behind",
			sql:  `UPDATE invoice_series SET last_number = 3 WHERE series = 'INV'`,
			want: map[string][]string{
				"counters": {"invoice_series: the counter is behind the numbers: series=INV period= last_number=3 highest_number=4"},
			},
		},
		{
			name: "counter without invoices",
			sql:  `INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('NEW', '', 'invoice', 0), ('LOST', '', 'invoice', 1)`,
			want: map[string][]string{
				"counters": {"invoice_series: the counter is ahead of the numbers: series=LOST period= last_number=1 highest_number=0"},
			},
		},
		{
			name: "no counter",
			sql:  `DELETE FROM invoice_series WHERE series = 'INV-CN'`,
			want: map[string][]string{
				"counters": {"invoice_series: these invoices have no counter: series=INV-CN period= last_number=<nil> highest_number=1"},
			},
		},
		{
			name: "no counter for this period",
			sql:  `UPDATE invoices SET period = '2010', number = 1 WHERE id = 5; UPDATE invoice_series SET last_number = 3 WHERE series = 'INV'`,
			want: map[string][]string{
				"counters": {"invoice_series: these invoices have no counter: series=INV period=2010 last_number=<nil> highest_number=1"},
			},
		},
		{
			name: "two counters",
			dropped: []string{
				"invoice_series.invoice_series_pkey",
			},
			sql: `INSERT INTO invoice_series SELECT * FROM invoice_series WHERE series = 'INV-CN'`,
			want: map[string][]string{
				"counters": {"invoice_series: this series and period has more than one counter: series=INV-CN period= counters=2"},
			},
		},
		{
			name: "series with both kinds",
			sql:  `INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '2011', 'credit_note')`,
			want: map[string][]string{
				"series": {"invoice_series: this counter isn't as the newest settings of its series have it: series=INV period=2011 settings=0 version=1 "},
				"kinds":  {"invoice_series: this series holds both kinds: series=INV kind=: invoice, 2011: credit_note"},
			},
		},
		{
			name: "dates that fall",
			sql: `UPDATE series SET date = 'issue' WHERE series = 'INV'; UPDATE invoices SET document_date = '2026-01-01'::date + CASE number WHEN 1 THEN 0 WHEN 2 THEN 2 ELSE 1 END
				WHERE series = 'INV'; UPDATE invoices SET document_date = NULL WHERE number = 4 AND series = 'INV'; UPDATE invoice_series SET last_date = '2026-01-02' WHERE series = 'INV'`,
			want: map[string][]string{
				"dates": {
					"invoices: this document is dated before the one before it, which is of 2026-01-03: series=INV period= number=3 ",
					"invoices: this document has no day of issue, by which its series dates it: series=INV period= number=4 ",
					"invoice_series: this counter is dated before its last document: series=INV period= last_date=2026-01-02 newest_date=2026-01-03",
				},
			},
		},
		{
			name: "dates of a series without them",
			sql:  `UPDATE invoices SET document_date = '2026-01-01' WHERE series = 'INV-CN'; UPDATE invoice_series SET last_date = '2026-01-01' WHERE series = 'INV-CN'`,
			want: map[string][]string{
				"dates": {"invoices: this document has a day of issue, though its series dates it by issued_at: series=INV-CN period= number=1 "},
			},
		},
		{
			name: "document of the other kind",
			sql:  `UPDATE invoice_series SET kind = 'invoice' WHERE series = 'INV-CN'`,
			want: map[string][]string{
				"kinds": {"invoices: this document is not of its series' kind: series=INV-CN period= number=1 invoice_number=INV-CN-000001 kind=credit_note series_kind=invoice"},
			},
		},
		{
			name: "document among those of the other kind",
			sql:  `UPDATE invoices SET series = 'INV', number = 5 WHERE id = 4; UPDATE invoice_series SET last_number = 5 WHERE series = 'INV'; UPDATE invoice_series SET last_number = 0 WHERE series = 'INV-CN'`,
			want: map[string][]string{
				"series": {"invoices: this number isn't printed as any version of its series' settings says: series=INV period= number=5 invoice_number=INV-CN-000001 "},
				"kinds":  {"invoices: this document is not of its series' kind: series=INV period= number=5 invoice_number=INV-CN-000001 kind=credit_note series_kind=invoice"},
			},
		},
	})
}
