package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/migrations"
)

// separate changes what is unique, as opening the first issuer does.
func (b *site) separate(ctx context.Context, t *testing.T) {
	t.Helper()
	m, err := migrations.New(b.URL, b.Schema)
	if err == nil {
		err = m.SeparateIssuers(ctx, func(string) {})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openIssuers opens issuers, the first ones of the site.
func (b *site) openIssuers(t *testing.T, codes ...string) {
	t.Helper()
	b.separate(t.Context(), t)
	for _, code := range codes {
		_, err := b.store.Issuers.Change(t.Context(), &postgres.IssuerChange{Code: code, What: "opened", By: "ada", To: func(*report.Issuer) (report.Issuer, error) {
			return report.Issuer{}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func of(issuer string) func(*invoice.Job) { return func(j *invoice.Job) { j.Issuer = issuer } }

// Two issuers may use the same ids, keys, series and numbers.
func TestIssuersShareNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "first", job(t, "T1")) // before there were issuers
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	jobs := map[string]string{"": "first", "ACME-DE": "job-DE", "ACME-FR": "job-FR"}
	for _, issuer := range []string{"ACME-DE", "ACME-FR"} {
		if got := b.create(t, jobs[issuer], job(t, "T1", of(issuer))); got.Number != "INV-000001" || got.Issuer != issuer {
			t.Errorf("%s: %+v", issuer, got)
		}
	}
	b.create(t, "another", job(t, "T3")) // moves one counter
	for issuer, made := range jobs {
		for jobID, want := range map[string]struct {
			job     *invoice.Job
			outcome invoice.Outcome
		}{
			"again":   {job(t, "T1", of(issuer)), invoice.Duplicate},
			"other":   {job(t, "T1", of(issuer), func(j *invoice.Job) { j.Currency = "EUR" }), invoice.Conflict},
			"its key": {job(t, "T2", of(issuer), func(j *invoice.Job) { j.IdempotencyKey = "T1" }), invoice.Conflict},
		} {
			r := request(jobID+issuer, want.job)
			got, err := b.generator.Generate(t.Context(), r)
			if err != nil || got.Outcome != want.outcome || got.Invoice.Issuer != issuer || got.Invoice.JobID != made {
				t.Errorf("%s of %q: %+v, %v", jobID, issuer, got, err)
			}
			looked, err := b.generator.Lookup(t.Context(), r, invoice.AlreadyInvoiced)
			if jobID != "its key" && (err != nil || looked.Outcome != want.outcome || *looked.Invoice != *got.Invoice) {
				t.Errorf("%s of %q, looked up: %+v, %v", jobID, issuer, looked, err)
			}
		}
	}
	credit := func(j *invoice.Job) {
		j.CreditsTransactionID = "T1"
		j.Lines[0].Quantity, j.Lines[1].Quantity = decimal(t, "-6"), decimal(t, "-1.5")
	}
	for _, issuer := range []string{"ACME-DE", "ACME-FR"} {
		if got := b.create(t, "credit "+issuer, job(t, "C1", of(issuer), credit)); got.Number != "INV-CN-000001" {
			t.Errorf("%s: %+v", issuer, got)
		}
	}
	b.gapless(t)
	if got := b.Text(t, "SELECT string_agg(issuer || ' ' || invoice_number, ', ' ORDER BY issuer, id) FROM invoices"); got !=
		" INV-000001,  INV-000002, ACME-DE INV-000001, ACME-DE INV-CN-000001, ACME-FR INV-000001, ACME-FR INV-CN-000001" {
		t.Error(got)
	}
}

// Ends are about an invoice of the same issuer, also those that a worker of the release before records, whose jobs name none.
func TestEndsKnowIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE")
	made := b.create(t, "job", job(t, "T1", of("ACME-DE")))
	end := ledger.End{
		JobID: "again", Outcome: invoice.Duplicate, Invoice: made, Reason: invoice.AlreadyInvoiced, Issuer: "ACME-DE", TransactionID: "T1", IdempotencyKey: "T1",
		Worker: "w", Queue: "default", Payload: []byte("{}"), Attempts: 1,
	}
	foreign := end
	foreign.JobID, foreign.Issuer = "foreign", ""
	if err := b.store.Ledger.Record(t.Context(), foreign); !errors.Is(err, invoice.ErrNotInvoiced) {
		t.Errorf("a job of no issuer as a duplicate of ACME-DE's invoice: %v", err)
	}
	if err := b.store.Ledger.Record(t.Context(), end); err != nil {
		t.Error(err)
	}
	// As the release before records it.
	const before = `SELECT problem FROM record_good_ends(ARRAY['old'], ARRAY['duplicate'], ARRAY['T1'], ARRAY['T1'], ARRAY[$1::bigint], ARRAY[NULL::bigint],
		ARRAY['T1'], ARRAY[$2::text], ARRAY[$3::text], ARRAY['lost_race'], ARRAY[NULL], ARRAY['w'], ARRAY[1], ARRAY['x'], ARRAY[false], ARRAY[NULL::float8], 'w', 1)`
	if got := b.Text(t, before, made.ID, made.Fingerprint, made.Number); got != "not_invoiced" {
		t.Errorf("an older worker's end: %s", got)
	}
	bad := end
	bad.JobID, bad.Outcome, bad.Invoice, bad.Reason, bad.Detail = "bad", invoice.Conflict, nil, "", "other content"
	if err := b.store.Ledger.Record(t.Context(), bad); err != nil {
		t.Error(err)
	}
	if got := b.Text(t, "SELECT (SELECT string_agg(job_id || ' ' || issuer, ', ') FROM duplicate_attempts) || ', ' || (SELECT string_agg(job_id || ' ' || issuer, ', ') FROM invoice_jobs)"); got !=
		"again ACME-DE, bad ACME-DE" {
		t.Error(got)
	}
}

func TestUnknownIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refused := func(when string) {
		t.Helper()
		if field := b.refusedField(t, when, job(t, "T1", of("ACME-DE"))); field != "issuer" {
			t.Errorf("%s: invalid for %q", when, field)
		}
	}
	refused("before there are issuers")
	b.openIssuers(t, "ACME-FR")
	refused("beside another one")
	if n := b.Count(t, "SELECT count(*) FROM series"); n != 0 {
		t.Errorf("%d series were made", n)
	}
	b.openIssuers(t, "ACME-DE")
	b.create(t, "job", job(t, "T1", of("ACME-DE"))) // at once
}

// The database itself keeps issuers apart, and what was known of them.
func TestDatabaseKeepsIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.refuses(t, "INSERT INTO issuers (issuer) VALUES ('ACME-DE')", "23000", "issuers_apart")
	b.openIssuers(t, "ACME-DE")
	b.Exec(t, "INSERT INTO issuers (issuer) VALUES ('ACME-FR')") // as an operator may
	b.create(t, "job", job(t, "T1", of("ACME-FR")))
	for statement, want := range map[string][2]string{
		"INSERT INTO issuers (issuer) VALUES ('ACME-DE')":             {"23505", "issuers_pkey"},
		"INSERT INTO issuers (issuer, version) VALUES ('ACME-DE', 3)": {"23505", "issuers_pkey"},
		"INSERT INTO issuers (issuer) VALUES ('acme')":                {"23514", "issuers_issuer_check"},
		"UPDATE issuers SET name = 'x'":                               {"23000", "issuers_append_only"},
		"DELETE FROM issuers":                                         {"23000", "issuers_append_only"},
		"TRUNCATE issuers":                                            {"23000", "issuers_append_only"},
		"INSERT INTO invoice_series (issuer, series, period, kind) VALUES ('NONE', 'INV', '', 'invoice')":                        {"23000", "issuer_known"},
		"INSERT INTO settings (issuer, version, change, actor) VALUES ('NONE', 1, 'x', 'x')":                                     {"23000", "issuer_known"},
		"INSERT INTO imported_invoices (issuer, transaction_id, idempotency_key, invoice_number) VALUES ('NONE', 'T', 'T', '1')": {"23000", "issuer_known"},
		`INSERT INTO series (issuer, series, version, kind, format, period, timezone, origin, change, actor)
			VALUES ('NONE', 'INV', 1, 'invoice', '{number}', 'none', 'UTC', 'command', 'x', 'x')`: {"23000", "issuer_known"},
		// What a worker would write for another issuer, or none.
		`INSERT INTO invoices (issuer, series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, series_version)
			SELECT 'ACME-DE', series, period, 2, 'INV-000002', kind, 'T2', 'T2', 'x', fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, 1 FROM invoices`: {"23000", "invoices_counted"},
		`INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
			SELECT series, period, 2, 'INV-000002', kind, 'T2', 'T2', 'x', fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at FROM invoices`: {"23000", "invoices_counted"},
		"UPDATE invoice_series SET issuer = 'ACME-DE'": {"23000", "invoice_series_forward"},
	} {
		b.refuses(t, statement, want[0], want[1])
	}
}

// Settings and series are an issuer's own.
func TestSettingsOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settle(t, func(s *invoice.Settings) { s.Latest = time.Hour })
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	change := postgres.SettingsChange{Issuer: "ACME-DE", What: "set", By: "ada", To: func(s invoice.Settings) (invoice.Settings, error) {
		if s.Latest != time.Hour {
			t.Errorf("it began with %+v", s)
		}
		s.Strict, s.Earliest = true, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		return s, nil
	}}
	if changed, err := b.store.Settings.Change(t.Context(), &change); err != nil || changed.Version != 2 {
		t.Fatalf("%+v, %v", changed, err)
	}
	if field := b.refusedField(t, "old", job(t, "T1", of("ACME-DE"))); field != "series" && field != "issued_at" {
		t.Errorf("ACME-DE: invalid for %q", field)
	}
	today := issued(time.Now())
	if field := b.refusedField(t, "strict", job(t, "T1", of("ACME-DE"), today)); field != "series" {
		t.Errorf("ACME-DE: invalid for %q", field)
	}
	b.create(t, "of none", job(t, "T1"))
	b.create(t, "of another", job(t, "T1", of("ACME-FR")))
	if _, err := b.store.Series.Change(t.Context(), &postgres.SeriesChange{Issuer: "ACME-DE", Name: "INV", What: "opened", By: "ada", To: func(*invoice.Series) (invoice.Series, error) {
		return invoice.Series{
			Kind: invoice.KindInvoice, Format: "DE{number}", Period: "none", FirstMonth: 1, Timezone: "Europe/Berlin", Date: invoice.DateIssue, FirstNumber: 48214, State: invoice.SeriesOpen,
		}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	if made := b.create(t, "new", job(t, "T1", of("ACME-DE"), today)); made.Number != "DE48214" {
		t.Errorf("ACME-DE: %+v", made)
	}
	if field := b.refusedField(t, "early", job(t, "T2", of("ACME-DE"))); field != "issued_at" {
		t.Errorf("ACME-DE: invalid for %q", field)
	}
	if made := b.create(t, "more", job(t, "T2", of("ACME-FR"))); made.Number != "INV-000002" {
		t.Errorf("ACME-FR: %+v", made)
	}
}

// A paused series is its issuer's: jobs of others go on.
func TestPausedSeriesOfAnIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	for _, issuer := range []string{"", "ACME-DE", "ACME-FR"} {
		b.create(t, "first"+issuer, job(t, "T1", of(issuer)))
	}
	state := func(to invoice.SeriesState) {
		t.Helper()
		_, err := b.store.Series.Change(t.Context(), &postgres.SeriesChange{Issuer: "ACME-DE", Name: "INV", What: "set", By: "ada", To: func(s *invoice.Series) (invoice.Series, error) {
			next := *s
			next.State = to
			return next, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	state(invoice.SeriesPaused)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, queue, payload, state) VALUES ('waits', 'ACME-DE', 'T2', 'T2', 'default', '{}', 'enqueued')`)
	_, err := b.generator.Generate(t.Context(), request("waits", job(t, "T2", of("ACME-DE"))))
	var paused *invoice.PausedError
	if !errors.As(err, &paused) || paused.Series != (invoice.SeriesID{Issuer: "ACME-DE", Name: "INV"}) {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(err.Error(), "`invoicer series resume INV --issuer ACME-DE`") {
		t.Error(err)
	}
	for _, id := range []struct {
		series invoice.SeriesID
		want   bool
	}{{invoice.SeriesID{Name: "INV"}, false}, {invoice.SeriesID{Issuer: "ACME-FR", Name: "INV"}, false}, {paused.Series, true}} {
		if waits, err := b.store.Ledger.Park(t.Context(), "waits", id.series); err != nil || waits != id.want {
			t.Errorf("parked for %s: %t, %v", id.series, waits, err)
		}
	}
	b.create(t, "of none", job(t, "T2"))
	b.create(t, "of another", job(t, "T2", of("ACME-FR")))
	if n, err := b.store.Ledger.Unpark(t.Context()); err != nil || n != 0 {
		t.Errorf("%d jobs go on, %v", n, err)
	}
	state(invoice.SeriesOpen)
	if n, err := b.store.Ledger.Unpark(t.Context()); err != nil || n != 1 {
		t.Errorf("%d jobs go on, %v", n, err)
	}
	b.create(t, "now", job(t, "T2", of("ACME-DE")))
}

// Many ask at once for the same ids of several issuers: each transaction of each issuer has one invoice.
func TestStormOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute }) // on a busy machine
	issuers := []string{"", "ACME-DE", "ACME-FR"}
	b.openIssuers(t, issuers[1:]...)
	stores := []*postgres.DB{b.store, b.open(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute })}
	var storm sync.WaitGroup
	var made atomic.Int64
	for n, store := range stores {
		g := generator(t, store)
		for _, issuer := range issuers {
			for i := range 60 {
				storm.Go(func() {
					id := fmt.Sprint("T", i%40)
					asked := request(fmt.Sprint(n, issuer, i), job(t, id, of(issuer), inSeries(fmt.Sprint("S", i%2))))
					r, err := g.Generate(t.Context(), asked)
					for errors.Is(err, invoice.ErrHeld) { // on a busy machine: a worker puts such a job back
						r, err = g.Generate(t.Context(), asked)
					}
					if err != nil || r.Invoice.Issuer != issuer || r.Invoice.TransactionID != id {
						t.Errorf("%s of %q: %+v, %v", id, issuer, r, err)
					}
					if r.Outcome == invoice.Created {
						made.Add(1)
					}
				})
			}
		}
	}
	storm.Wait()
	if n := made.Load(); n != 120 || b.Count(t, "SELECT count(DISTINCT (issuer, transaction_id)) FROM invoices") != 120 {
		t.Errorf("%d invoices were made, want 120", n)
	}
	b.gapless(t)
}

// Each issuer's series has a chain of its own, also where two write into series of one name in one transaction.
func TestChainsOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	jobs := map[string]*invoice.Job{}
	for _, issuer := range []string{"", "ACME-DE", "ACME-FR"} {
		b.create(t, "first"+issuer, job(t, "T1", of(issuer)))
		for i := range 3 {
			jobs[fmt.Sprint("job", i, issuer)] = job(t, fmt.Sprint("T2", i), of(issuer))
		}
	}
	for id, asked := range b.together(t, jobs, nil) {
		if asked.err != nil || asked.result.Outcome != invoice.Created {
			t.Errorf("%s: %+v", id, asked)
		}
	}
	b.linked(t, 0)
}

// A job that is accepted by SQL names its issuer in its payload.
func TestAcceptOfAnIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payload = `{"issuer":%s,"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}`
	for issuer, want := range map[string]string{`"ACME-DE"`: "ACME-DE", `""`: "", "null": ""} {
		id, err := b.accept(t, fmt.Sprintf(payload, issuer))
		if err != nil {
			t.Errorf("%s: %v", issuer, err)
		} else if got := b.Text(t, "SELECT issuer FROM invoice_jobs WHERE job_id = $1", id); got != want {
			t.Errorf("%s is kept as %q", issuer, got)
		}
		if job, err := invoice.Decode(fmt.Appendf(nil, payload, issuer)); err != nil || job.Issuer != want {
			t.Errorf("%s is decoded as %+v, %v", issuer, job, err)
		}
	}
	for _, issuer := range []string{`"acme"`, "7", `"` + strings.Repeat("A", 33) + `"`} {
		if _, err := b.accept(t, fmt.Sprintf(payload, issuer)); err == nil || !strings.Contains(err.Error(), "issuer must be") {
			t.Errorf("%s is accepted: %v", issuer, err)
		}
		if _, err := invoice.Decode(fmt.Appendf(nil, payload, issuer)); err == nil || !strings.Contains(err.Error(), "issuer must be") {
			t.Errorf("%s is decoded: %v", issuer, err)
		}
	}
}
