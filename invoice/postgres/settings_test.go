package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// settle changes the settings.
func (b *site) settle(t *testing.T, change func(*invoice.Settings)) {
	t.Helper()
	_, err := b.store.Settings.Change(t.Context(), &postgres.SettingsChange{What: "set", By: "ada", Note: "a test", To: func(s invoice.Settings) (invoice.Settings, error) {
		change(&s)
		return s, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func issued(at time.Time) func(*invoice.Job) {
	return func(j *invoice.Job) { j.IssuedAt = at.UTC().Truncate(time.Microsecond) }
}

// refusedField returns the field for which a job is invalid, "" if it isn't.
func (b *site) refusedField(t *testing.T, jobID string, j *invoice.Job) string {
	t.Helper()
	_, err := b.generator.Generate(t.Context(), request(jobID, j))
	var invalid *invoice.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Problems[0].Field
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

func TestDatesOutOfBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ahead := time.Now().Add(50 * time.Hour)
	bounds := map[string]time.Time{
		"year 25":                    time.Date(25, 3, 1, 0, 0, 0, 0, time.UTC),
		"year 2205":                  time.Date(2205, 3, 1, 0, 0, 0, 0, time.UTC),
		"a moment before the first":  time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		"more than a day ahead":      time.Now().Add(25 * time.Hour),
		"two days ahead, in a storm": ahead,
	}
	for name, at := range bounds {
		if field := b.refusedField(t, name, job(t, strings.ReplaceAll(name, " ", "-"), issued(at))); field != "issued_at" {
			t.Errorf("%s: invalid for %q", name, field)
		}
	}
	for name, at := range map[string]time.Time{"first": time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), "ahead": time.Now().Add(23 * time.Hour)} {
		b.create(t, name, job(t, name, issued(at)))
	}
	if n := b.Count(t, "SELECT last_number FROM invoice_series"); n != 2 {
		t.Errorf("%d numbers are used, want 2", n)
	}
	// What was invoiced before the bounds changed stays a duplicate.
	b.settle(t, func(s *invoice.Settings) { s.Earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) })
	result, err := b.generator.Generate(t.Context(), request("again", job(t, "first", issued(time.Unix(0, 0)))))
	if err != nil || result.Outcome != invoice.Duplicate {
		t.Errorf("a replay of what is invoiced: %q, %v", result.Outcome, err)
	}
	if field := b.refusedField(t, "old", job(t, "old", issued(time.Date(2019, 12, 31, 0, 0, 0, 0, time.UTC)))); field != "issued_at" {
		t.Errorf("before what was set: invalid for %q", field)
	}
	b.settle(t, func(s *invoice.Settings) { s.Latest = 72 * time.Hour })
	b.create(t, "two-days", job(t, "two-days", issued(ahead)))
	if got := b.Text(t, "SELECT string_agg(settings_version::text, ' ' ORDER BY id) FROM invoices"); got != "1 1 3" {
		t.Errorf("the invoices were made under the versions %s", got)
	}
	b.gapless(t)
}

// One bad date among many good jobs takes none of them along, and uses no number.
func TestBadDatesAmongGoodOnes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var storm sync.WaitGroup
	for i := range 60 {
		storm.Go(func() {
			at, want := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), ""
			if i%3 == 0 {
				at, want = time.Now().AddDate(1, 0, 0), "issued_at"
			}
			if field := b.refusedField(t, fmt.Sprint("j", i), job(t, fmt.Sprint("T", i), issued(at))); field != want {
				t.Errorf("job %d: invalid for %q, want %q", i, field, want)
			}
		})
	}
	storm.Wait()
	if n := b.Count(t, "SELECT last_number FROM invoice_series"); n != 40 {
		t.Errorf("%d numbers are used, want 40", n)
	}
	b.gapless(t)
}

// Settings that change in a storm hold for every invoice that is committed afterwards.
func TestSettingsChangeInAStorm(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute }) // on a busy machine
	var storm sync.WaitGroup
	const writers, each = 8, 40
	for w := range writers {
		storm.Go(func() { b.createAll(t, fmt.Sprintf("W%d", w), each, inSeries("INV")) })
	}
	for change := range 12 {
		b.settle(t, func(s *invoice.Settings) { s.Latest = time.Duration(change+1) * time.Hour })
	}
	storm.Wait()
	b.create(t, "last", job(t, "last"))
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != writers*each+1 {
		t.Errorf("%d invoices, want %d", n, writers*each+1)
	}
	if n := b.Count(t, "SELECT count(*) FROM (SELECT settings_version < lag(settings_version) OVER (ORDER BY number) AS back FROM invoices) x WHERE back"); n != 0 {
		t.Errorf("%d invoices were made under older settings than the one before", n)
	}
	if n := b.Count(t, "SELECT max(settings_version) FROM invoices"); n != 13 {
		t.Errorf("the last invoice was made under version %d, want 13", n)
	}
	b.gapless(t)
}

// A changing store lets something happen once the drafts of all jobs are placed, before any of them is written.
type changing struct {
	*postgres.Invoices

	placed *sync.WaitGroup
	change func()
}

func (c *changing) Insert(ctx context.Context, d *invoice.Draft) (invoice.Insertion, error) {
	if d.Settings.Version == 1 {
		c.placed.Done()
		c.placed.Wait()
		c.change()
	}
	return c.Invoices.Insert(ctx, d)
}

// Settings that change after a worker has read them, and before it writes, hold for what it writes.
func TestSettingsChangeBeforeTheWrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	others := &site{Database: b.Database, store: b.open(t)} // another process, so that this one hears nothing of the change
	const jobs = 6
	var placed, all sync.WaitGroup
	placed.Add(jobs)
	change := sync.OnceFunc(func() { others.settle(t, func(s *invoice.Settings) { s.RefuseZero = true }) })
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := invoice.NewGenerator(&changing{b.store.Invoices, &placed, change}, numbering)
	for i := range jobs {
		all.Go(func() {
			id, price, refused := fmt.Sprint("T", i), "1", i%2 == 1
			if refused {
				price = "0"
			}
			_, err := g.Generate(t.Context(), request(id, job(t, id, amounts(t, price, "20"))))
			if errors.As(err, new(*invoice.InvalidError)) != refused || err != nil && !refused {
				t.Errorf("a price of %s: %v", price, err)
			}
		})
	}
	all.Wait()
	if got := b.Text(t, "SELECT count(*) || ' of version ' || string_agg(DISTINCT settings_version::text, ' ') FROM invoices"); got != "3 of version 2" {
		t.Errorf("made are %s, want 3 of version 2", got)
	}
	b.gapless(t)
}

func TestStrictSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "before", job(t, "before", inSeries("OLD")))
	b.mustSet(t, "OPENED", first(1, "O{number}"))
	b.settle(t, func(s *invoice.Settings) { s.Strict = true })
	for series, want := range map[string]string{"OLD": "", "OPENED": "", "NEW": "series"} {
		if field := b.refusedField(t, series, job(t, series, inSeries(series))); field != want {
			t.Errorf("a job for series %s is invalid for %q, want %q", series, field, want)
		}
	}
	// A worker that doesn't know it yet, or not at all, makes none either.
	b.refuses(t, "INSERT INTO invoice_series (series, kind) VALUES ('NEW', 'invoice')", "23000", "series_opened")
	b.refuses(t, `INSERT INTO series (series, version, kind, format, period, timezone, origin, change, actor)
		VALUES ('NEW', 1, 'invoice', 'N{number}', 'none', 'UTC', 'configuration', 'made', 'a worker')`, "23000", "series_opened")
	if _, err := b.store.Series.Make(t.Context(), invoice.Series{
		Name: "NEW", Kind: invoice.KindInvoice, Format: "N{number}", Period: "none", FirstMonth: 1, Timezone: "UTC", Date: invoice.DateIssuedAt, FirstNumber: 1, State: invoice.SeriesOpen,
	}, false); !errors.As(err, new(*invoice.InvalidError)) {
		t.Errorf("a series that isn't opened is made: %v", err)
	}
	b.settle(t, func(s *invoice.Settings) { s.Strict = false })
	b.create(t, "new", job(t, "new", inSeries("NEW")))
}

// placedBy is one statement for an invoice, which names the version of the settings by which it was placed.
func placedBy(version int, row string) string {
	return strings.Replace(strings.TrimSuffix(insertInvoices(row), ")")+fmt.Sprintf(", %d)", version), "issued_at)", "issued_at, settings_version)", 1)
}

// What any writer would write against the settings is refused, and the past of the settings stays.
func TestSettingsHoldForEveryWriter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "one", job(t, "one"))
	b.settle(t, func(*invoice.Settings) {}) // version 2
	old := "('INV', '', 2, 'INV-000002', 'invoice', 'x', 'x', "
	for statement, constraint := range map[string]string{
		insertInvoices(old + strings.Replace(values, "now()", "now() + interval '2 days'", 1) + ")"): "invoices_dates",
		insertInvoices(old + strings.Replace(values, "now()", "'0025-03-01T00:00:00Z'", 1) + ")"):    "invoices_dates",
		placedBy(1, old+values+")"):         "invoices_settings_version",
		placedBy(3, old+values+")"):         "invoices_settings_version",
		"UPDATE settings SET strict = true": "settings_append_only",
		"DELETE FROM settings":              "settings_append_only",
		"TRUNCATE settings":                 "settings_append_only",
	} {
		b.refuses(t, statement, "23000", constraint)
	}
	b.refuses(t, "INSERT INTO settings (version, change, actor) VALUES (4, 'x', 'x')", "23505", "settings_pkey")
	b.refuses(t, "INSERT INTO settings (version, change, actor) VALUES (1, 'x', 'x')", "23505", "settings_pkey")
}

// An issuer begins with all settings that hold without one, and has its own from then on.
func TestIssuersBeginWithTheSettingsThatHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := invoice.Settings{
		Strict: true, Earliest: time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC), Latest: time.Hour,
		MustCredit: true, CreditReplaced: true, RefuseZero: true, IgnoreIssuedAt: true, IgnorePresentation: true, Profile: "peppol",
	}
	b.settle(t, func(s *invoice.Settings) { *s = want })
	b.openIssuers(t, "ACME-DE")
	want.Version = 1
	if got, err := b.store.Settings.Current(t.Context(), "ACME-DE"); err != nil || *got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
