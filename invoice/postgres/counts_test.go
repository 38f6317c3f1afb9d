package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// counted fails the test unless what is counted for each producer equals what is on record.
func (b *site) counted(t *testing.T) {
	t.Helper()
	got := b.Text(t, `SELECT coalesce(string_agg(concat_ws(' ', quote_literal(producer), ended, duplicates, lost_races, conflicts), E'\n' ORDER BY producer), '') FROM (
		SELECT producer, sum(ended) AS ended, sum(duplicates) AS duplicates, sum(lost_races) AS lost_races, sum(conflicts) AS conflicts
		FROM producer_counts GROUP BY producer) AS sums`)
	want := b.Text(t, `SELECT coalesce(string_agg(concat_ws(' ', quote_literal(producer), ended, duplicates, lost_races, conflicts), E'\n' ORDER BY producer), '') FROM (
		SELECT producer, count(*) AS ended, count(*) FILTER (WHERE what LIKE 'duplicate%') AS duplicates,
			count(*) FILTER (WHERE what = 'duplicate lost_race') AS lost_races, count(*) FILTER (WHERE what = 'conflict') AS conflicts
		FROM (
			SELECT coalesce(producer, '') AS producer, 'created' AS what FROM invoices
			UNION ALL SELECT coalesce(producer, ''), 'duplicate ' || reason FROM duplicate_attempts
			UNION ALL SELECT coalesce(producer, ''), outcome FROM invoice_jobs WHERE state = 'failed'
		) AS ends GROUP BY producer) AS sums`)
	if got != want {
		t.Errorf("counted is\n%s\nand on record\n%s", got, want)
	}
	if n := b.Count(t, "SELECT count(*) FROM producer_counts WHERE window_start <> date_bin('5 minutes', window_start, 'epoch') OR window_start > now()"); n > 0 {
		t.Errorf("%d windows that aren't five minutes of the clock", n)
	}
}

func by(producer string) func(*invoice.Job) {
	return func(j *invoice.Job) { j.Producer = producer }
}

// Whatever happens between the writing of rows and the commit, ends are counted as often as they are recorded: with an error, a
// panic, a session that is killed, and a reply to COMMIT that is lost.
func TestCountsEqualWhatIsOnRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openSeries(t, "INV", "INV-CN")
	var n atomic.Int64
	hook := func(ctx context.Context, _ fault.Point) error {
		switch n.Add(1) % 7 {
		case 1:
			return errors.New("planted")
		case 3:
			panic("planted")
		case 5:
			_, err := b.DB.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", b.Schema)
			return err
		}
		return nil
	}
	stores := []*postgres.DB{
		b.open(t, planted(hook), func(o *postgres.Options) { o.Worker = "faulty" }), b.store,
		b.open(t, func(o *postgres.Options) { o.Worker = "sound" }),
	}
	var all sync.WaitGroup
	for i := range 60 {
		store := stores[i%len(stores)]
		all.Go(func() {
			producer := []string{"", "checkout", "cron"}[i%4%3]
			j := job(t, fmt.Sprintf("T%d", i/2), by(producer)) // each is asked for twice
			if i%10 == 9 {
				j.Lines[0].Quantity = decimal(t, "7") // a conflict, or what the other one conflicts with
			}
			if err := b.bring(t, store, fmt.Sprintf("job-%d", i), j); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := b.Count(t, "SELECT count(*) FROM invoices"); got != 30 {
		t.Errorf("%d invoices, want 30", got)
	}
	b.counted(t)
	b.gapless(t)
}

// bring takes a job to its recorded end, as a worker does: again after each error. It records the end twice.
func (b *site) bring(t *testing.T, store *postgres.DB, id string, j *invoice.Job) error {
	t.Helper()
	g := generator(t, store)
	var err error
	recorded := 0
	for deadline := time.Now().Add(rig.Patience); time.Now().Before(deadline); {
		var r invoice.Result
		if r, err = g.Generate(t.Context(), request(b.id(id), j)); err != nil {
			continue
		}
		if r.Recorded {
			return nil
		}
		e := ledger.End{
			JobID: b.id(id), Outcome: r.Outcome, Invoice: r.Invoice, Reason: r.Reason, Detail: r.Detail, TransactionID: j.TransactionID,
			IdempotencyKey: j.IdempotencyKey, Producer: j.Producer, Worker: "w1", Queue: "default", Payload: []byte("{}"), Attempts: 1,
		}
		if err = store.Ledger.Record(t.Context(), e); err != nil {
			continue
		}
		if recorded++; recorded == 2 {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", id, err)
}

// The reply to a COMMIT, and to the record of a duplicate, is lost, and the jobs are brought again.
func TestCountsAfterALostReply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	invoiced, recorded := dropproxy.First("INV-000001"), dropproxy.First("record_ends_with_differences")
	way, proxy := throughProxy(t, b.way, func(request []byte) bool { return invoiced(request) || recorded(request) })
	store := b.open(t, func(o *postgres.Options) { o.URL = way })
	for _, id := range []string{"first", "second"} {
		if err := b.bring(t, store, id, job(t, "T1", by("checkout"))); err != nil {
			t.Fatal(err)
		}
	}
	if proxy.Dropped() != 2 {
		t.Errorf("%d replies were lost, want 2", proxy.Dropped())
	}
	if got := b.Text(t, "SELECT concat_ws(' ', sum(ended), sum(duplicates)) FROM producer_counts WHERE producer = 'checkout'"); got != "2 1" {
		t.Errorf("ended and duplicates are %s, want 2 1", got)
	}
	b.counted(t)
}

// A transaction that stands still with a producer's row changed keeps no other end of that producer waiting.
func TestCountsDontWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, b.id("first"), job(t, "T1", by("checkout")))
	gate := rig.NewGate(fault.Written)
	b.store.Invoices.Plant(gate.Hook)
	var slow sync.WaitGroup
	slow.Go(func() {
		if _, err := b.generator.Generate(t.Context(), request(b.id("slow"), job(t, "T2", by("checkout")))); err != nil {
			t.Error(err)
		}
	})
	gate.Await(t)
	duplicate, failed := end(b.id("second"), invoice.Duplicate, made), end(b.id("third"), invoice.Invalid, nil)
	for _, e := range []ledger.End{duplicate, failed} {
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	if n := b.Count(t, "SELECT sum(ended) FROM producer_counts WHERE producer = 'checkout'"); n != 3 {
		t.Errorf("%d ends are counted while another one isn't committed, want 3", n)
	}
	gate.Open()
	slow.Wait()
	b.counted(t)
}

// A job that fails again after it was replayed has ended twice; one whose end is only recorded again has not.
func TestCountsOfAReplayedJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := end("job", invoice.Conflict, nil)
	for range 2 {
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	b.counted(t)
	b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', outcome = NULL, reason = NULL, dispatch = 1 WHERE job_id = 'job'")
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := b.Text(t, "SELECT concat_ws(' ', sum(ended), sum(conflicts)) FROM producer_counts"); got != "2 2" {
		t.Errorf("ended and conflicts are %s, want 2 2", got)
	}
}

// An invoice says who asked for it, when that was accepted, and which version made it.
func TestInvoiceSaysWhoAskedAndWhen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store := b.open(t, func(o *postgres.Options) { o.Version = "v1.2.3" })
	g := generator(t, store)
	accepted, direct := job(t, "T1", by("checkout")), job(t, "T2", func(j *invoice.Job) { j.CustomerID, j.CustomerName = "", "" })
	payload, err := accepted.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := b.Text(t, "SELECT accept($1)", string(payload))
	b.Exec(t, "UPDATE invoice_jobs SET accepted_at = '2026-03-01 12:00:00.123456+00'")
	r := request(id, accepted)
	r.Payload = payload
	for _, r := range []invoice.Request{r, request("direct", direct)} {
		if result, err := g.Generate(t.Context(), r); err != nil || result.Outcome != invoice.Created {
			t.Fatalf("%+v, error %v", result, err)
		}
	}
	if !b.Is(t, `SELECT producer = 'checkout' AND accepted_at = '2026-03-01 12:00:00.123456+00' AND worker_version = 'v1.2.3' AND content_hash = $1
		FROM invoices WHERE transaction_id = 'T1'`, accepted.ContentHash()) {
		t.Error(b.Text(t, "SELECT concat_ws(' ', producer, accepted_at, worker_version, content_hash) FROM invoices WHERE transaction_id = 'T1'"))
	}
	if !b.Is(t, "SELECT producer IS NULL AND accepted_at IS NULL AND content_hash IS NULL FROM invoices WHERE transaction_id = 'T2'") {
		t.Error(b.Text(t, "SELECT concat_ws(' ', producer, accepted_at, content_hash) FROM invoices WHERE transaction_id = 'T2'"))
	}
}
