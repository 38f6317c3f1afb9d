package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A number that was printed elsewhere and a series that could still print it exclude each other, whichever comes first.
func TestImportedNumbersThatASeriesCouldPrint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", first(48214, "R-{number}"))
	b.mustSet(t, "YEAR", func(s *invoice.Series) {
		s.Period, s.Format, s.FirstPeriod, s.FirstNumber = "year", "Y{yy}/{number:03}.", "2026", 10
	})
	b.mustSet(t, "IN", func(s *invoice.Series) { s.Period, s.FirstMonth, s.Format = "year", 4, "IN({period})-{number}" })
	b.mustSet(t, "FILED", first(1, "F{number}"))
	b.mustSet(t, "FILED", state(invoice.SeriesClosed))
	b.create(t, "j1", job(t, "T1", inSeries("INV")))
	for number, want := range map[string]string{
		"R-1": "", "R-48213": "", "R-48214": "is the number of an invoice here", "R-48215": "could still be printed by series INV", "R-99999999999999999999": "series INV",
		"R-048215": "", "R-48215x": "", "r-48215": "", "R-": "",
		"Y26/009.": "", "Y26/010.": "series YEAR", "Y26/10.": "", "Y27/001.": "series YEAR", "Y27/000.": "", "Y26/1000.": "series YEAR", "Y26/010x": "",
		"IN(2016-17)-1": "series IN", "IN(2016-17)-0": "", "IN(2016)-1": "", "F1": "", "F99": "",
	} {
		for _, dry := range []bool{true, false} {
			added, err := b.store.Imports.Add(t.Context(), []invoice.Import{imported("X"+strings.Trim(fmt.Sprintf("%x", number), "%"), number)}, dry)
			if err != nil {
				t.Fatalf("%s: %v", number, err)
			}
			got := ""
			for _, p := range added[0].Problems {
				got += p.Field + " " + p.Message
			}
			if want == "" && got != "" || want != "" && (!strings.HasPrefix(got, "invoice_number ") || !strings.Contains(got, want)) {
				t.Errorf("%s (dry run: %t): %q, want %q", number, dry, got, want)
			}
		}
	}
	b.refuses(t, "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('x', 'x', 'R-77777')", "23505", "imported_invoices_number_not_printable")
	b.clean(t)
}

func TestSeriesThatCouldPrintAnImportedNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(t, imported("A", "Q-500"), imported("B", "INV-000007"), imported("C", "2024/3"))
	var refused *postgres.SeriesError
	for name, change := range map[string]func(*invoice.Series){
		"at all":         first(1, "Q-{number}"),
		"from there on":  first(500, "Q-{number}"),
		"in some period": func(s *invoice.Series) { s.Period, s.Format = "year", "{year}/{number}" },
	} {
		if _, err := b.set(t, "QQ", change); !errors.As(err, &refused) || !strings.Contains(refused.Why, "the number of an import") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.mustSet(t, "QQ", first(501, "Q-{number}"))
	if _, err := b.set(t, "QQ", first(400, "Q-{number}")); !errors.As(err, &refused) {
		t.Errorf("an earlier first number: %v", err)
	}
	b.mustSet(t, "QQ", state(invoice.SeriesPaused))
	// A series that a job would make is refused as well, and can be opened so that it prints other numbers.
	if field := b.refusedField(t, "j", job(t, "T", inSeries("INV"))); field != "series" {
		t.Errorf("a job for a series that could print an imported number is invalid for %q", field)
	}
	b.mustSet(t, "INV", first(8, "INV-{number:06}"))
	if made := b.create(t, "j", job(t, "T", inSeries("INV"))); made.Number != "INV-000008" {
		t.Errorf("invoiced as %s", made.Number)
	}
	b.clean(t)
}

// A yearly series goes on with the format of the years before, whose numbers are imported: it has no documents before its first year,
// or, if it dates them on their day of issue, before this one.
func TestImportsOfEarlierYears(t *testing.T) {
	t.Parallel()
	b := setup(t)
	yearly := func(format string, change func(*invoice.Series)) func(*invoice.Series) {
		return func(s *invoice.Series) {
			s.Period, s.Format, s.Timezone, s.Date = "year", format, "UTC", invoice.DateIssuedAt
			change(s)
		}
	}
	b.mustSet(t, "A", yearly("A{number:03}/{year}", func(s *invoice.Series) { s.FirstNumber, s.FirstPeriod = 3, "2010" }))
	b.mustSet(t, "B", yearly("B{period}-{number}", func(s *invoice.Series) {
		s.FirstMonth, s.FirstNumber, s.FirstPeriod = 4, 1, "2010-11"
	}))
	b.mustSet(t, "C", yearly("{yy}C{number}", func(s *invoice.Series) { s.Date = invoice.DateIssue }))
	b.mustSet(t, "D", func(s *invoice.Series) {
		s.Period, s.Format, s.Date, s.FirstPeriod = "month", "D{month}{year}-{number}", invoice.DateIssuedAt, "2010-07"
	})
	now := time.Now().UTC()
	for number, refused := range map[string]bool{
		"A005/2009": false, "A002/2010": false, "A003/2010": true, "A001/2011": true,
		"B2009-10-7": false, "B2010-11-1": true, "B2011-12-1": true,
		now.AddDate(-1, 0, 0).Format("06") + "C7": false, now.AddDate(1, 0, 0).Format("06") + "C7": true,
		"D062010-4": false, "D122009-4": false, "D072010-4": true, "D012011-4": true,
	} {
		code := "of " + number
		err := b.tryImport(t, code, number)
		if refused != violatesPrintable(err) || !refused && err != nil {
			t.Errorf("%s: %v", number, err)
		}
	}
	early := inSeries("A")
	if field := b.refusedField(t, "early", job(t, "T1", early, issued(time.Date(2009, 12, 31, 0, 0, 0, 0, time.UTC)))); field != "issued_at" {
		t.Errorf("a document before the first year: invalid for %q", field)
	}
	b.refuses(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('A', '2009', 'invoice')", "23000", "invoice_series_period")
	if made := b.create(t, "job", job(t, "T1", early)); made.Number != "A003/2010" {
		t.Errorf("%+v", made)
	}
	b.clean(t)
}

// tryImport imports a number by SQL, under a transaction of its own.
func (b *site) tryImport(t *testing.T, transaction, number string) error {
	t.Helper()
	transaction = strings.NewReplacer(" ", "-").Replace(transaction)
	_, err := b.DB.ExecContext(t.Context(), "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ($1, $1, $2)", transaction, number)
	return err
}

func violatesPrintable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == "imported_invoices_number_not_printable"
}
