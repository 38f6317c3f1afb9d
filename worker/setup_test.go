package worker_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/fault"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/schematest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/worker"
	"invoicer/worker/client"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// bench is a schema and a queue of a test's own, and the worker's parts on them.
type bench struct {
	url, schema, queue string
	db                 *sql.DB
	redisURL           string
	rdb                redis.UniversalClient
	client             *client.Client
	inspector          *asynq.Inspector
	databaseID         string
}

func setup(t *testing.T) *bench {
	t.Helper()
	url, schema := schematest.New(t)
	return newBench(t, url, schema, sandboxtest.Redis(t))
}

func newBench(t *testing.T, url, schema, redisURL string) *bench {
	t.Helper()
	b := &bench{url: url, schema: schema, queue: "q_" + uuid.NewString(), redisURL: redisURL, rdb: connect(t, redisURL)}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = schema
	b.db = stdlib.OpenDB(*config)
	t.Cleanup(func() { b.db.Close() })
	b.client = b.newClient(t, b.rdb)
	b.inspector = asynq.NewInspectorFromRedisClient(b.rdb)
	if b.databaseID, err = b.store(t).DatabaseID(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.ContextTimeoutEnabled = true
	o.PoolSize = 60
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func (b *bench) newClient(t *testing.T, rdb redis.UniversalClient) *client.Client {
	t.Helper()
	c, err := client.New(rdb, client.Options{Queue: b.queue, Producer: "checkout"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bench) store(t *testing.T) *postgres.DB {
	t.Helper()
	return b.faultyStore(t, nil)
}

// faultyStore is a store in whose transactions a hook is planted.
func (b *bench) faultyStore(t *testing.T, hook fault.Hook) *postgres.DB {
	t.Helper()
	store, err := postgres.Open(postgres.Options{URL: b.url + "&application_name=" + b.schema, Schema: b.schema, Fault: hook})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func (b *bench) locker(t *testing.T, rdb redis.UniversalClient) *locking.Locker {
	t.Helper()
	l, err := locking.New(rdb, locking.Options{Prefix: "invoicer:" + b.databaseID + ":", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A running worker and what it tells.
type running struct {
	*worker.Server
	name   string
	events chan worker.Event
	waits  chan worker.Event // those of jobs that wait in hand
}

type parts struct {
	worker.Options
	redis     redis.UniversalClient // of the lock
	generator worker.Generator
	queue     redis.UniversalClient // of the server
	gate      *gate
}

// start runs a worker until the test ends.
func (b *bench) start(t *testing.T, name string, change ...func(*parts)) *running {
	t.Helper()
	return b.startOn(t, b.store(t), name, change...)
}

// startOn is start, with a store that isn't the usual one.
func (b *bench) startOn(t *testing.T, store *postgres.DB, name string, change ...func(*parts)) *running {
	t.Helper()
	r := &running{name: name, events: make(chan worker.Event, 20_000), waits: make(chan worker.Event, 20_000)}
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	standard := config.Default()
	p := parts{redis: b.rdb, queue: b.rdb, generator: invoice.NewGenerator(store.Invoices, numbering), Options: worker.Options{
		Name: name, Concurrency: 8, Queues: map[string]int{b.queue: 1},
		JobTimeout: standard.Worker.JobTimeout, ShutdownTimeout: standard.Worker.ShutdownTimeout, MaxRetry: standard.Worker.MaxRetry,
		LockWait: standard.Lock.Wait, CacheTTL: standard.Idempotency.CacheTTL,
		Observe: func(e worker.Event) {
			if e.What == worker.Waits {
				r.waits <- e
				return
			}
			r.events <- e
		},
	}}
	for _, f := range change {
		f(&p)
	}
	if p.gate != nil {
		p.Fault = p.gate.hook
	}
	h, err := worker.NewHandler(p.generator, b.locker(t, p.redis), store.Ledger, p.Options)
	if err != nil {
		t.Fatal(err)
	}
	if r.Server, err = worker.NewServer(p.queue, h); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.gate != nil {
			p.gate.release() // or a test that fails early would wait for its own job
		}
		r.Shutdown()
	})
	return r
}

// await returns the next event of the kind; the others are passed over.
func (r *running) await(t *testing.T, what string) worker.Event {
	t.Helper()
	for {
		select {
		case e := <-r.events:
			if e.What == what {
				return e
			}
			t.Logf("%s: %s of job %s: %s %v", r.name, e.What, e.JobID, e.Outcome, e.Err)
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: no event %q", r.name, what)
		}
	}
}

// first returns the first thing that happened but a commit, to which no job comes in any other way.
func (r *running) first(t *testing.T) worker.Event {
	t.Helper()
	for {
		select {
		case e := <-r.events:
			if e.What != worker.Invoiced {
				return e
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nothing happened", r.name)
		}
	}
}

// poll asks until the answer is yes, where nothing tells of itself.
func poll(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !yes(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// awaitBlocked returns once one of the workers' sessions waits for another one's lock.
func (b *bench) awaitBlocked(t *testing.T) {
	t.Helper()
	poll(t, "a session that waits", func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", b.schema) > 0
	})
}

// ended waits for the next job's end.
func (r *running) ended(t *testing.T) worker.Event {
	t.Helper()
	return r.await(t, worker.Ended)
}

// job is a valid job of one line; change it to taste.
func job(transactionID string, change ...func(*invoice.Job)) *invoice.Job {
	j := &invoice.Job{
		TransactionID: transactionID, IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
		Lines: []invoice.Line{{SKU: "85123A", Quantity: 6_000_000, UnitPrice: 2_550_000}},
	}
	for _, f := range change {
		f(j)
	}
	return j
}

func (b *bench) enqueue(t *testing.T, j *invoice.Job) string {
	t.Helper()
	receipt, err := b.client.Enqueue(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.JobID
}

// enqueueRaw sends bytes past every check of ours, as a foreign producer may.
func (b *bench) enqueueRaw(t *testing.T, taskType string, payload []byte, o ...asynq.Option) string {
	t.Helper()
	info, err := asynq.NewClientFromRedisClient(b.rdb).EnqueueContext(t.Context(), asynq.NewTask(taskType, payload),
		append([]asynq.Option{asynq.Queue(b.queue), asynq.MaxRetry(1000), asynq.Retention(time.Hour)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

func (b *bench) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := b.db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// tally fails the test unless that many invoices, duplicates and failed jobs are on record, numbered without a gap.
func (b *bench) tally(t *testing.T, invoices, duplicates, failed int) {
	t.Helper()
	got := fmt.Sprintf("%d invoices, %d duplicates, %d failed, %d numbers",
		b.count(t, "SELECT count(*) FROM invoices"), b.count(t, "SELECT count(*) FROM duplicate_attempts"),
		b.count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'"),
		b.count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series"))
	want := fmt.Sprintf("%d invoices, %d duplicates, %d failed, %d numbers", invoices, duplicates, failed, invoices)
	if got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if n := b.count(t, "SELECT count(*) FROM duplicate_attempts d LEFT JOIN invoices i ON i.id = d.invoice_id AND i.transaction_id = d.transaction_id WHERE i.id IS NULL"); n != 0 {
		t.Errorf("%d duplicates name no invoice of their transaction", n)
	}
}

// A gate stops the first job that comes to a point until it is opened, and lets all others pass.
type gate struct {
	at      fault.Point
	taken   atomic.Bool
	reached chan struct{}
	open    chan struct{}
	once    sync.Once
	result  error // what the point returns to the stopped job
}

func newGate(at fault.Point) *gate {
	return &gate{at: at, reached: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) hook(_ context.Context, p fault.Point) error {
	if p != g.at || !g.taken.CompareAndSwap(false, true) {
		return nil
	}
	close(g.reached)
	<-g.open
	return g.result
}

// await returns once a job stands at the gate.
func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(30 * time.Second):
		t.Fatalf("no job came to %s", g.at)
	}
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

func withGate(g *gate) func(*parts) { return func(p *parts) { p.gate = g } }
