package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/worker"
	"invoicer/worker/dispatch"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A site is a schema and a queue of a test's own, and the ledger's parts on them.
type site struct {
	*rig.Rig
	store      *postgres.DB
	databaseID string
}

func setup(t testing.TB) *site {
	t.Helper()
	return newSite(t, sandboxtest.Redis(t))
}

// private is a site with a Redis of its own, to be killed and emptied.
func private(t *testing.T) (*site, *servers.Server) {
	t.Helper()
	server := sandboxtest.PrivateRedis(t)
	return newSite(t, server.URL), server
}

func newSite(t testing.TB, redisURL string) *site {
	t.Helper()
	b := &site{Rig: rig.On(t, rig.NewDatabase(t), redisURL)}
	b.store = b.open(t, "")
	b.databaseID = b.Text(t, "SELECT id FROM database_identity")
	return b
}

// open opens one more store, with settings of its own if any.
func (b *site) open(t testing.TB, settings string) *postgres.DB {
	t.Helper()
	address := b.URL
	if settings != "" {
		address = rig.With(t, address, "options", settings)
	}
	store, err := postgres.Open(postgres.Options{URL: address, Schema: b.Schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// accept has the ledger accept jobs for the transactions T<from> to T<to>.
func (b *site) accept(t testing.TB, from, to int) {
	t.Helper()
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state)
SELECT gen_random_uuid(), t, t, $1, format('{"transaction_id":"%s","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":6,"unit_price":"2.55"}]}', t), 'accepted'
FROM (SELECT 'T' || n AS t FROM generate_series($2::int, $3::int) AS n) AS transactions`, b.Queue, from, to)
}

// events are what a part tells.
type events[E any] struct {
	name string
	c    chan E
	what func(E) string
}

func (e *events[E]) observe(one E) { e.c <- one }

// await returns the next event of the kind; the others are passed over.
func (e *events[E]) await(t testing.TB, what string) E {
	t.Helper()
	return rig.Find(t, e.c, fmt.Sprintf("an event %q of %s", what, e.name), func(one E) bool { return e.what(one) == what })
}

// none fails the test if anything of the kind was told so far.
func (e *events[E]) none(t testing.TB, what string) {
	t.Helper()
	for {
		select {
		case one := <-e.c:
			if e.what(one) == what {
				t.Errorf("%s: %+v", e.name, one)
			}
		default:
			return
		}
	}
}

type ledgerEvents = events[dispatch.Event]

func newLedgerEvents(name string) *ledgerEvents {
	return &ledgerEvents{name: name, c: make(chan dispatch.Event, 50_000), what: func(e dispatch.Event) string { return e.What }}
}

// running runs something until it is stopped, at the latest when the test ends.
func running(t testing.TB, run func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var done sync.WaitGroup
	done.Go(func() { run(ctx) })
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

type relayParts struct {
	dispatch.RelayOptions
	outbox dispatch.Outbox
	redis  redis.UniversalClient
}

func (b *site) relay(t testing.TB, change ...func(*relayParts)) *ledgerEvents {
	t.Helper()
	told := newLedgerEvents("relay")
	p := relayParts{outbox: b.store.Ledger, redis: b.Redis, RelayOptions: dispatch.RelayOptions{Observe: told.observe, Retention: 10 * time.Minute}}
	for _, f := range change {
		f(&p)
	}
	running(t, dispatch.NewRelay(p.outbox, p.redis, p.RelayOptions).Run)
	return told
}

// relayed waits until the relays have put so many jobs into queues.
func relayed(t testing.TB, jobs int, relays ...*ledgerEvents) {
	t.Helper()
	late := time.After(rig.Patience)
	for i := 0; jobs > 0; i++ {
		select {
		case e := <-relays[i%len(relays)].c:
			if e.What == dispatch.Relayed {
				jobs -= e.Jobs
			}
		case <-late:
			t.Fatalf("%d jobs were never relayed", jobs)
		case <-time.After(time.Millisecond): // then the next one
		}
	}
}

type reconcilerParts struct {
	dispatch.ReconcilerOptions
	database dispatch.Database
	redis    redis.UniversalClient
}

// newReconciler returns one that looks when its user says so, by Round. A round may take ten times its interval.
func (b *site) newReconciler(t testing.TB, name string, change ...func(*reconcilerParts)) (*dispatch.Reconciler, *ledgerEvents) {
	t.Helper()
	told := newLedgerEvents(name)
	p := reconcilerParts{database: b.store.Ledger, redis: b.Redis, ReconcilerOptions: dispatch.ReconcilerOptions{
		Name: name, Queues: []string{b.Queue}, DatabaseID: b.databaseID, Observe: told.observe,
		Lease: 2 * time.Second, DeadAfter: 6 * time.Second, Settled: 500 * time.Millisecond,
	}}
	for _, f := range change {
		f(&p)
	}
	r, err := dispatch.NewReconciler(p.database, p.redis, p.ReconcilerOptions)
	if err != nil {
		t.Fatal(err)
	}
	return r, told
}

// reconciler runs one that looks often.
func (b *site) reconciler(t testing.TB, name string, change ...func(*reconcilerParts)) (told *ledgerEvents, stop func()) {
	t.Helper()
	often := func(p *reconcilerParts) { p.Interval = 200 * time.Millisecond }
	r, told := b.newReconciler(t, name, append([]func(*reconcilerParts){often}, change...)...)
	return told, running(t, r.Run)
}

type workerEvents = events[worker.Event]

func (b *site) worker(t testing.TB, change ...func(*worker.Options)) *workerEvents {
	t.Helper()
	told := &workerEvents{name: "worker", c: make(chan worker.Event, 50_000), what: func(e worker.Event) string { return e.What }}
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	locker, err := locking.New(b.Redis, locking.Options{Prefix: "invoicer:" + b.databaseID + ":", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	standard := config.Default()
	o := worker.Options{
		Name: "w", Concurrency: standard.Worker.Concurrency, Queues: map[string]int{b.Queue: 1}, Observe: told.observe,
		JobTimeout: standard.Worker.JobTimeout, ShutdownTimeout: standard.Worker.ShutdownTimeout, MaxRetry: standard.Worker.MaxRetry,
		LockWait: standard.Lock.Wait, CacheTTL: func() time.Duration { return standard.Idempotency.CacheTTL },
	}
	for _, f := range change {
		f(&o)
	}
	h, err := worker.NewHandler(invoice.NewGenerator(b.store.Invoices, numbering), locker, b.store.Ledger, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := worker.NewServer(b.Redis, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return told
}

// invoiced waits until every accepted job has its invoice, each exactly one, numbered without a gap.
func (b *site) invoiced(t testing.TB, jobs int) {
	t.Helper()
	for deadline, done := time.Now().Add(rig.Patience), 0; ; { // which begins anew with each job that is done
		n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'done'")
		if n == jobs {
			break
		}
		if n > done {
			deadline, done = time.Now().Add(rig.Patience), n
		}
		if time.Now().After(deadline) {
			t.Fatalf("jobs: %s", b.Text(t, "SELECT json_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM invoice_jobs GROUP BY state) AS x"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	got := b.Text(t, `SELECT format('%s invoices of %s transactions and %s jobs, %s numbers, %s duplicates',
		count(*), count(DISTINCT transaction_id), count(DISTINCT job_id), (SELECT sum(last_number) FROM invoice_series), (SELECT count(*) FROM duplicate_attempts)) FROM invoices`)
	if want := fmt.Sprintf("%[1]d invoices of %[1]d transactions and %[1]d jobs, %[1]d numbers, 0 duplicates", jobs); got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

// dispatches fails the test unless so many jobs were dispatched so often.
func (b *site) dispatches(t testing.TB, jobs, often int) {
	t.Helper()
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE dispatch = $1", often); n != jobs {
		t.Errorf("%d jobs were dispatched %d times, want %d: %s", n, often, jobs,
			b.Text(t, "SELECT json_object_agg(dispatch, n) FROM (SELECT dispatch, count(*) AS n FROM invoice_jobs GROUP BY dispatch) AS x"))
	}
}

// pending are the tasks that wait in the queue.
func (b *site) pending(t testing.TB) []string {
	t.Helper()
	ids, err := b.Redis.LRange(t.Context(), b.Key("pending"), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
