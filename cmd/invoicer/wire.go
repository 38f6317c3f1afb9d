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
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/autopipeline"
	"invoicer/internal/await"
	"invoicer/internal/fault"
	"invoicer/internal/health"
	"invoicer/internal/lifecycle"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/locking"
	"invoicer/migrations"
	"invoicer/worker"
	"invoicer/worker/dispatch"
	"invoicer/worker/queue"
)

// connectionsBeside is how many connections a process needs beside those of its slots: asynq's own loops, health checks, the
// ledger's relay.
const connectionsBeside = 30

// newRedis returns the client that the configuration asks for. It opens no connection. Those that are occupied all the
// time, by workers that wait for a queue's next job, come on top of a pool_size in the URL, or they could leave none for
// the jobs.
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

// clusterReload is how often a Cluster is asked which server has what. A master that refuses connections tells nothing, and
// without this its replica isn't asked for a minute.
const clusterReload = 2 * time.Second

// mostDatabaseConnections is how many a process opens at most: its jobs are written together, so few do, and a server has
// a hundred by default for all that use it.
const mostDatabaseConnections = 20

// newStore returns the store that the configuration asks for. It opens no connection.
func newStore(cfg *config.Config) (*postgres.DB, error) {
	return postgres.Open(storeOptions(cfg))
}

func storeOptions(cfg *config.Config) postgres.Options {
	return postgres.Options{
		URL: string(cfg.Database.URL), Schema: cfg.Database.Schema, MaxConns: min(cfg.Worker.Concurrency+4, mostDatabaseConnections),
		Callers: cfg.Worker.Concurrency,
	}
}

// checkNumbering lets the rules of numbering, which belong to the domain, join those of the configuration.
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

// A workplace is what workers need: both servers, reachable and fit, and the parts that are built on them.
type workplace struct {
	cfg       *config.Config
	log       *slog.Logger
	fault     fault.Hook // nil, but for tests
	redis     redis.UniversalClient
	shared    redis.UniversalClient // a view of redis, which it closes, by which what jobs ask at once shares round trips
	store     *postgres.DB
	generator *invoice.Generator
	locker    *locking.Locker
	keeper    *queue.Keeper // set by keep

	databaseID string
}

// openWorkplace waits for the servers, a bounded time, and makes sure that they are fit for what is promised. Its workers
// consume so many queues, counted once for each worker. The hook is called at the fault points of all parts.
func openWorkplace(ctx context.Context, cfg *config.Config, queues int, hook fault.Hook, log *slog.Logger) (_ *workplace, err error) {
	w := &workplace{cfg: cfg, log: log, fault: hook}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return nil, err
	}
	o := storeOptions(cfg)
	o.Fault = hook
	if w.store, err = postgres.Open(o); err != nil {
		return nil, err
	}
	if w.redis, err = newRedis(cfg, queues); err != nil {
		return nil, err
	}
	w.shared = autopipeline.New(w.redis)
	w.generator = invoice.NewGenerator(w.store.Invoices, numbering)

	if err := await.Answer(ctx, log, "postgres at "+cfg.Database.Addr(), w.store.Ping); err != nil {
		return nil, err
	}
	if err := w.refuseWithoutRights(ctx); err != nil {
		return nil, err
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return nil, err
	}
	if err := migrator.Check(ctx); err != nil {
		return nil, err
	}
	if err := await.Answer(ctx, log, "redis at "+cfg.Redis.Addr(), func(ctx context.Context) error { return w.redis.Ping(ctx).Err() }); err != nil {
		return nil, err
	}
	if w.databaseID, err = w.store.DatabaseID(ctx); err != nil {
		return nil, err
	}
	if err := health.Await(ctx, w.serverNames(), w.probes(), log); err != nil {
		return nil, err
	}
	w.locker, err = locking.New(w.shared, locking.Options{Prefix: "invoicer:" + w.databaseID + ":", TTL: cfg.Lock.TTL})
	return w, err
}

func (w *workplace) close() {
	if w.shared != nil {
		_ = w.shared.Close() // what it is a view of, too
	}
	if w.store != nil {
		_ = w.store.Close()
	}
}

// keep returns the part that makes sure that the queues are this installation's, keeps them, and gives them up.
func (w *workplace) keep(name string, queues map[string]int) (_ lifecycle.Part, err error) {
	w.keeper, err = queue.NewKeeper(w.redis, w.store, queue.Options{
		Installation: installation(w.cfg, w.databaseID), Worker: name, Queues: slices.Sorted(maps.Keys(queues)), Logger: w.log,
	})
	if err != nil {
		return lifecycle.Part{}, err
	}
	return lifecycle.Part{Name: "the keeper of the queues", Start: w.keeper.Claim, Run: w.keeper.Run}, nil
}

// installation is what others are told of this one where they meet it.
func installation(cfg *config.Config, databaseID string) queue.Installation {
	return queue.Installation{ID: databaseID, Database: cfg.Database.Addr(), Schema: cfg.Database.Schema}
}

// newWorker returns a worker on the queues that are kept.
func (w *workplace) newWorker(name string, queues map[string]int, observe func(worker.Event)) (*worker.Server, error) {
	handler, err := worker.NewHandler(w.generator, w.locker, w.store.Ledger, worker.Options{
		Name: name, Concurrency: w.cfg.Worker.Concurrency, Queues: queues,
		JobTimeout: w.cfg.Worker.JobTimeout, ShutdownTimeout: w.cfg.Worker.ShutdownTimeout,
		LedgerOnly: w.cfg.Worker.Direct == "refuse",
		MaxRetry:   w.cfg.Worker.MaxRetry, LockWait: w.cfg.Lock.Wait, CacheTTL: w.cfg.Idempotency.CacheTTL,
		Installation: w.databaseID, Owns: w.keeper.Owns,
		Logger: w.log, Observe: observe, DatabaseTime: w.store.Now, Fault: w.fault,
	})
	if err != nil {
		return nil, err
	}
	return worker.NewServer(w.shared, handler)
}

// newLedger returns what looks after the ledger beside workers, for the queues that are kept.
func (w *workplace) newLedger(name string, queues map[string]int, observe func(dispatch.Event)) (lifecycle.Stage, error) {
	relay := dispatch.NewRelay(w.store.Ledger, w.shared, dispatch.RelayOptions{
		Retention: w.cfg.Worker.Retention, Installation: w.databaseID, Owners: w.keeper, Fault: w.fault, Logger: w.log, Observe: observe,
	})
	reconciler, err := dispatch.NewReconciler(w.store.Ledger, w.redis, dispatch.ReconcilerOptions{
		Name: name, Queues: slices.Sorted(maps.Keys(queues)), DatabaseID: w.databaseID, Logger: w.log, Observe: observe,
	})
	if err != nil {
		return nil, err
	}
	return lifecycle.Stage{lasting(dispatch.ByRelay, relay.Run), lasting(dispatch.ByReconciler, reconciler.Run)}, nil
}

// lasting is a part that never fails for good: whatever is in its way, it tries again.
func lasting(name string, run func(context.Context)) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
		run(ctx)
		return nil
	}}
}

// noneIfZero says "none" as options do in which zero means the default.
func noneIfZero[T ~int | ~int64](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// workerName tells this process from all others, and people where it runs.
func workerName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "worker"
	}
	return fmt.Sprintf("%s-%d-%04x", host, os.Getpid(), rand.Uint32()&0xffff) //nolint:gosec // needs no secrecy
}
