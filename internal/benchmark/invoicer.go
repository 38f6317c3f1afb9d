package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/events"
	"invoicer/internal/autopipeline"
	"invoicer/internal/given"
	"invoicer/internal/witness"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/migrations"
	"invoicer/worker"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

// A workplace is this repository's worker, and what looks after the ledger.
type workplace struct {
	redis  redis.UniversalClient
	store  *postgres.DB
	shared redis.UniversalClient // a view of redis, which it closes
	server *worker.Server
	ledger func(context.Context)
	beside []func(context.Context) // what else runs, until its context ends
	leave  []func()                // what is closed in the end
}

// extras are what a worker does beside invoicing, if it is to.
type extras struct {
	witness  bool              // it keeps a line of each document in a folder
	formats  []document.Format // it makes documents of each invoice
	endpoint bool              // it posts an event of each document to a receiver on this machine
}

// newWorkplace wires the worker as cmd/invoicer does (wire.go), with every promise on. It is the one place where that
// happens here.
func newWorkplace(ctx context.Context, b *bench, s setting, schema string, more extras, observe func(worker.Event)) (_ *workplace, err error) {
	w := &workplace{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.redis, err = b.newRedis(s.Slots + 30); err != nil {
		return nil, err
	}
	if err := b.traces.Redis(w.redis); err != nil {
		return nil, err
	}
	var numbers *given.Watch
	w.store, err = postgres.Open(postgres.Options{
		URL: b.databaseURL, Schema: schema, MaxConns: min(s.Slots+4, 20), Callers: s.Slots, Tracer: b.traces.Tracer(), Statements: b.traces.Postgres(),
		Remember: func(ctx context.Context, made []invoice.Made) { numbers.Remember(ctx, made) },
		Look: func(ctx context.Context, seen map[invoice.SlotKey]int64) (string, error) {
			return numbers.Look(ctx, seen)
		},
	})
	if err != nil {
		return nil, err
	}
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		return nil, err
	}
	databaseID, err := w.store.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	w.shared = autopipeline.New(w.redis)
	numbers = &given.Watch{Books: w.store.Invoices, Memory: given.NewMemory(w.shared, databaseID), Redis: w.redis, DatabaseID: databaseID, Logger: slog.New(slog.DiscardHandler)}
	if err := w.add(ctx, more, numbers, databaseID); err != nil {
		return nil, err
	}
	locker, err := locking.New(w.shared, locking.Options{Prefix: "invoicer:" + databaseID + ":", TTL: 15 * time.Second})
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewJSONHandler(io.Discard, nil)) // a line for each job is part of the work; where it goes isn't
	generator := invoice.NewGenerator(w.store.Invoices, numbering)
	standard := config.Default()
	name := "benchmark-" + uuid.NewString()
	handler, err := worker.NewHandler(generator, locker, w.store.Ledger, worker.Options{
		Name: name, Concurrency: s.Slots, Queues: map[string]int{queue: 1}, Installation: databaseID,
		JobTimeout: standard.Worker.JobTimeout, ShutdownTimeout: standard.Worker.ShutdownTimeout, MaxRetry: standard.Worker.MaxRetry,
		LockWait: standard.Lock.Wait, CacheTTL: func() time.Duration { return standard.Idempotency.CacheTTL },
		Numbers: numbers, Logger: log, Observe: observe, Tracer: b.traces.Tracer(),
	})
	if err != nil {
		return nil, err
	}
	if w.server, err = worker.NewServer(w.shared, handler); err != nil {
		return nil, err
	}
	relay := dispatch.NewRelay(w.store.Ledger, w.shared, dispatch.RelayOptions{
		Retention: standard.Worker.Retention, Installation: databaseID, Logger: log, Tracer: b.traces.Tracer(),
	})
	reconciler, err := dispatch.NewReconciler(w.store.Ledger, w.redis, dispatch.ReconcilerOptions{
		Name: name, Queues: []string{queue}, DatabaseID: databaseID, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	w.ledger = func(ctx context.Context) {
		var both sync.WaitGroup
		both.Go(func() { relay.Run(ctx) })
		both.Go(func() { reconciler.Run(ctx) })
		for _, run := range w.beside {
			both.Go(func() { run(ctx) })
		}
		both.Wait()
	}
	return w, nil
}

// start runs the worker until the returned function is called.
func (w *workplace) start(ctx context.Context) (stop func(), err error) {
	if err := w.server.Start(); err != nil {
		return nil, err
	}
	looking, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { w.ledger(looking) })
	return sync.OnceFunc(func() {
		cancel()
		w.server.Shutdown()
		running.Wait()
	}), nil
}

// add adds what the worker does beside invoicing.
func (w *workplace) add(ctx context.Context, more extras, numbers *given.Watch, databaseID string) error {
	if more.witness {
		folder, err := os.MkdirTemp("", "witness")
		if err != nil {
			return err
		}
		w.leave = append(w.leave, func() { _ = os.RemoveAll(folder) })
		kept, err := witness.Open(folder, databaseID, "benchmark", w.store.Invoices, numbers.Logger)
		if err != nil {
			return err
		}
		w.leave = append([]func(){kept.Close}, w.leave...)
		numbers.Witness = kept
		w.beside = append(w.beside, kept.Run)
	}
	if more.formats != nil {
		clerk, err := w.clerk(ctx, more.formats, nil)
		if err != nil {
			return err
		}
		w.beside = append(w.beside, clerk.Run)
	}
	if !more.endpoint {
		return nil
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	w.leave = append(w.leave, receiver.Close)
	err := w.store.Outbox.Add(ctx, outbox.Endpoint{
		Name: "benchmark", URL: receiver.URL, Types: []string{outbox.InvoiceCreated, outbox.CreditNoteCreated}, Secrets: []string{events.NewSecret()},
	}, ledger.Actor{Name: "benchmark"})
	if err != nil {
		return err
	}
	deliverer, err := events.New(events.Options{Outbox: w.store.Outbox, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Logger: numbers.Logger})
	w.beside = append(w.beside, func(ctx context.Context) { _ = deliverer.Run(ctx) })
	return err
}

func (w *workplace) close() {
	for _, leave := range w.leave {
		leave()
	}
	switch {
	case w.shared != nil:
		_ = w.shared.Close()
	case w.redis != nil:
		_ = w.redis.Close()
	}
	if w.store != nil {
		_ = w.store.Close()
	}
}

// ours is the worker on jobs that were enqueued straight into Redis, or accepted into the ledger.
type ours struct {
	ledger bool
	// duplicates is the share of the jobs that ask for what is invoiced already. Each such transaction is asked for about a
	// hundred times.
	duplicates float64
	// alter is what is changed in the schema before.
	alter string
	extras
	// at is where the worker finds the servers; nil: where the bench does.
	at *bench
}

func (o ours) open(ctx context.Context, b *bench, s setting, schema string) (*system, error) {
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	if err := b.exec(ctx, schema, o.alter); err != nil {
		return nil, err
	}
	at := b
	if o.at != nil {
		at = o.at
	}
	ended := func() {}
	w, err := newWorkplace(ctx, at, s, schema, o.extras, func(e worker.Event) {
		if e.What == worker.Ended {
			ended()
		}
	})
	if err != nil {
		return nil, err
	}
	before, err := b.countInvoices(ctx, schema)
	if err != nil {
		w.close()
		return nil, err
	}
	made := 0 // invoices, before the clock starts
	stop := func() {}
	return &system{
		load: func(ctx context.Context, j jobs) error {
			switch {
			case o.ledger:
				return b.accept(ctx, schema, j)
			case o.duplicates > 0:
				made = max(1, j.n/100)
				if err := o.prepare(ctx, b, s, schema, jobs{n: made, payload: j.payload}); err != nil {
					return err
				}
				j.payload = o.mix(made, j.payload)
			}
			return enqueue(ctx, b.rdb, j)
		},
		start: func(ctx context.Context, each func()) (err error) {
			ended = each
			stop, err = w.start(ctx)
			return err
		},
		stop: func() { stop() },
		check: func(ctx context.Context, j jobs) error {
			repeated := int(float64(j.n) * o.duplicates)
			if err := b.count(ctx, schema, before+made+j.n-repeated, true); err != nil {
				return err
			}
			return b.countEnds(ctx, schema, j.n, repeated, o.ledger)
		},
		close: w.close,
	}, nil
}

// isRepeated spreads the duplicates evenly.
func (o ours) isRepeated(i int) bool {
	return int(float64(i+1)*o.duplicates) > int(float64(i)*o.duplicates)
}

// mix makes jobs out of those that were prepared, and new ones.
func (o ours) mix(made int, payload func(int) ([]byte, error)) func(int) ([]byte, error) {
	return func(i int) ([]byte, error) {
		if o.isRepeated(i) {
			return payload(i * 7919 % made) // a prime, so that neighbours are of different transactions
		}
		return payload(made + i)
	}
}

// prepare makes the invoices that the duplicates ask for again.
func (o ours) prepare(ctx context.Context, b *bench, s setting, schema string, j jobs) error {
	ended := make(chan struct{}, j.n)
	w, err := newWorkplace(ctx, b, s, schema, extras{}, func(e worker.Event) {
		if e.What == worker.Ended {
			ended <- struct{}{}
		}
	})
	if err != nil {
		return err
	}
	defer w.close()
	if err := enqueue(ctx, w.redis, j); err != nil {
		return err
	}
	stop, err := w.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for range j.n {
		select {
		case <-ended:
		case <-time.After(time.Minute):
			return fmt.Errorf("%d invoices could not be made in time", j.n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// enqueue asks as a billing service does.
func enqueue(ctx context.Context, rdb redis.UniversalClient, j jobs) error {
	c, err := client.New(rdb, client.Options{Queue: queue})
	if err != nil {
		return err
	}
	return j.each(ctx, func(ctx context.Context, _ int, payload []byte) error {
		_, err := c.EnqueuePayload(ctx, payload)
		return err
	})
}

func (b *bench) migrate(ctx context.Context, schema string) error {
	m, err := migrations.New(b.databaseURL, schema)
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	return err
}
