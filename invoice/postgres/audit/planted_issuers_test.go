package audit_test

import (
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// setupIssuers adds two issuers with the same ids, keys and numbers, which are those of the bundle, too:
//
//	job-DE-1  6  INV-000001     invoice of T1
//	job-DE-2  7  INV-000002     invoice of T2
//	job-DE-3                    a duplicate of T1, whose job stands in the ledger
//	job-FR-1  8  INV-000001     invoice of T1
//	job-FR-2  9  INV-000002     invoice of T2
//	job-FR-3                    a duplicate of T1, whose job stands in the ledger
//	job-DE-4  10 INV-000003     invoice of ONE, which ACME-FR has imported as OLD-1
func setupIssuers(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	b.separate(t)
	b.exec(t, "INSERT INTO issuers (issuer) VALUES ('ACME-DE'), ('ACME-FR')")
	for _, of := range []string{"DE", "FR"} {
		payload := issuedBy("ACME-"+of, rich)
		b.create(t, "job-"+of+"-1", payload)
		b.create(t, "job-"+of+"-2", only("ACME-"+of, "T2"))
		if _, err := b.conn.Exec(t.Context(), `INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, queue, payload, state, dispatch)
VALUES ('job-' || $1::text || '-3', 'ACME-' || $1::text, 'T1', 'K1', 'default', $2, 'enqueued', 1)`, of, payload); err != nil {
			t.Fatal(err)
		}
		b.ask(t, "job-"+of+"-3", payload, invoice.Duplicate)
	}
	b.exec(t, "INSERT INTO imported_invoices (issuer, transaction_id, idempotency_key, invoice_number) VALUES ('ACME-FR', 'ONE', 'ONE', 'OLD-1')")
	b.create(t, "job-DE-4", only("ACME-DE", "ONE"))
	return b
}

func issuedBy(issuer, payload string) string {
	return strings.Replace(payload, "{", `{"issuer":"`+issuer+`",`, 1)
}

func only(issuer, transactionID string) string {
	return issuedBy(issuer, `{"transaction_id":"`+transactionID+`","issued_at":"2011-01-02T03:04:05Z","currency":"EUR","lines":[{"quantity":"3","unit_price":"99.5"}]}`)
}

func TestIssuersShareNothing(t *testing.T) {
	t.Parallel()
	b, dir := setupIssuers(t), t.TempDir()
	b.mustSeal(t, dir)
	b.create(t, "job-DE-5", only("ACME-DE", "LAST"))
	report := b.sealed(t, dir)
	if found := broken(report); !report.OK() {
		t.Errorf("broken: %v", found)
	}
	if report.Seals.Sealed != 10 || report.Seals.Unsealed != 1 {
		t.Errorf("seals: %+v", report.Seals)
	}
}

func TestIssuers(t *testing.T) {
	t.Parallel()
	const de = "issuer = 'ACME-DE' AND series = 'INV'"
	testPlantedIn(t, setupIssuers, []planted{
		{
			name:    "second invoice of an issuer for a transaction",
			dropped: []string{"invoices.invoices_transaction_id_key"},
			sql:     "UPDATE invoices SET transaction_id = 'T1' WHERE id = 7",
			want: map[string][]string{
				"transactions": {"invoices: this transaction has more than one invoice: issuer=ACME-DE transaction_id=T1 invoices=2 invoice_number=INV-000001, INV-000002"},
				"fingerprints": {"invoices: the content is not what was invoiced: id=7 issuer=ACME-DE invoice_number=INV-000002 transaction_id=T1 "},
			},
		},
		{
			name:    "key twice",
			dropped: []string{"invoices.invoices_idempotency_key_key"},
			sql:     "UPDATE invoices SET idempotency_key = 'K1' WHERE id = 7",
			want: map[string][]string{
				"keys": {"invoices: this key has more than one invoice: issuer=ACME-DE idempotency_key=K1 invoices=2 invoice_number=INV-000001, INV-000002"},
			},
		},
		{
			name:    "number twice",
			dropped: []string{"invoices.invoices_series_period_number_key"},
			sql:     "UPDATE invoices SET number = 2 WHERE id = 10; UPDATE invoice_series SET last_number = 2 WHERE " + de,
			want: map[string][]string{
				"numbers": {"invoices: this number is there twice: issuer=ACME-DE series=INV period= number=2 "},
				"series":  {"invoices: this number isn't printed as any version of its series' settings says: issuer=ACME-DE series=INV period= number=2 invoice_number=INV-000003 "},
			},
		},
		{
			name:    "printed twice",
			dropped: []string{"invoices.invoices_invoice_number_key"},
			sql:     "UPDATE invoices SET invoice_number = 'INV-000001' WHERE id = 7",
			want: map[string][]string{
				"invoice_numbers": {"invoices: this number is printed on more than one document: issuer=ACME-DE invoice_number=INV-000001 invoices=2 transaction_id=T1, T2"},
				"series":          {"invoices: this number isn't printed as any version of its series' settings says: issuer=ACME-DE series=INV period= number=2 "},
			},
		},
		{
			name: "gap that another issuer's number would fill",
			sql:  "UPDATE invoices SET number = 4, invoice_number = 'INV-000004' WHERE id = 9; UPDATE invoice_series SET last_number = 4 WHERE issuer = 'ACME-FR'",
			want: map[string][]string{"numbers": {"invoices: numbers 2 to 3 are missing before it: issuer=ACME-FR series=INV period= number=4 "}},
		},
		{
			name: "counters ahead and behind, at the number of another issuer's",
			sql:  "UPDATE invoice_series SET last_number = CASE issuer WHEN 'ACME-DE' THEN 2 WHEN 'ACME-FR' THEN 3 ELSE last_number END",
			want: map[string][]string{"counters": {
				"invoice_series: the counter is behind the numbers: issuer=ACME-DE series=INV period= last_number=2 highest_number=3",
				"invoice_series: the counter is ahead of the numbers: issuer=ACME-FR series=INV period= last_number=3 highest_number=2",
			}},
		},
		{
			name: "no counter of its own",
			sql:  "DELETE FROM invoice_series WHERE " + de,
			want: map[string][]string{
				"counters": {"invoice_series: these invoices have no counter: issuer=ACME-DE series=INV period= last_number=<nil> highest_number=3"},
			},
		},
		{
			name: "a series that holds both kinds, and one of the other kind than another issuer's",
			sql:  "INSERT INTO invoice_series (issuer, series, period, kind, settings) VALUES ('ACME-DE', 'INV', '2011', 'credit_note', 1), ('ACME-FR', 'INV-CN', '', 'invoice', 0)",
			want: map[string][]string{"kinds": {"invoice_series: this series holds both kinds: issuer=ACME-DE series=INV kind=: invoice, 2011: credit_note"}},
		},
		{
			name: "printed as another issuer's settings say",
			sql:  "UPDATE series SET format = 'R-{number}' WHERE issuer = 'ACME-FR'; UPDATE invoices SET invoice_number = 'R-' || number WHERE " + de + " AND number = 2",
			want: map[string][]string{"series": {
				"invoices: this number isn't printed as any version of its series' settings says: issuer=ACME-DE series=INV period= number=2 invoice_number=R-2 ",
				"invoices: this number isn't printed as any version of its series' settings says: issuer=ACME-FR series=INV period= number=1 invoice_number=INV-000001 ",
				"invoices: this number isn't printed as any version of its series' settings says: issuer=ACME-FR series=INV period= number=2 invoice_number=INV-000002 ",
			}},
		},
		{
			name: "a counter that is as another issuer's settings have it",
			sql:  "INSERT INTO series SELECT (jsonb_populate_record(s, '{\"version\": 2}')).* FROM series s WHERE issuer = 'ACME-FR'",
			want: map[string][]string{"series": {
				"invoice_series: this counter isn't as the newest settings of its series have it: issuer=ACME-FR series=INV period= settings=1 version=2 ",
			}},
		},
		{
			name: "dates that fall within an issuer, beside those of another",
			sql: "UPDATE series SET date = 'issue' WHERE issuer <> ''; UPDATE invoices SET document_date = '2026-01-01'::date + CASE WHEN issuer = 'ACME-DE' THEN number ELSE 10 - number END::integer" +
				" WHERE issuer <> ''; UPDATE invoice_series SET last_date = '2026-01-04' WHERE issuer <> ''",
			want: map[string][]string{"dates": {
				"invoices: this document is dated before the one before it, which is of 2026-01-10: issuer=ACME-FR series=INV period= number=2 ",
				"invoice_series: this counter is dated before its last document: issuer=ACME-FR series=INV period= last_date=2026-01-04 newest_date=2026-01-10",
			}},
		},
		{
			name: "a duplicate of another issuer's invoice",
			sql:  "UPDATE duplicate_attempts SET invoice_id = 8 WHERE job_id = 'job-DE-3'; UPDATE invoice_jobs SET invoice_id = 8 WHERE job_id = 'job-DE-3'",
			want: map[string][]string{
				"duplicates": {"duplicate_attempts: the invoice that it names is another issuer's: id=3 job_id=job-DE-3 issuer=ACME-DE transaction_id=T1 invoice_id=8 "},
				"ledger":     {"invoice_jobs: done, and its invoice is another issuer's: job_id=job-DE-3 issuer=ACME-DE transaction_id=T1 outcome=duplicate invoice_id=8 invoice_issuer=ACME-FR "},
			},
		},
		{
			name: "a duplicate of another issuer's import",
			sql: "UPDATE duplicate_attempts SET transaction_id = 'ONE', invoice_id = NULL, imported_id = 1 WHERE job_id = 'job-DE-3';" +
				"UPDATE invoice_jobs SET transaction_id = 'ONE', invoice_id = NULL, imported_id = 1 WHERE job_id = 'job-DE-3'",
			want: map[string][]string{
				"duplicates": {"duplicate_attempts: the invoice that it names is another issuer's: id=3 "},
				"ledger":     {"invoice_jobs: done, and its invoice is another issuer's: job_id=job-DE-3 issuer=ACME-DE transaction_id=ONE outcome=duplicate invoice_id=<nil> invoice_issuer=ACME-FR "},
			},
		},
		{
			name: "a duplicate and a job of no issuer, whose invoice has one",
			sql:  "UPDATE duplicate_attempts SET issuer = '' WHERE job_id = 'job-DE-3'; UPDATE invoice_jobs SET issuer = '' WHERE job_id = 'job-FR-3'",
			want: map[string][]string{
				"duplicates": {"duplicate_attempts: the invoice that it names is another issuer's: id=3 job_id=job-DE-3 transaction_id=T1 invoice_id=6 reason=already_invoiced invoice_issuer=ACME-DE "},
				"ledger":     {"invoice_jobs: done, and its invoice is another issuer's: job_id=job-FR-3 transaction_id=T1 outcome=duplicate invoice_id=8 invoice_issuer=ACME-FR "},
			},
		},
		{
			name: "accepted for another issuer",
			sql:  "UPDATE invoice_jobs SET payload = replace(payload, 'ACME-DE', 'ACME-FR') WHERE job_id = 'job-DE-3'",
			want: map[string][]string{
				"accepted": {"invoice_jobs: its invoice is of another issuer than was accepted: job_id=job-DE-3 issuer=ACME-DE outcome=duplicate invoice_number=INV-000001"},
			},
		},
		{
			name: "imported by the issuer that has invoiced it, too",
			sql:  "INSERT INTO imported_invoices (issuer, transaction_id, idempotency_key, invoice_number) VALUES ('ACME-DE', 'ONE', 'X', 'X'), ('ACME-DE', 'X', 'ONE', 'Y'), ('ACME-DE', 'Z', 'Z', 'INV-000003')",
			want: map[string][]string{"imports": {
				"imported_invoices: this transaction is imported, and is invoiced: id=2 issuer=ACME-DE transaction_id=ONE idempotency_key=X invoice_number=X invoiced_as=INV-000003 ",
				"imported_invoices: this key is imported, and is another invoice's: id=3 issuer=ACME-DE transaction_id=X ",
				"imported_invoices: this number is imported, and is another invoice's: id=4 issuer=ACME-DE transaction_id=Z ",
			}},
		},
		{
			name: "an issuer that was never opened",
			sql:  "DELETE FROM issuers WHERE issuer = 'ACME-FR'",
			want: map[string][]string{"issuers": {
				"invoices: these invoices are of an issuer that was never opened: issuer=ACME-FR rows=2 first_id=8",
				"invoice_series: this counter is of an issuer that was never opened: issuer=ACME-FR series=INV period=",
				"series: these settings are of an issuer that was never opened: issuer=ACME-FR series=INV version=1",
				"duplicate_attempts: these duplicates are of an issuer that was never opened: issuer=ACME-FR rows=1 first_id=4",
				"imported_invoices: these imports are of an issuer that was never opened: issuer=ACME-FR rows=1 first_id=1",
			}},
		},
		{
			name: "a seller that was never known",
			sql:  "UPDATE invoices SET issuer_version = 9 WHERE id = 8; UPDATE invoices SET issuer_version = 1 WHERE id = 1",
			want: map[string][]string{
				"issuers": {
					"invoices: its seller is a version of its issuer that is not there: id=1 invoice_number=INV-000001 issuer_version=1", "invoices: its seller is a version of its issuer that is not there: id=8 issuer=ACME-FR ",
				},
				"chain": {"invoices: it is not what was linked, or another invoice was before it: id=1 ", "invoices: it is not what was linked, or another invoice was before it: id=8 "},
			},
		},
		{
			name: "an issuer's history with a gap",
			sql:  "INSERT INTO issuers (issuer, version) VALUES ('ACME-DE', 3)",
			want: map[string][]string{"issuers": {"issuers: versions of this issuer are missing, or are there twice: issuer=ACME-DE versions=2 newest=3"}},
		},
		{
			name: "an invoice that is moved to another issuer",
			sql: "UPDATE invoices SET issuer = 'ACME-FR' WHERE id = 10; DELETE FROM imported_invoices;" +
				"UPDATE invoice_series SET last_number = CASE issuer WHEN 'ACME-DE' THEN 2 WHEN 'ACME-FR' THEN 3 ELSE last_number END",
			want: map[string][]string{"chain": {"invoices: it is not what was linked, or not after the invoice that is before it: id=10 issuer=ACME-FR invoice_number=INV-000003 "}},
		},
		{
			name: "links that two issuers have exchanged",
			sql: "CREATE TEMP TABLE had AS SELECT id, chain, salt, text_hash FROM invoices; UPDATE invoices SET (chain, salt, text_hash) =" +
				" (SELECT chain, salt, text_hash FROM had WHERE had.id = 16 - invoices.id) WHERE id IN (7, 9)",
			want: map[string][]string{"chain": {
				"invoices: it is not what was linked, or not after the invoice that is before it: id=7 ",
				"invoices: it is not what was linked, or not after the invoice that is before it: id=10 ",
				"invoices: it is not what was linked, or not after the invoice that is before it: id=9 ",
			}},
		},
	})
}

// A link is one of its own issuer's series, though another one of that name has the number before it.
func TestLinkThatFollowsOnAnotherIssuersInvoice(t *testing.T) {
	t.Parallel()
	b := setupIssuers(t)
	var before string
	if err := b.conn.QueryRow(t.Context(), "SELECT chain FROM invoices WHERE id = 6").Scan(&before); err != nil {
		t.Fatal(err)
	}
	rows, err := b.conn.Query(t.Context(), "SELECT text_hash, "+postgres.RecordColumns()+" FROM invoices i WHERE id = 9")
	if err != nil {
		t.Fatal(err)
	}
	var texts []byte
	rows.Next()
	record, err := postgres.ScanRecord(rows, &texts)
	if err != nil {
		t.Fatal(err)
	}
	rows.Close()
	head, err := invoice.ParseLink(before)
	if err != nil {
		t.Fatal(err)
	}
	link := invoice.Link(head, new(invoice.Hasher).Digest(&record.Record, invoice.Hash(texts)))
	b.unguarded(t, "UPDATE invoices SET chain = '"+invoice.FormatLink(link)+"' WHERE id = 9")
	b.expect(t, map[string][]string{"chain": {
		"invoices: it is not what was linked, or not after the invoice that is before it: id=9 issuer=ACME-FR invoice_number=INV-000002 transaction_id=T2 ",
	}})
}

// An owner who recomputes everything may move an invoice to another issuer, and to none: only seals show it.
func TestSealsFindAnotherIssuer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, change string
		want         []string
	}{
		{
			"moved behind the sealed ones", "UPDATE invoices SET issuer = 'ACME-FR' WHERE id = 10; DELETE FROM imported_invoices;",
			[]string{"invoices: it was sealed, and is not there: issuer=ACME-DE series=INV period= number=3 invoice_number=INV-000003 transaction_id=ONE "},
		},
		{
			"two exchanged", "ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key; ALTER TABLE invoices DROP CONSTRAINT invoices_series_period_number_key;" +
				"ALTER TABLE invoices DROP CONSTRAINT invoices_idempotency_key_key; ALTER TABLE invoices DROP CONSTRAINT invoices_invoice_number_key;" +
				"UPDATE invoices SET issuer = CASE issuer WHEN 'ACME-DE' THEN 'ACME-FR' ELSE 'ACME-DE' END WHERE id IN (7, 9)",
			[]string{"invoices: it is not what was sealed: id=9 issuer=ACME-DE ", "invoices: it is not what was sealed: id=7 issuer=ACME-FR "},
		},
		{
			"to none", "UPDATE invoices SET issuer = '', number = 5, invoice_number = 'INV-000005' WHERE id = 10",
			[]string{"invoices: it was sealed, and is not there: issuer=ACME-DE series=INV period= number=3 "},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, dir := setupIssuers(t), t.TempDir()
			b.mustSeal(t, dir)
			b.owner(t, c.change)
			b.expectSeals(t, dir, c.want)
		})
	}
}

// Nothing follows on a seal while a sealed invoice isn't its issuer's any more.
func TestSealRefusesAnotherIssuer(t *testing.T) {
	t.Parallel()
	b, dir := setupIssuers(t), t.TempDir()
	b.mustSeal(t, dir)
	b.create(t, "job-FR-5", only("ACME-FR", "NEW"))
	b.owner(t, "DELETE FROM imported_invoices; UPDATE invoices SET issuer = 'ACME-FR', number = 4, invoice_number = 'INV-000004' WHERE id = 10")
	err := b.seal(t, dir)
	if err == nil || !strings.Contains(err.Error(), "sealed invoices are gone or were changed: series ACME-DE/INV at number 3: ") {
		t.Errorf("error %v", err)
	}
}
