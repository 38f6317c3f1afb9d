package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"invoicer/internal/fault"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// hold runs statements in a transaction that stays open until it is released.
func (b *site) hold(t *testing.T, statements ...string) *sql.Tx {
	t.Helper()
	tx, err := b.DB.BeginTx(t.Context(), nil)
	for _, statement := range statements {
		if err == nil {
			_, err = tx.ExecContext(t.Context(), statement)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // unless the test has ended it
	return tx
}

func inSeries(series string) func(*invoice.Job) {
	return func(j *invoice.Job) { j.Series = series }
}

// createAll makes the invoices of n transactions at once. What is held too long, as on a busy machine, is asked for again, as a worker does.
func (b *site) createAll(t *testing.T, prefix string, n int, change ...func(*invoice.Job)) {
	t.Helper()
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			id := fmt.Sprintf("%s-%d", prefix, i)
			asked := request(b.id(id), job(t, id, change...))
			r, err := b.generator.Generate(t.Context(), asked)
			for errors.Is(err, invoice.ErrHeld) {
				r, err = b.generator.Generate(t.Context(), asked)
			}
			if err != nil || r.Outcome != invoice.Created {
				t.Errorf("%s: %s, %v", id, r.Outcome, err)
			}
		})
	}
	running.Wait()
}

// An asking asks for a transaction's invoice in the background, again whenever something of it is held.
type asking struct{ done chan error }

func (b *site) ask(t *testing.T, id string, change ...func(*invoice.Job)) *asking {
	t.Helper()
	a := &asking{done: make(chan error, 1)}
	r := request(b.id(id), job(t, id, change...))
	r.Payload = []byte("{}") // as the ledger has it
	go func() {
		_, err := b.generator.Generate(t.Context(), r)
		for errors.Is(err, invoice.ErrHeld) {
			_, err = b.generator.Generate(t.Context(), r)
		}
		a.done <- err
	}()
	return a
}

// waits fails the test if there is an answer already.
func (a *asking) waits(t *testing.T) {
	t.Helper()
	select {
	case err := <-a.done:
		t.Fatalf("it didn't wait: %v", err)
	default:
	}
}

func (a *asking) ends(t *testing.T) {
	t.Helper()
	if err := <-a.done; err != nil {
		t.Error(err)
	}
}

// What somebody holds stops those that need it, and nobody else.
func TestWhatIsHeldStopsOnlyThoseWhoNeedIt(t *testing.T) {
	t.Parallel()
	const uncommitted = `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
		VALUES ('OTHER', '', 1, 'OTHER-000001', 'invoice', '%s', '%s', 'stranger', 'v1:' || repeat('0', 64), 'GBP', 1, 0, 1, now())`
	for _, c := range []struct {
		name   string
		hold   []string
		needs  func(*invoice.Job)
		except string // which series isn't free either
	}{
		{"a counter", []string{"SELECT FROM invoice_series WHERE series = 'A' FOR UPDATE"}, inSeries("A"), ""},
		{"a counter that isn't committed", []string{"INSERT INTO invoice_series (series, period, kind) VALUES ('NEW', '', 'invoice')"}, inSeries("NEW"), ""},
		{"the creation of a counter", []string{"SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.NEW', 0))"}, inSeries("NEW"), ""},
		{"the end of a job", []string{"SELECT pg_advisory_xact_lock(hashtextextended('held@' || current_schema(), 0))"}, inSeries("B"), ""},
		{"a transaction's invoice", []string{fmt.Sprintf(uncommitted, "held", "other")}, inSeries("B"), "OTHER"},
		{"a key's invoice", []string{fmt.Sprintf(uncommitted, "other", "held")}, inSeries("B"), "OTHER"},
		{"a row of the ledger", []string{"SELECT FROM invoice_jobs FOR UPDATE"}, inSeries("B"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.openSeries(t, "A", "B", "INV", "OTHER")
			b.Exec(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ($1, 'held', 'held', 'q', '{}', 'enqueued')", b.id("held"))
			tx := b.hold(t, c.hold...)
			held := b.ask(t, "held", c.needs)
			for round := range 5 {
				b.createAll(t, fmt.Sprintf("B%d", round), 20, inSeries("B"))
				b.createAll(t, fmt.Sprintf("N%d", round), 3, inSeries(fmt.Sprintf("N%d", round))) // new ones
				held.waits(t)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			held.ends(t)
			if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 116 {
				t.Errorf("%d invoices, want 116", n)
			}
			b.gapless(t)
		})
	}
}

// Where very many series are held, those that aren't go on, new ones too.
func TestManyHeldSeries(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = 10*time.Minute, 10*time.Minute })
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("H%d", i))
	}
	b.openSeries(t, append(names, "B")...)
	tx := b.hold(t, "SELECT FROM invoice_series WHERE series LIKE 'H%' FOR UPDATE")
	var all []*asking
	for _, name := range names {
		all = append(all, b.ask(t, name, inSeries(name)))
	}
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
	for b.Count(t, waiting, b.Schema) < min(b.store.Invoices.MostWaiting(), 20) { // as many as there may be connections
	}
	for round := range 5 {
		b.createAll(t, fmt.Sprintf("B%d", round), 20, inSeries("B"))
		b.createAll(t, fmt.Sprintf("N%d", round), 3, inSeries(fmt.Sprintf("N%d", round)))
	}
	for _, a := range all {
		a.waits(t)
	}
	if n := b.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", b.Schema); n > 15 {
		t.Errorf("%d connections of 20 are taken", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		a.ends(t)
	}
	b.gapless(t)
}

// Of those that need what is held for long, only a quarter of the callers waits: the others are told at once.
func TestNotAllWaitForWhatIsHeld(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) {
		o.Callers, o.LockTimeout, o.StatementTimeout = 40, 10*time.Minute, 10*time.Minute
	})
	b.openSeries(t, "A", "B")
	tx := b.hold(t, "SELECT FROM invoice_series WHERE series = 'A' FOR UPDATE")
	ended := make(chan error, 40)
	for i := range 40 {
		go func() {
			id := fmt.Sprintf("A%d", i)
			_, err := b.generator.Generate(t.Context(), request(b.id(id), job(t, id, inSeries("A"))))
			ended <- err
		}()
	}
	for range 30 {
		if err := <-ended; !errors.Is(err, invoice.ErrHeld) || !errors.Is(err, invoice.ErrUnavailable) {
			t.Errorf("error %v, want ErrHeld", err)
		}
	}
	b.createAll(t, "B", 20, inSeries("B"))
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices WHERE series = 'A'"); n != 10 {
		t.Errorf("%d of ten that waited were written", n)
	}
	b.gapless(t)
}

// What was held for long takes the common way again once it is free.
func TestBackInTheCommonLane(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout = 100 * time.Millisecond })
	b.openSeries(t, "A")
	tx := b.hold(t, "SELECT FROM invoice_series WHERE series = 'A' FOR UPDATE")
	if _, err := b.generator.Generate(t.Context(), request(b.id("A1"), job(t, "A1", inSeries("A")))); !errors.Is(err, invoice.ErrHeld) {
		t.Fatalf("error %v, want ErrHeld", err)
	}
	if b.store.Invoices.Detours() == 0 {
		t.Error("nobody remembers what is held")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	b.create(t, b.id("A1"), job(t, "A1", inSeries("A")))
	if n := b.store.Invoices.Detours(); n != 0 {
		t.Errorf("%d things are still taken for held", n)
	}
}

// Processes that write to the same series, old and new ones, wait for each other and get on.
func TestProcessesShareSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	processes := make([]site, 3)
	for p := range processes {
		processes[p] = *b
		processes[p].store = b.open(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, 2*time.Minute })
		processes[p].generator = generator(t, processes[p].store)
	}
	for round := range 5 {
		var running sync.WaitGroup
		for p := range processes {
			for _, series := range []string{"S0", "S1", fmt.Sprint("N", round), fmt.Sprint("M", round)} {
				running.Go(func() {
					processes[p].createAll(t, fmt.Sprintf("P%d-%d-%s", p, round, series), 10, inSeries(series))
				})
			}
		}
		running.Wait()
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 600 {
		t.Errorf("%d invoices, want 600", n)
	}
	b.gapless(t)
}

// Fault points are hit in whichever lane a draft is written.
func TestFaultPointsInALaneOfItsOwn(t *testing.T) {
	t.Parallel()
	var hit []fault.Point
	b := setup(t, planted(func(_ context.Context, p fault.Point) error {
		hit = append(hit, p)
		return nil
	}))
	if _, err := b.generator.Generate(t.Context(), request(b.id("job"), job(t, "T1", inSeries("NEW")))); err != nil {
		t.Fatal(err)
	}
	if len(hit) != 2 || hit[0] != fault.Numbered || hit[1] != fault.Written {
		t.Errorf("hit %v", hit)
	}
}
