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

// reserve keeps the numbers from the counter on, for a transaction each, "" being none.
func (b *site) reserve(t *testing.T, series string, from int64, date string, transactions ...string) {
	t.Helper()
	var numbers []postgres.Reserved
	for i, id := range transactions {
		numbers = append(numbers, postgres.Reserved{Number: from + int64(i), TransactionID: id, Source: "a test", Date: date})
	}
	if err := b.store.Invoices.Reserve(t.Context(), invoice.SlotKey{Series: series}, numbers, "ada", "why"); err != nil {
		t.Fatal(err)
	}
}

func (b *site) numbered(t *testing.T, columns string) string {
	t.Helper()
	return b.Text(t, "SELECT string_agg(concat_ws(':', "+columns+"), ' ' ORDER BY number) FROM invoices")
}

// A reserved number is given to its transaction and to nobody else, whenever that comes, and the others go on above.
func TestReservedNumbersGoToTheirTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", first(100, "INV-{number}"))
	b.create(t, "j1", job(t, "T1"))
	b.reserve(t, "INV", 101, "", "A", "", "C")
	b.create(t, "j2", job(t, "T2"))
	b.create(t, "j3", job(t, "C"))
	b.reserve(t, "INV", 105, "", "F")
	b.create(t, "j4", job(t, "T3"))
	b.create(t, "j5", job(t, "A"))
	b.create(t, "j6", job(t, "F"))
	if got := b.numbered(t, "invoice_number, transaction_id"); got != "INV-100:T1 INV-101:A INV-103:C INV-104:T2 INV-105:F INV-106:T3" {
		t.Errorf("the numbers are %s", got)
	}
	for _, c := range []struct{ number, transaction, constraint string }{
		{"102", "X", "invoices_reserved"},
		{"103", "C", "_key"}, // of several indexes, the one that is the oldest refuses it
		{"108", "X", "invoices_gapless"},
	} {
		b.refusesRow(t, c.number, c.transaction, c.constraint)
	}
	b.reserve(t, "INV", 107, "", "G")
	b.refusesRow(t, "108", "G", "invoices_reserved")
	if stuck, err := b.store.Reports.StuckSeries(t.Context(), 10); err != nil || len(stuck) > 0 {
		t.Errorf("a series whose counter is at a reserved number counts as stuck: %v, %v", stuck, err)
	}
	if err := b.store.Invoices.Reserve(t.Context(), invoice.SlotKey{Series: "INV"}, []postgres.Reserved{{Number: 110, Source: "s"}}, "ada", ""); !errors.Is(err, postgres.ErrCounterMoved) {
		t.Errorf("a gap is reserved: %v", err)
	}
	b.mustSet(t, "INV", func(s *invoice.Series) { s.Format = "R-{number}" }) // while the counter stands at a reserved number
	b.create(t, "j7", job(t, "T4"))
	b.create(t, "j8", job(t, "G"))
	if got := b.Text(t, "SELECT string_agg(invoice_number, ' ' ORDER BY number) FROM invoices WHERE number > 106"); got != "R-107 R-108" {
		t.Errorf("the last numbers are %s", got)
	}
	if _, err := b.set(t, "INV", first(7, "R-{number}")); err == nil {
		t.Error("the first number can be changed")
	}
}

// refusesRow tries what somebody with psql may.
func (b *site) refusesRow(t *testing.T, number, transaction, constraint string) {
	t.Helper()
	_, err := b.DB.ExecContext(t.Context(), strings.Replace(insertInvoices(fmt.Sprintf("('INV', '', %s, 'INV-%[1]s', 'invoice', '%s', 'key of %[2]s', %s, (SELECT max(version) FROM series WHERE series = 'INV'))", number, transaction, values)),
		"issued_at)", "issued_at, series_version)", 1))
	if pg := new(pgconn.PgError); !errors.As(err, &pg) || !strings.HasSuffix(pg.ConstraintName, constraint) {
		t.Errorf("number %s for %s: %v, want a refusal by %s", number, transaction, err, constraint)
	}
}

// In a series that dates its documents on the day of their issue, a reserved number has the date that was reserved with it, and dates
// still rise with numbers.
func TestReservedNumbersKeepTheirDates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", func(s *invoice.Series) { s.Date, s.Timezone = invoice.DateIssue, "UTC" })
	today := time.Now().UTC().Format(time.DateOnly)
	b.reserve(t, "INV", 1, "2010-05-05", "A", "B")
	b.create(t, "j1", job(t, "T1"))
	b.create(t, "j2", job(t, "B"))
	b.create(t, "j3", job(t, "A"))
	if got, want := b.numbered(t, "transaction_id, document_date"), "A:2010-05-05 B:2010-05-05 T1:"+today; got != want && !strings.HasPrefix(got, "A:2010-05-05 B:2010-05-05 T1:20") {
		t.Errorf("the dates are %s, want %s", got, want)
	}
}
