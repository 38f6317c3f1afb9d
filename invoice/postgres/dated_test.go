package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"invoicer/invoice"
)

func dated(period, zone, format string) func(*invoice.Series) {
	return func(s *invoice.Series) {
		s.Date, s.Period, s.Timezone, s.Format = invoice.DateIssue, period, zone, format
	}
}

// A document is dated on the day on which it is committed, in its series' time zone, and counted in that day's period. The job's
// issued_at stays the date of supply.
func TestDocumentsAreDatedOnTheirDayOfIssue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// These two never have the same day.
	b.mustSet(t, "EARLY", dated("month", "Etc/GMT+12", "E{period}/{number}"))
	b.mustSet(t, "LATE", dated("none", "Pacific/Kiritimati", "L{number}"))
	for _, series := range []string{"EARLY", "LATE", "INV"} {
		b.createAll(t, series, 10, inSeries(series))
	}
	for series, zone := range map[string]string{"EARLY": "Etc/GMT+12", "LATE": "Pacific/Kiritimati"} {
		if n := b.Count(t, `SELECT count(*) FROM invoices WHERE series = $1 AND issued_at = '2010-12-01T08:26:00Z'
			AND document_date BETWEEN (created_at AT TIME ZONE $2)::date AND (clock_timestamp() AT TIME ZONE $2)::date`, series, zone); n != 10 {
			t.Errorf("%d documents of series %s have the day of their issue, want 10", n, series)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices WHERE series = 'EARLY' AND period = to_char(document_date, 'YYYY-MM')"); n != 10 {
		t.Errorf("%d documents are counted in the month of their day of issue, want 10", n)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices WHERE series = 'INV' AND document_date IS NULL"); n != 10 {
		t.Errorf("%d documents of a series that is dated by issued_at have another date", 10-n)
	}
	b.gapless(t)
	for series, want := range map[string]bool{"LATE": true, "INV": false} {
		transaction := b.Text(t, "SELECT min(transaction_id) FROM invoices WHERE series = $1", series)
		known, err := b.store.Reports.Lookup(t.Context(), "", transaction, 10)
		if err != nil {
			t.Fatal(err)
		}
		if date := known.Invoice.DocumentDate; (date != nil) != want || want && *date != b.Text(t, "SELECT document_date::text FROM invoices WHERE transaction_id = $1", transaction) {
			t.Errorf("a document of series %s is shown with the date %v", series, date)
		}
	}

	today := "(clock_timestamp() AT TIME ZONE 'Pacific/Kiritimati')::date"
	one := func(series, number, printed, date string) string {
		return strings.Replace(insertInvoices(fmt.Sprintf("('%s', '', %s, '%s', 'invoice', 'x', 'x', %s, %s)", series, number, printed, values, date)),
			"issued_at)", "issued_at, document_date)", 1)
	}
	for _, statement := range []string{
		insertInvoices("('LATE', '', 11, 'L11', 'invoice', 'x', 'x', " + values + ")"), // by a worker of the release before
		one("LATE", "11", "L11", today+" + 1"),
		one("LATE", "11", "L11", today+" - 1"),
		one("INV", "11", "INV-000011", today), // a date that isn't the series'
	} {
		b.refuses(t, statement, "23000", "invoices_dated")
	}
	b.refuses(t, "UPDATE invoice_series SET last_date = last_date - 1 WHERE series = 'LATE'", "23000", "invoice_series_last_date")
	b.refuses(t, "UPDATE invoice_series SET last_date = NULL WHERE series = 'LATE'", "23000", "invoice_series_last_date")
}

// A clock that is behind the last document, after a failover or a restore, dates none before it, nor in an earlier period.
func TestDatesNeverGoBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", dated("year", "UTC", "{year}/{number}"))
	b.createAll(t, "before", 3, inSeries("INV"))
	this := b.Text(t, "SELECT min(period) FROM invoices")
	next := b.Text(t, "SELECT ($1::integer + 1)::text", this)
	// What the database would hold if its clock had been a year ahead.
	b.Exec(t, fmt.Sprintf(`SET session_replication_role = replica;
		INSERT INTO invoice_series (series, period, kind, last_number, settings, prefix, last_date) VALUES ('INV', '%[1]s', 'invoice', 1, 1, '%[1]s/', '%[1]s-03-05');
		INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor,
			issued_at, series_version, settings_version, document_date)
		SELECT series, '%[1]s', 1, '%[1]s/1', kind, 'ahead', 'ahead', 'ahead', fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, 1, 1, '%[1]s-03-05'
		FROM invoices WHERE number = 1;
		RESET session_replication_role`, next))
	b.createAll(t, "after", 3, inSeries("INV"))
	if got := b.Text(t, "SELECT string_agg(invoice_number || ' ' || document_date, ', ' ORDER BY period, number) FROM invoices WHERE transaction_id LIKE 'after%'"); got != fmt.Sprintf("%[1]s/2 %[1]s-03-05, %[1]s/3 %[1]s-03-05, %[1]s/4 %[1]s-03-05", next) {
		t.Errorf("the documents after it are %s", got)
	}
}

// A series that is dated by issued_at goes on by the day of issue once that is set, and back.
func TestDateOfASeriesChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.createAll(t, "A", 2, inSeries("INV"))
	b.mustSet(t, "INV", func(s *invoice.Series) { s.Date = invoice.DateIssue })
	b.createAll(t, "B", 2, inSeries("INV"))
	b.mustSet(t, "INV", func(s *invoice.Series) { s.Date = invoice.DateIssuedAt })
	b.createAll(t, "C", 2, inSeries("INV"))
	if got := b.Text(t, "SELECT string_agg(CASE WHEN document_date IS NULL THEN '-' ELSE 'd' END, '' ORDER BY number) FROM invoices"); got != "--dd--" {
		t.Errorf("dated: %s", got)
	}
	b.gapless(t)
}
