package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/autopipeline"
	"invoicer/internal/await"
	"invoicer/internal/fault"
	"invoicer/internal/given"
	"invoicer/internal/health"
	"invoicer/internal/inquiry"
	"invoicer/internal/lifecycle"
	"invoicer/internal/metrics"
	"invoicer/internal/tracing/export"
	"invoicer/internal/witness"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/migrations"
	"invoicer/worker"
	"invoicer/worker/dispatch"
	"invoicer/worker/queue"
)

// connectionsBeside is how many connections to Redis a process needs beside those of its job slots: for asynq's own loops, the
// health checks and the relay.
const connectionsBeside = 30

// newRedis returns a client for the configured Redis. It opens no connection. A worker that waits for a queue's next job occupies a
// connection all the time; occupied is the number of these. It is added to a pool_size in the URL, so that the jobs have the rest.
func newRedis(cfg *config.Config, occupied int) (redis.UniversalClient, error) {
	o, err := cfg.Redis.Options()
	if err != nil {
		return nil, err
	}
	if o.PoolSize == 0 {
		o.PoolSize = cfg.Worker.Concurrency + connectionsBeside
	}
	o.PoolSize += occupied
	var client redis.UniversalClient
	if o.IsClusterMode {
		cluster := o.Cluster()
		cluster.ClusterStateReloadInterval = clusterReload
		client = redis.NewClusterClient(cluster)
	} else {
		client = redis.NewUniversalClient(o)
	}
	client.AddHook(&queue.OutageBackoff{})
	return client, nil
}

// clusterReload is how often the client reads which server of a Cluster has which slots. Without it, the client tries a master that
// refuses connections for a minute before it turns to the replica.
const clusterReload = 2 * time.Second

// mostDatabaseConnections is the largest number of connections to Postgres that a process opens. A few are enough because jobs are
// written in batches, and a server allows a hundred by default for all its clients.
const mostDatabaseConnections = 20

// newStore returns a store for the configured database. It opens no connection.
func newStore(cfg *config.Config) (*postgres.DB, error) {
	options, err := storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	return postgres.Open(options)
}

func storeOptions(cfg *config.Config) (postgres.Options, error) {
	keeper, err := newKeeper(cfg)
	return postgres.Options{
		URL: string(cfg.Database.URL), Schema: cfg.Database.Schema, MaxConns: min(cfg.Worker.Concurrency+4, mostDatabaseConnections),
		Callers: cfg.Worker.Concurrency, Version: buildVersion().Version, Objects: keeper,
	}, err
}

// checkNumbering checks the numbering with the domain's rules, and returns their violations as problems of the configuration.
func checkNumbering(cfg *config.Config) []config.Problem {
	var wrong *invoice.NumberingError
	if _, err := invoice.NewNumbering(cfg.Numbering); !errors.As(err, &wrong) {
		return nil
	}
	var problems []config.Problem
	for _, p := range wrong.Problems {
		problems = append(problems, config.Problem{Key: "numbering." + p.Field, Message: p.Message})
	}
	return problems
}

// A workplace holds what the workers of a process share: the clients of both servers, and the parts that use them.
type workplace struct {
	cfg       *config.Config
	name      string // of the process: in its claim on the queues, in the ledger, and where it counts ends
	log       *slog.Logger
	fault     fault.Hook // nil except in tests
	redis     redis.UniversalClient
	shared    redis.UniversalClient // wraps redis: commands of concurrent jobs share round trips; closing it closes redis
	store     *postgres.DB
	generator *invoice.Generator
	locker    *locking.Locker
	traces    *export.Exporter // nil if nothing is traced
	keeper    *queue.Keeper    // set by keep
	upgrade   *upgrade
	unsafe    []postgres.UnsafeSetting // with which it works nevertheless, as allow_unsafe allows

	endangered atomic.Bool // no job is fetched, since the database may lose what it commits

	databaseID string
	numbers    *given.Watch
	witness    *witness.Folder // nil without witness.folder
}

// openWorkplace waits for the servers for a bounded time, and checks that they fit the promises: rights, schema, settings. queues is
// the number of queues that its workers consume, counted once for each worker. The program's hook is called at the fault points of all
// parts. The transactions that write invoices are observed by m. The environment says whether jobs are traced. Call close on the
// workplace.
func (a app) openWorkplace(ctx context.Context, cfg *config.Config, queues int, m *metrics.Metrics, log *slog.Logger) (_ *workplace, err error) {
	w := &workplace{cfg: cfg, name: workerName(), log: log, fault: a.fault}
	defer func() { //nolint:contextcheck // what is left is sent, also if ctx has ended
		if err != nil {
			w.close()
		}
	}()
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return nil, err
	}
	w.traces, err = export.Open(ctx, export.Options{Environ: a.environ, Worker: w.name, Version: buildVersion().Version, Logger: log})
	if err != nil {
		return nil, err
	}
	o, err := storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.Fault, o.Worker, o.Wrote = a.fault, w.name, m.ObserveBatch
	o.Remember = func(ctx context.Context, made []invoice.Made) { w.numbers.Remember(ctx, made) }
	o.Look = func(ctx context.Context, seen map[invoice.SlotKey]int64) (string, error) {
		return w.numbers.Look(ctx, seen)
	}
	o.Tracer, o.Statements = w.traces.Tracer(), w.traces.Postgres()
	if w.store, err = postgres.Open(o); err != nil {
		return nil, err
	}
	if w.redis, err = newRedis(cfg, queues); err != nil {
		return nil, err
	}
	if err = w.traces.Redis(w.redis); err != nil {
		return nil, err
	}
	w.shared = autopipeline.New(w.redis)
	m.Pools(w.store.Pool, w.redis.PoolStats)
	w.generator = invoice.NewGenerator(w.store.Invoices, numbering)

	if err := await.Answer(ctx, log, "postgres at "+cfg.Database.Addr(), w.store.Ping); err != nil {
		return nil, err
	}
	if err := w.refuseWithoutRights(ctx); err != nil {
		return nil, err
	}
	if w.unsafe, err = refuseUnsafe(ctx, cfg, w.store); err != nil {
		return nil, err
	}
	if !cfg.AllowUnsafe {
		w.store.RefuseUnsafe()
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return nil, err
	}
	if err := migrator.Check(ctx); err != nil {
		return nil, err
	}
	if err := compareSettings(ctx, cfg, w.store); err != nil {
		return nil, err
	}
	if err := settleNumbering(ctx, cfg, numbering, w.store, log); err != nil {
		return nil, err
	}
	if err := await.Answer(ctx, log, "redis at "+cfg.Redis.Addr(), func(ctx context.Context) error { return w.redis.Ping(ctx).Err() }); err != nil {
		return nil, err
	}
	identify := func(ctx context.Context) (err error) {
		w.databaseID, err = w.store.DatabaseID(ctx)
		return err
	}
	if err := await.Answer(ctx, log, "postgres at "+cfg.Database.Addr(), identify); err != nil { // it may be gone again since
		return nil, err
	}
	w.numbers = &given.Watch{Books: w.store.Invoices, Servers: w.store.Invoices, Memory: given.NewMemory(w.shared, w.databaseID), Redis: w.redis, DatabaseID: w.databaseID, Logger: log}
	if cfg.Witness.Folder != "" {
		if w.witness, err = witness.Open(cfg.Witness.Folder, w.databaseID, w.name, w.store.Invoices, log); err != nil {
			return nil, err
		}
		w.numbers.Witness = w.witness
	}
	if err := health.Await(ctx, w.serverNames(), w.probes(), log); err != nil {
		return nil, err
	}
	w.upgrade = &upgrade{store: w.store, redis: w.redis, installation: w.databaseID, schema: cfg.Database.Schema, log: log}
	w.locker, err = locking.New(w.shared, locking.Options{Prefix: inquiry.LockPrefix(w.databaseID), TTL: cfg.Lock.TTL})
	return w, err
}

func (w *workplace) close() {
	if w.shared != nil {
		_ = w.shared.Close() // closes w.redis as well
	}
	if w.store != nil {
		_ = w.store.Close()
	}
	if w.witness != nil {
		w.witness.Close()
	}
	w.traces.Close()
}

// keep returns the part that claims the queues for this installation at its start, renews the claim, and gives the queues up at its
// end. It sets w.keeper.
func (w *workplace) keep(name string, queues map[string]int) (_ lifecycle.Part, err error) {
	w.keeper, err = queue.NewKeeper(w.redis, w.store, queue.Options{
		Installation: installation(w.cfg, w.databaseID), Worker: name, Queues: slices.Sorted(maps.Keys(queues)), Logger: w.log,
	})
	if err != nil {
		return lifecycle.Part{}, err
	}
	return lifecycle.Part{Name: "the keeper of the queues", Start: w.keeper.Claim, Run: w.keeper.Run}, nil
}

// installation returns this installation's identity, which other installations read in Redis.
func installation(cfg *config.Config, databaseID string) queue.Installation {
	return queue.Installation{ID: databaseID, Database: cfg.Database.Addr(), Schema: cfg.Database.Schema}
}

// newWorker returns a worker that consumes the queues, except while it is quiet. Call keep first. cacheTTL is how long Redis is to
// remember an invoice that is made now.
func (w *workplace) newWorker(
	name string, queues map[string]int, quiet func() bool, cacheTTL func() time.Duration, observe func(worker.Event),
) (*worker.Server, error) {
	handler, err := worker.NewHandler(w.generator, w.locker, w.store.Ledger, worker.Options{
		Name: name, Concurrency: w.cfg.Worker.Concurrency, Queues: queues,
		JobTimeout: w.cfg.Worker.JobTimeout, ShutdownTimeout: w.cfg.Worker.ShutdownTimeout,
		Numbers: w.numbers, LedgerOnly: w.cfg.Worker.Direct == "refuse", TakesIdentifiers: w.upgrade.TakesIdentifiers,
		MaxRetry: w.cfg.Worker.MaxRetry, LockWait: w.cfg.Lock.Wait, CacheTTL: cacheTTL,
		Installation: w.databaseID, Claimant: w.name, Owns: func() bool { return w.keeper.Owns() && !quiet() && !w.endangered.Load() },
		Logger: w.log, LogProblems: w.cfg.Log.Outcomes == "problems", Tracer: w.traces.Tracer(), Observe: observe, DatabaseTime: w.store.Now, Fault: w.fault,
	})
	if err != nil {
		return nil, err
	}
	return worker.NewServer(w.shared, handler)
}

// newLedger returns the relay and the reconciler of the queues. Call keep first.
func (w *workplace) newLedger(name string, queues map[string]int, observe func(dispatch.Event)) (lifecycle.Stage, error) {
	relay := dispatch.NewRelay(w.store.Ledger.Of(w.cfg.Redis.Queues...), w.shared, dispatch.RelayOptions{
		Retention: w.cfg.Worker.Retention, Installation: w.databaseID, Owners: w.keeper, Fault: w.fault, Logger: w.log, Observe: observe,
		Tracer: w.traces.Tracer(),
	})
	reconciler, err := dispatch.NewReconciler(w.store.Ledger, w.redis, dispatch.ReconcilerOptions{
		Name: name, Queues: slices.Sorted(maps.Keys(queues)), DatabaseID: w.databaseID, Logger: w.log, Observe: observe,
	})
	if err != nil {
		return nil, err
	}
	return lifecycle.Stage{lasting(dispatch.ByRelay, relay.Run), lasting(dispatch.ByReconciler, reconciler.Run)}, nil
}

// newMetrics returns the metrics of a process.
func newMetrics(cfg *config.Config) *metrics.Metrics {
	build := buildVersion()
	return metrics.New(metrics.Options{
		Queues: slices.Sorted(maps.Keys(cfg.Worker.Queues)), Producers: cfg.Metrics.Producers,
		Version: build.Version, Revision: build.Revision, Go: build.GoVersion,
	})
}

// watch returns the part that looks at what waits, and at what producers ask for twice.
func watch(cfg *config.Config, m *metrics.Metrics, store *postgres.DB, rdb redis.UniversalClient, queues []string, log *slog.Logger) (lifecycle.Part, error) {
	reporter, err := newReporter(cfg, store, rdb)
	if err != nil {
		return lifecycle.Part{}, err
	}
	look := &metrics.Watch{Metrics: m, Store: store.Reports, Producers: store.Reports.Producers, Logger: log, Pending: func(ctx context.Context) (map[string]int64, error) {
		return pending(ctx, reporter, queues)
	}}
	return lasting("the watch over queues and producers", look.Run), nil
}

// pending returns how many tasks wait in each of the queues, and in each other one that concerns this installation.
func pending(ctx context.Context, reporter *inquiry.Reporter, queues []string) (map[string]int64, error) {
	all, err := reporter.Queues(ctx)
	if err != nil {
		return nil, err
	}
	if len(all.Problems) > 0 {
		return nil, inquiry.ErrRedisAway
	}
	found := make(map[string]int64)
	for i := range all.Queues {
		if q := &all.Queues[i]; q.Pending != nil && (q.Concerns() || slices.Contains(queues, q.Queue)) {
			found[q.Queue] = *q.Pending
		}
	}
	return found, nil
}

// lasting returns a part that never fails: run retries after every error, and returns when its context ends.
func lasting(name string, run func(context.Context)) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
		run(ctx)
		return nil
	}}
}

// newReporter returns a reporter on the store and a Redis client, which the caller closes.
func newReporter(cfg *config.Config, store *postgres.DB, rdb redis.UniversalClient) (*inquiry.Reporter, error) {
	return inquiry.New(inquiry.Options{
		Store: store.Reports, Invoices: store.Invoices, Late: store.Reports, Redis: rdb, DatabaseID: store.DatabaseID,
		Issuers: store.Issuers.Codes, Queues: slices.Sorted(maps.Keys(cfg.Worker.Queues)),
	})
}

// noneIfZero returns -1 for 0, for options in which 0 means the default and a negative number means none.
func noneIfZero[T ~int | ~int64](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// workerName returns a name that is unique to this process, and shows people on which host it runs.
func workerName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "worker"
	}
	return fmt.Sprintf("%s-%d-%04x", host, os.Getpid(), rand.Uint32()&0xffff) //nolint:gosec // needs no secrecy
}
