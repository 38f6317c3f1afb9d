package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func TestInsertStoresWhatWasAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := job(t, "536365")
	made := b.create(t, "job-1", want)
	if made.Number != "INV-000001" || made.ID == 0 || made.JobID != "job-1" {
		t.Errorf("made %+v", made)
	}
	stored, err := b.store.Invoices.Read(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored.Content()); diff != "" {
		t.Errorf("content changed on its way (-asked +stored):\n%s", diff)
	}
	if stored.Content().Fingerprint() != made.Fingerprint {
		t.Error("the fingerprint can't be computed again from what is stored")
	}
	totals, err := want.Calculate()
	if err != nil {
		t.Fatal(err)
	}
	wantRead := &invoice.Invoice{
		Ref: *made, Slot: invoice.Slot{Series: "INV", Kind: invoice.KindInvoice}, Sequence: 1,
		CreatedAt: stored.CreatedAt, IssuedAt: want.IssuedAt, Currency: want.Currency,
		Details: want.Details, Metadata: want.Metadata,
		Subtotal: totals.Subtotal, Tax: totals.Tax, Total: totals.Total, Payable: totals.Total, Taxes: totals.Taxes,
	}
	for i, line := range want.Lines {
		wantRead.Lines = append(wantRead.Lines, invoice.InvoicedLine{Line: line, Net: totals.LineNets[i]})
	}
	if diff := cmp.Diff(wantRead, stored); diff != "" || stored.CreatedAt.IsZero() {
		t.Errorf("the invoice that is read (-want +got):\n%s", diff)
	}
	// 6 × 2.55 = 15.30 at 20 %, and 1.5 × 3.391 × 0.95 = 4.832175 ≈ 4.83 without a rate.
	if got := b.Text(t, "SELECT subtotal_minor || ' ' || tax_minor || ' ' || total_minor FROM invoices"); got != "2013 306 2319" {
		t.Errorf("subtotal, tax, total: %s", got)
	}
	if got := b.Text(t, "SELECT string_agg(tax_percent || ':' || net_minor || ':' || tax_minor, ',') FROM invoice_taxes"); got != "20:1530:306" {
		t.Errorf("taxes: %s", got)
	}
}

func TestInsertDecidesByWhatIsThere(t *testing.T) {
	t.Parallel()
	other := func(j *invoice.Job) { j.Currency = "EUR" }
	key := func(k string) func(*invoice.Job) { return func(j *invoice.Job) { j.IdempotencyKey = k } }
	for _, c := range []struct {
		name, jobID string
		second      func(t *testing.T) *invoice.Job
		want        invoice.Outcome
		differs     []string
	}{
		{"the same job again", "first", func(t *testing.T) *invoice.Job { return job(t, "T1") }, invoice.Created, nil},
		{"another job, same content", "second", func(t *testing.T) *invoice.Job { return job(t, "T1") }, invoice.Duplicate, nil},
		{"another key, same content", "second", func(t *testing.T) *invoice.Job { return job(t, "T1", key("K")) }, invoice.Duplicate, nil},
		{"another key that is taken, same content", "second", func(t *testing.T) *invoice.Job { return job(t, "T1", key("T2")) }, invoice.Duplicate, nil},
		{"other content", "second", func(t *testing.T) *invoice.Job { return job(t, "T1", other) }, invoice.Conflict, []string{"currency"}},
		{"other content of the same job", "first", func(t *testing.T) *invoice.Job { return job(t, "T1", other) }, invoice.Conflict, []string{"currency"}},
		{"a key of another transaction", "second", func(t *testing.T) *invoice.Job { return job(t, "T3", key("T1")) }, invoice.Conflict, []string{"transaction_id"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first := b.create(t, "first", job(t, "T1"))
			b.create(t, "bystander", job(t, "T2"))
			got, err := b.generator.Generate(t.Context(), request(c.jobID, c.second(t)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != c.want || got.Invoice.ID != first.ID {
				t.Errorf("outcome %s against %s, want %s against %s", got.Outcome, got.Invoice.Number, c.want, first.Number)
			}
			if diff := cmp.Diff(c.differs, got.Differs); diff != "" {
				t.Errorf("differing fields (-want +got):\n%s", diff)
			}
			if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 2 {
				t.Errorf("%d invoices, want 2", n)
			}
			b.gapless(t)
		})
	}
}

// Two shops that count their own orders meet under one id: the conflict says from whom the two jobs come.
func TestConflictOfTwoProducers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	from := func(producer, customer string) func(*invoice.Job) {
		return func(j *invoice.Job) { j.Producer, j.CustomerName = producer, customer }
	}
	b.create(t, "1", job(t, "1001", from("shop-a", "Ada")))
	for producer, want := range map[string]bool{"shop-b": true, "shop-a": false, "": false} {
		got, err := b.generator.Generate(t.Context(), request("2", job(t, "1001", from(producer, "Bert"))))
		if err != nil || got.Outcome != invoice.Conflict {
			t.Fatalf("%q: outcome %s, %v", producer, got.Outcome, err)
		}
		if says := strings.Contains(got.Detail, "; producer shop-a asked for that invoice, and shop-b for this one: "); says != want {
			t.Errorf("a job of %q: %s", producer, got.Detail)
		}
	}
}

func TestConcurrentInsertsNumberWithoutAGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const transactions, writers = 40, 4
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for step := range transactions {
				i := (step + w*transactions/writers) % transactions // in lockstep they would only meet at the transactions
				change := func(j *invoice.Job) {
					if i%4 == 0 { // a credit note
						j.Lines[0].Quantity = j.Lines[0].Quantity.Neg()
					}
				}
				r, err := b.generator.Generate(t.Context(), request(fmt.Sprintf("%d-%d", w, i), job(t, fmt.Sprintf("T%d", i), change)))
				if err != nil || (r.Outcome != invoice.Created && r.Outcome != invoice.Duplicate) {
					t.Errorf("outcome %s, error %v", r.Outcome, err)
				}
			}
		})
	}
	running.Wait()
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != transactions {
		t.Errorf("%d invoices, want %d", n, transactions)
	}
	b.gapless(t)
}

// Two writers that lock different counters pass the look-up both, and only the unique constraint tells them apart.
func TestUniqueViolationIsALostRace(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*invoice.Job){
		"same transaction": func(j *invoice.Job) { j.Series = "OTHER" },
		"same key":         func(j *invoice.Job) { j.Series, j.TransactionID = "OTHER", "T2" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := rig.NewGate(fault.Written)
			b := setup(t, planted(before.Hook))
			// The first stops before its commit until the second stands in front of its own insert.
			first, second := make(chan invoice.Result, 1), make(chan invoice.Result, 1)
			other := generator(t, b.open(t)) // one store would let the second wait for the first
			generate := func(g *invoice.Generator, jobID string, j *invoice.Job, to chan<- invoice.Result) {
				r, err := g.Generate(t.Context(), request(jobID, j))
				if err != nil {
					t.Errorf("the %s: %v", jobID, err)
				}
				to <- r
			}
			go generate(b.generator, "first", job(t, "T1"), first)
			<-before.Reached
			go generate(other, "second", job(t, "T1", change), second)
			b.AwaitBlocked(t)
			before.Open()
			if r := <-first; r.Outcome != invoice.Created {
				t.Errorf("the first: outcome %q", r.Outcome)
			}
			if r := <-second; r.Outcome != invoice.Conflict {
				t.Errorf("the second: outcome %q", r.Outcome)
			}
			if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
				t.Errorf("%d invoices", n)
			}
			b.gapless(t)
		})
	}
}

func TestRollbackUsesNoNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1"))
	cause := errors.New("planted")
	for _, at := range []fault.Point{fault.Numbered, fault.Written} {
		failing := generator(t, b.open(t, planted(func(_ context.Context, p fault.Point) error {
			if p == at {
				return cause
			}
			return nil
		})))
		if _, err := failing.Generate(t.Context(), request("2", job(t, "T2"))); !errors.Is(err, cause) {
			t.Fatalf("error %v", err)
		}
	}
	if made := b.create(t, "3", job(t, "T3")); made.Number != "INV-000002" {
		t.Errorf("number %s after a rollback, want INV-000002", made.Number)
	}
	b.gapless(t)
}

func TestLostCommitReply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, proxy := throughProxy(t, b.way, dropproxy.First("INV-000001")) // which goes with COMMIT
	store := b.open(t, func(o *postgres.Options) { o.URL = url })
	got, err := generator(t, store).Generate(t.Context(), request("job", job(t, "T1")))
	if err != nil || got.Outcome != invoice.Created {
		t.Fatalf("outcome %q, error %v; the row is there", got.Outcome, err)
	}
	if proxy.Dropped() != 1 {
		t.Fatalf("%d replies dropped: the fault didn't happen", proxy.Dropped())
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
		t.Errorf("%d invoices", n)
	}
	b.gapless(t)
}

// The commit is sent, the connection breaks before the server gets it, and the database can't be asked any more.
func TestUnknownCommitOutcomeIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := setup(t, planted(func(_ context.Context, p fault.Point) error {
		if p == fault.Written {
			cancel()
		}
		return nil
	}))
	_, err := b.generator.Generate(ctx, request("job", job(t, "T1")))
	if !errors.Is(err, invoice.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
	if made := b.create(t, "job", job(t, "T1")); made.Number != "INV-000001" {
		t.Errorf("number %s", made.Number)
	}
	b.gapless(t)
}

// A holder of the counter that doesn't go on, like a stopped process, is thrown out by the server, and the next one
// gets the number.
func TestPausedHolderOfTheCounter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	holding := rig.NewGate(fault.Numbered)
	slow := b.open(t, planted(holding.Hook), func(o *postgres.Options) { o.IdleInTransactionTimeout = time.Second })
	paused := make(chan error, 1)
	go func() {
		for {
			_, err := generator(t, slow).Generate(t.Context(), request("paused", job(t, "T1")))
			select {
			case <-holding.Reached:
				paused <- err
				return
			default: // a busy machine was too slow to come that far
			}
		}
	}()
	<-holding.Reached
	if made := b.create(t, "next", job(t, "T2")); made.Number != "INV-000001" {
		t.Errorf("number %s", made.Number)
	}
	holding.Open()
	if err := <-paused; !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("the paused one: %v, want ErrUnavailable", err)
	}
	b.gapless(t)
}

func TestWaitForTheCounterIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout = 50 * time.Millisecond })
	b.create(t, "1", job(t, "T1"))
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it only releases
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM invoice_series FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.generator.Generate(t.Context(), request("2", job(t, "T2"))); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

func TestSeriesHoldsOneKind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// The series of credit notes is taken by hand, as an older configuration may have done.
	if _, err := b.DB.ExecContext(t.Context(), "INSERT INTO invoice_series (series, period, kind) VALUES ('X-CN', '', 'invoice')"); err != nil {
		t.Fatal(err)
	}
	credit := job(t, "C1", func(j *invoice.Job) { j.Series, j.Lines[0].Quantity = "X", j.Lines[0].Quantity.Neg() })
	_, err := b.generator.Generate(t.Context(), request("job", credit))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || invalid.Problems[0].Field != "series" {
		t.Errorf("error %v, want the field series to be named", err)
	}
}

func TestCorruptedCounterIsAnErrorNotASilence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1"))
	for _, statement := range []string{
		"ALTER TABLE invoice_series DISABLE TRIGGER invoice_series_guard",
		"UPDATE invoice_series SET last_number = 0",
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.generator.Generate(t.Context(), request("2", job(t, "T2")))
	if err == nil || errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("error %v, want one that isn't taken for an outage", err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
		t.Errorf("%d invoices", n)
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	b := setup(t)
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{Period: "year", Format: "{series}-{period}-{number:03}"})
	if err != nil {
		t.Fatal(err)
	}
	g := invoice.NewGenerator(b.store.Invoices, numbering)
	var got []string
	for i, year := range []int{2010, 2011, 2010} {
		id := fmt.Sprintf("T%d", i)
		r, err := g.Generate(t.Context(), request(id, job(t, id, func(j *invoice.Job) { j.IssuedAt = time.Date(year, 5, 1, 0, 0, 0, 0, time.UTC) })))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Invoice.Number)
	}
	if diff := cmp.Diff([]string{"INV-2010-001", "INV-2011-001", "INV-2010-002"}, got); diff != "" {
		t.Error(diff)
	}
	b.gapless(t)
}
