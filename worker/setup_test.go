package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/worker"
	"invoicer/worker/client"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A site is a schema and a queue of a test's own, and the worker's parts on them.
type site struct {
	*rig.Rig
	client     *client.Client
	databaseID string
}

func setup(t *testing.T) *site {
	t.Helper()
	return newSite(t, rig.New(t))
}

func newSite(t *testing.T, r *rig.Rig) *site {
	t.Helper()
	b := &site{Rig: r, databaseID: r.Text(t, "SELECT id FROM database_identity")}
	b.client = b.newClient(t, b.Redis)
	return b
}

func (b *site) newClient(t *testing.T, rdb redis.UniversalClient) *client.Client {
	t.Helper()
	c, err := client.New(rdb, client.Options{Queue: b.Queue, Producer: "checkout"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *site) store(t *testing.T) *postgres.DB {
	t.Helper()
	return b.faultyStore(t, nil)
}

// faultyStore is a store in whose transactions a hook is planted.
func (b *site) faultyStore(t *testing.T, hook fault.Hook) *postgres.DB {
	t.Helper()
	store, err := postgres.Open(postgres.Options{URL: b.Named(t), Schema: b.Schema, Fault: hook})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func (b *site) locker(t *testing.T, rdb redis.UniversalClient) *locking.Locker {
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
	gate      *rig.Gate
}

// start runs a worker until the test ends.
func (b *site) start(t *testing.T, name string, change ...func(*parts)) *running {
	t.Helper()
	return b.startOn(t, b.store(t), name, change...)
}

// startOn is start, with a store that isn't the usual one.
func (b *site) startOn(t *testing.T, store *postgres.DB, name string, change ...func(*parts)) *running {
	t.Helper()
	r := &running{name: name, events: make(chan worker.Event, 20_000), waits: make(chan worker.Event, 20_000)}
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	standard := config.Default()
	p := parts{redis: b.Redis, queue: b.Redis, generator: invoice.NewGenerator(store.Invoices, numbering), Options: worker.Options{
		Name: name, Concurrency: 8, Queues: map[string]int{b.Queue: 1},
		JobTimeout: standard.Worker.JobTimeout, ShutdownTimeout: standard.Worker.ShutdownTimeout, MaxRetry: standard.Worker.MaxRetry,
		LockWait: standard.Lock.Wait, CacheTTL: func() time.Duration { return standard.Idempotency.CacheTTL },
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
		p.Fault = p.gate.Hook
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
			p.gate.Open() // or a test that fails early would wait for its own job
		}
		r.Shutdown()
	})
	return r
}

// await returns the next event of the kind; the others are passed over.
func (r *running) await(t *testing.T, what string) worker.Event {
	t.Helper()
	return rig.Find(t, r.events, fmt.Sprintf("an event %q of %s", what, r.name), func(e worker.Event) bool {
		if e.What != what {
			t.Logf("%s: %s of job %s: %s %v", r.name, e.What, e.JobID, e.Outcome, e.Err)
		}
		return e.What == what
	})
}

// first returns the first thing that happened but a commit, to which no job comes in any other way.
func (r *running) first(t *testing.T) worker.Event {
	t.Helper()
	return rig.Find(t, r.events, "anything of "+r.name, func(e worker.Event) bool { return e.What != worker.Invoiced })
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
		Lines: []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	}
	for _, f := range change {
		f(j)
	}
	return j
}

func (b *site) enqueue(t *testing.T, j *invoice.Job) string {
	t.Helper()
	receipt, err := b.client.Enqueue(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.JobID
}

// enqueueRaw sends bytes past every check of ours, as a foreign producer may.
func (b *site) enqueueRaw(t *testing.T, taskType string, payload []byte, o ...asynq.Option) string {
	t.Helper()
	info, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), asynq.NewTask(taskType, payload),
		append([]asynq.Option{asynq.Queue(b.Queue), asynq.MaxRetry(1000), asynq.Retention(time.Hour)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

// tally fails the test unless that many invoices, duplicates and failed jobs are on record, numbered without a gap.
func (b *site) tally(t *testing.T, invoices, duplicates, failed int) {
	t.Helper()
	got := fmt.Sprintf("%d invoices, %d duplicates, %d failed, %d numbers",
		b.Count(t, "SELECT count(*) FROM invoices"), b.Count(t, "SELECT count(*) FROM duplicate_attempts"),
		b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'"),
		b.Count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series"))
	want := fmt.Sprintf("%d invoices, %d duplicates, %d failed, %d numbers", invoices, duplicates, failed, invoices)
	if got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts d LEFT JOIN invoices i ON i.id = d.invoice_id AND i.transaction_id = d.transaction_id WHERE i.id IS NULL AND d.imported_id IS NULL"); n != 0 {
		t.Errorf("%d duplicates name no invoice of their transaction", n)
	}
}

func withGate(g *rig.Gate) func(*parts) { return func(p *parts) { p.gate = g } }
