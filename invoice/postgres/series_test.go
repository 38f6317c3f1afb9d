package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// set changes the settings of a series.
func (b *site) set(t *testing.T, name string, change func(*invoice.Series)) (invoice.Series, error) {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return b.store.Series.Change(t.Context(), &postgres.SeriesChange{Name: name, What: "set", By: "ada", Note: "a test", To: func(current *invoice.Series) (invoice.Series, error) {
		s := numbering.First(invoice.SeriesID{Name: name}, invoice.KindInvoice)
		if current != nil {
			s = *current
		}
		change(&s)
		return s, nil
	}})
}

func (b *site) mustSet(t *testing.T, name string, change func(*invoice.Series)) {
	t.Helper()
	if _, err := b.set(t, name, change); err != nil {
		t.Fatal(err)
	}
}

func first(number int64, format string) func(*invoice.Series) {
	return func(s *invoice.Series) { s.FirstNumber, s.Format = number, format }
}

func state(to invoice.SeriesState) func(*invoice.Series) {
	return func(s *invoice.Series) { s.State = to }
}

// Whoever moves in goes on where the old program has stopped.
func TestSeriesBeginsWhereTheOldOneEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", first(48214, "R-{number}"))
	b.createAll(t, "T", 20, inSeries("INV"))
	if got := b.Text(t, "SELECT min(invoice_number) || ' ' || max(invoice_number) || ' ' || count(*) FROM invoices"); got != "R-48214 R-48233 20" {
		t.Errorf("%s", got)
	}
	for statement, constraint := range map[string]string{
		"UPDATE invoice_series SET last_number = 50000": "invoice_series_ahead",
		"UPDATE invoice_series SET last_number = 48000": "invoice_series_forward",
		"UPDATE series SET format = 'X-{number}'":       "series_append_only",
		"DELETE FROM series":                            "series_append_only",
		"TRUNCATE series":                               "series_append_only",
		insertInvoices("('INV', '', 48235, 'R-48235', 'invoice', 'x', 'x', " + values + ")"):   "invoices_gapless",
		insertInvoices("('INV', '', 48213, 'R-48213', 'invoice', 'x', 'x', " + values + ")"):   "invoices_gapless",
		insertInvoices("('INV', '', 48234, 'INV-48234', 'invoice', 'x', 'x', " + values + ")"): "invoices_series_format",
	} {
		b.refuses(t, statement, "23000", constraint)
	}
	// Nobody can set what follows from the settings.
	b.Exec(t, "UPDATE invoice_series SET prefix = 'X-', first_number = 1, state = 'closed'")
	if got := b.Text(t, "SELECT prefix || first_number || state || last_number FROM invoice_series"); got != "R-48214open48233" {
		t.Errorf("the counter is %s", got)
	}
	if _, err := b.set(t, "INV", first(1, "R-{number}")); err == nil || !strings.Contains(err.Error(), "first number") {
		t.Errorf("another first number of a series with documents: %v", err)
	}
}

// A change holds from the next number on, also for drafts that are placed already, and for other processes.
func TestSeriesChangesInAStorm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var storm sync.WaitGroup
	const writers, each = 8, 40
	for w := range writers {
		storm.Go(func() { b.createAll(t, fmt.Sprintf("W%d", w), each, inSeries("INV")) })
	}
	for change := range 12 {
		b.mustSet(t, "INV", func(s *invoice.Series) {
			if s.Version > 0 {
				s.Format = fmt.Sprintf("%c{number:02}", 'A'+change)
			}
		})
	}
	storm.Wait()
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != writers*each {
		t.Errorf("%d invoices, want %d", n, writers*each)
	}
	if n := b.Count(t, `SELECT count(*) FROM invoices JOIN series ON series.series = invoices.series AND version = series_version
CROSS JOIN LATERAL number_affixes(format, series.series, invoices.period) form WHERE invoice_number <> print_number(form.prefix, form.width, form.suffix, number)`); n != 0 {
		t.Errorf("%d numbers aren't printed as the version of their series says", n)
	}
	if n := b.Count(t, "SELECT count(*) FROM (SELECT series_version < lag(series_version) OVER (ORDER BY number) AS back FROM invoices) x WHERE back"); n != 0 {
		t.Errorf("%d numbers are placed by older settings than the number before", n)
	}
	b.gapless(t)
}

func TestPausedAndClosedSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "known", job(t, "known"))
	b.mustSet(t, "INV", state(invoice.SeriesPaused))
	var paused *invoice.PausedError
	if _, err := b.generator.Generate(t.Context(), request(b.id("waits"), job(t, "waits"))); !errors.As(err, &paused) || paused.Series.Name != "INV" {
		t.Errorf("paused: %v", err)
	}
	if r, err := b.generator.Generate(t.Context(), request(b.id("again"), job(t, "known"))); err != nil || r.Outcome != invoice.Duplicate {
		t.Errorf("a duplicate of a paused series: %v, %v", r.Outcome, err)
	}
	b.create(t, "other", job(t, "other", inSeries("OTHER")))
	b.refuses(t, insertInvoices("('INV', '', 2, 'INV-000002', 'invoice', 'x', 'x', "+values+")"), "55P03", "invoices_series_open")

	b.mustSet(t, "INV", state(invoice.SeriesOpen))
	b.create(t, "waits", job(t, "waits"))

	b.mustSet(t, "INV", state(invoice.SeriesClosed))
	_, err := b.generator.Generate(t.Context(), request(b.id("late"), job(t, "late")))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || invalid.Problems[0].Field != "series" || !strings.Contains(err.Error(), "closed") {
		t.Errorf("closed: %v", err)
	}
	b.refuses(t, insertInvoices("('INV', '', 3, 'INV-000003', 'invoice', 'x', 'x', "+values+")"), "23000", "invoices_series_open")
	if _, err := b.set(t, "INV", state(invoice.SeriesOpen)); err == nil || !strings.Contains(err.Error(), "closed for good") {
		t.Errorf("a closed series was opened: %v", err)
	}
}

// Two series that could print one number are refused, also where a job would make the second one.
func TestSeriesThatCouldPrintOneNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", func(s *invoice.Series) { s.Period, s.Format = "year", "{series}-{period}-{number:06}" })
	_, err := b.generator.Generate(t.Context(), request(b.id("T"), job(t, "T", inSeries("INV-2025"))))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "INV-2025-") || !strings.Contains(err.Error(), "series open INV-2025") {
		t.Errorf("a job's series: %v", err)
	}
	if _, err := b.set(t, "X", first(1, "INV-2{number}-{number:0}")); err == nil {
		t.Error("a format with two numbers is taken")
	}
	if _, err := b.set(t, "X", first(1, "INV-{number}-000001")); err == nil || !strings.Contains(err.Error(), "series INV") {
		t.Errorf("another series: %v", err)
	}
	b.mustSet(t, "X", first(1, "X{number}"))
}

// Periods, time zones and first numbers belong to each series.
func TestFiscalYearsOfASeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "IN", func(s *invoice.Series) {
		s.Period, s.FirstMonth, s.Timezone, s.Format, s.FirstNumber, s.FirstPeriod = "year", 4, "Asia/Kolkata", "INV/{period}/{number:04}", 77, "2016-17"
	})
	for i, at := range []string{"2017-03-31T18:29:59Z", "2017-03-31T18:30:00Z", "2017-12-31T23:00:00Z", "2018-01-01T01:00:00Z"} {
		b.create(t, fmt.Sprint(i), job(t, fmt.Sprint("fy", i), inSeries("IN"), func(j *invoice.Job) { j.IssuedAt = parseTime(t, at) }))
	}
	if got := b.Text(t, "SELECT string_agg(invoice_number, ' ' ORDER BY id) FROM invoices"); got != "INV/2016-17/0077 INV/2017-18/0001 INV/2017-18/0002 INV/2017-18/0003" {
		t.Errorf("%s", got)
	}
	// A worker that knows no settings would have taken calendar years, or its own zone.
	b.refuses(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('IN', '2017', 'invoice')", "23000", "invoice_series_period")
	b.refuses(t, strings.Replace(insertInvoices("('IN', '2017-18', 4, 'INV/2017-18/0004', 'invoice', 'x', 'x', "+values+")"), "now()", "'2017-03-31T12:00Z'", 1), "23000", "invoices_series_period")
}

// A series of an earlier release takes settings that print its last number as it is printed, and no others.
func TestSeriesOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice'), ('OLD', '', 'invoice')")
	b.Exec(t, insertInvoices("('INV', '', 1, 'INV-000001', 'invoice', 'a', 'a', "+values+")", "('OLD', '', 1, 'old 1', 'invoice', 'b', 'b', "+values+")"))
	b.Exec(t, "UPDATE invoice_series SET last_number = 1")
	b.create(t, "next", job(t, "next"))
	var invalid *invoice.InvalidError
	if _, err := b.generator.Generate(t.Context(), request(b.id("T"), job(t, "T", inSeries("OLD")))); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "old 1") {
		t.Errorf("another format: %v", err)
	}
	b.mustSet(t, "OLD", first(1, "old {number}"))
	b.create(t, "T", job(t, "T", inSeries("OLD")))
	if got := b.Text(t, "SELECT string_agg(invoice_number, ' ' ORDER BY id) FROM invoices"); got != "INV-000001 old 1 INV-000002 old 2" {
		t.Errorf("%s", got)
	}
}

// A counter that was raised by hand, as nothing kept an earlier release's from, is the way to another first number.
func TestSeriesWhoseCounterWasRaised(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "ALTER TABLE invoice_series DISABLE TRIGGER USER")
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('INV', '', 'invoice', 15421)")
	b.Exec(t, "ALTER TABLE invoice_series ENABLE TRIGGER USER")
	var invalid *invoice.InvalidError
	if _, err := b.generator.Generate(t.Context(), request(b.id("T"), job(t, "T"))); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "15422 as its first number") {
		t.Errorf("a series whose counter is ahead: %v", err)
	}
	b.mustSet(t, "INV", first(15422, "{series}-{number:06}"))
	b.create(t, "T", job(t, "T"))
	if got := b.Text(t, "SELECT max(invoice_number) FROM invoices"); got != "INV-015422" {
		t.Errorf("%s", got)
	}
}

func parseTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// An accepted job of a paused series isn't sent before the series is resumed, and then it is.
func TestJobsWaitForTheirSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openSeries(t, "STOP", "GO")
	claim := func() (ids []string) {
		t.Helper()
		claimed, err := b.store.Ledger.Claim(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range claimed {
			ids = append(ids, d.JobID)
		}
		return ids
	}
	park := func(jobID, series string, want bool) {
		t.Helper()
		if waits, err := b.store.Ledger.Park(t.Context(), jobID, invoice.SeriesID{Name: series}); err != nil || waits != want {
			t.Errorf("%s waits for %s: %t, %v", jobID, series, waits, err)
		}
	}
	unpark := func(want int) {
		t.Helper()
		if n, err := b.store.Ledger.Unpark(t.Context()); err != nil || n != want {
			t.Errorf("%d jobs wait no longer, want %d, %v", n, want, err)
		}
	}
	var ids []string
	for _, transaction := range []string{"a", "b", "c"} {
		id := uuid.NewString()
		ids = append(ids, id)
		payload, err := job(t, transaction).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.store.Ledger.AcceptIntoNew(t.Context(), id, "q", payload); err != nil {
			t.Fatal(err)
		}
	}
	if got := claim(); !slices.Equal(got, ids) {
		t.Fatalf("claimed %v, want %v", got, ids)
	}
	b.mustSet(t, "STOP", state(invoice.SeriesPaused))
	b.mustSet(t, "GO", state(invoice.SeriesPaused))
	park(ids[0], "STOP", true)
	park(ids[0], "STOP", false) // it isn't in work
	park(ids[1], "GO", true)
	park(uuid.NewString(), "STOP", false)
	unpark(0)
	if got := claim(); len(got) != 0 {
		t.Errorf("claimed %v, which wait", got)
	}
	b.mustSet(t, "STOP", state(invoice.SeriesOpen))
	park(ids[2], "STOP", false)
	unpark(1)
	if got := claim(); !slices.Equal(got, ids[:1]) {
		t.Errorf("claimed %v, want %v", got, ids[:1])
	}
	b.mustSet(t, "GO", state(invoice.SeriesClosed)) // so that their jobs learn it
	unpark(1)
	if got := claim(); !slices.Equal(got, ids[1:2]) {
		t.Errorf("claimed %v, want %v", got, ids[1:2])
	}
}

// A format that holds from a number on takes over in the middle of a group, and stays through later changes.
func TestFormatFromANumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustSet(t, "INV", first(1, "A-{number}"))
	b.createAll(t, "T", 3, inSeries("INV"))
	from := func(number int64, format string) func(*invoice.Series) {
		return func(s *invoice.Series) { s.Format, s.FromNumber = format, number }
	}
	for number, want := range map[int64]string{3: "number 3 is given out already; the next one is 4", -1: "from_number"} {
		if _, err := b.set(t, "INV", from(number, "B/{number:03}")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("from %d on: %v", number, err)
		}
	}
	yearly := func(s *invoice.Series) { s.Period, s.Format, s.FromNumber = "year", "{year}-{number}", 7 }
	if _, err := b.set(t, "INV", yearly); err == nil || !strings.Contains(err.Error(), "needs period none") {
		t.Errorf("with periods: %v", err)
	}
	b.mustSet(t, "INV", from(8, "B/{number:03}"))
	for statement, want := range map[string][2]string{
		insertInvoices("('INV', '', 4, 'B/004', 'invoice', 'x', 'x', " + values + ")"):                               {"23000", "invoices_series_format"},
		"UPDATE invoice_series SET next_from = 5, settings = settings + 0, last_number = 4":                          {"23000", "invoice_series_forward"},
		"INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('P', 'P', 'B/008')": {"23505", "imported_invoices_number_not_printable"},
		"INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('P', 'P', 'A-7')":   {"23505", "imported_invoices_number_not_printable"},
	} {
		b.refuses(t, statement, want[0], want[1])
	}
	b.createAll(t, "U", 9, inSeries("INV")) // 4 to 12, in whatever groups
	b.mustSet(t, "INV", func(s *invoice.Series) { s.State = invoice.SeriesPaused })
	b.mustSet(t, "INV", func(s *invoice.Series) { s.State = invoice.SeriesOpen })
	b.createAll(t, "V", 1, inSeries("INV"))
	if got := b.Text(t, "SELECT string_agg(invoice_number, ' ' ORDER BY number) FROM invoices"); got != "A-1 A-2 A-3 A-4 A-5 A-6 A-7 B/008 B/009 B/010 B/011 B/012 B/013" {
		t.Error(got)
	}
	if states, err := b.store.Reports.SeriesStates(t.Context(), nil, "INV", 9); err != nil || len(states) != 1 || states[0].NextInvoice != "B/014" {
		t.Errorf("%+v, %v", states, err)
	}
	b.refuses(t, insertInvoices("('INV', '', 14, 'A-14', 'invoice', 'x', 'x', "+values+")"), "23000", "invoices_series_format")
	b.clean(t)
}
