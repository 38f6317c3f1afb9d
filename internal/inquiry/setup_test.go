package inquiry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/config"
	"invoicer/internal/fault"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/worker"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A site is an installation of a test's own, with a reporter that asks it.
type site struct {
	*rig.Rig
	store      *postgres.DB
	databaseID string
	reporter   *inquiry.Reporter
	cut        *rig.Cut // keeps the reporter from Redis
}

func setup(t *testing.T) *site {
	t.Helper()
	b := &site{Rig: rig.New(t), cut: &rig.Cut{}}
	b.databaseID = b.Text(t, "SELECT id FROM database_identity")
	var err error
	b.store, err = postgres.Open(postgres.Options{URL: b.URL, Schema: b.Schema, MaxConns: 5})
	must(t, err)
	t.Cleanup(func() { must(t, b.store.Close()) })
	rdb := rig.Connect(t, b.RedisURL)
	rdb.AddHook(b.cut)
	b.reporter, err = inquiry.New(inquiry.Options{Store: b.store.Reports, Invoices: b.store.Invoices, Late: b.store.Reports, Redis: rdb, DatabaseID: b.store.DatabaseID, Issuers: b.store.Issuers.Codes, Queues: []string{b.Queue}, Patience: time.Minute})
	must(t, err)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func payload(transactionID, price string) []byte {
	return fmt.Appendf(nil, `{"transaction_id":%q,"producer":"checkout","customer_name":"Ada Lovelace","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":%q}]}`,
		transactionID, price)
}

// accept accepts a job, and returns its id.
func (b *site) accept(t *testing.T, transactionID string) string {
	t.Helper()
	id := uuid.NewString()
	must(t, b.store.Ledger.Accept(t.Context(), id, b.Queue, payload(transactionID, "2.55")))
	return id
}

// send does what a relay does with all accepted jobs.
func (b *site) send(t *testing.T) {
	t.Helper()
	b.claim(t, func(taskID, jobID string, payload []byte) { b.enqueue(t, taskID, jobID, payload) })
}

func (b *site) claim(t *testing.T, each func(taskID, jobID string, payload []byte)) {
	t.Helper()
	claimed, err := b.store.Ledger.Claim(t.Context(), 100)
	must(t, err)
	for _, d := range claimed {
		each(fmt.Sprintf("%s.%d", d.JobID, d.Number), d.JobID, d.Payload)
	}
}

func (b *site) enqueue(t *testing.T, taskID, jobID string, payload []byte) {
	t.Helper()
	headers := map[string]string{}
	if jobID != "" {
		headers = map[string]string{client.JobIDHeader: jobID, client.InstallationHeader: b.databaseID}
	}
	_, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), asynq.NewTaskWithHeaders(client.TaskType, payload, headers),
		asynq.Queue(b.Queue), asynq.TaskID(taskID), asynq.MaxRetry(1000), asynq.Retention(time.Hour))
	must(t, err)
}

// own has an installation claim the queue for the next three seconds, with a worker that fetches nothing.
func (b *site) own(t *testing.T, store *postgres.DB, databaseID, name string) {
	t.Helper()
	k, err := queue.NewKeeper(b.Redis, store, queue.Options{
		Installation: queue.Installation{ID: databaseID, Database: "somewhere/else", Schema: "books"}, Worker: name, Queues: []string{b.Queue},
	})
	must(t, err)
	must(t, k.Claim(t.Context()))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = k.Run(ctx) }) // renews the claim, however long the test takes
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// work starts a worker, which ends with the test.
func (b *site) work(t *testing.T, name string, generator worker.Generator, hook fault.Hook) {
	t.Helper()
	if generator == nil {
		generator = b.generator(t)
	}
	standard := config.Default()
	h, err := worker.NewHandler(generator, b.locker(t), b.store.Ledger, worker.Options{
		Name: name, Concurrency: 4, Queues: map[string]int{b.Queue: 1}, JobTimeout: standard.Worker.JobTimeout,
		ShutdownTimeout: standard.Worker.ShutdownTimeout, MaxRetry: standard.Worker.MaxRetry, CacheTTL: func() time.Duration { return time.Hour }, Fault: hook,
	})
	must(t, err)
	server, err := worker.NewServer(b.Redis, h)
	must(t, err)
	must(t, server.Start())
	t.Cleanup(server.Shutdown)
}

func (b *site) generator(t *testing.T) *invoice.Generator {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	must(t, err)
	return invoice.NewGenerator(b.store.Invoices, numbering)
}

func (b *site) locker(t *testing.T) *locking.Locker {
	t.Helper()
	l, err := locking.New(b.Redis, locking.Options{Prefix: inquiry.LockPrefix(b.databaseID), TTL: time.Minute})
	must(t, err)
	return l
}

// failing is a generator that fails.
type failing struct{ worker.Generator }

func (failing) Generate(context.Context, invoice.Request) (invoice.Result, error) {
	return invoice.Result{}, errors.New("column \"colour\" does not exist")
}

func (b *site) story(t *testing.T, id string) *report.Story {
	t.Helper()
	s, err := b.reporter.Story(t.Context(), nil, id, 20)
	must(t, err)
	return s
}

// awaitWait asks until a job waits for this reason.
func (b *site) awaitWait(t *testing.T, id, code string) (*report.Story, report.Wait) {
	t.Helper()
	var s *report.Story
	var found report.Wait
	rig.Await(t, func() error {
		s = b.story(t, id)
		for _, w := range s.Waits {
			if w.Code == code {
				found = w
				return nil
			}
		}
		return fmt.Errorf("waits %q, want %s", codes(s), code)
	})
	return s, found
}

func codes(s *report.Story) string {
	var list []string
	for _, w := range s.Waits {
		list = append(list, w.Code)
	}
	return strings.Join(list, " ")
}
