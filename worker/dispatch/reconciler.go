package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// A Database holds the ledger with which a reconciler compares the queues.
type Database interface {
	// Watch takes or renews the right to look after queues, and returns the queues that the holder has. It stores the
	// given state of each queue's Redis.
	Watch(ctx context.Context, holder string, lease time.Duration, queues []ledger.Watch) ([]ledger.Watch, error)
	// Unwatch gives up the holder's rights.
	Unwatch(ctx context.Context, holder string) error
	// Enqueued lists jobs of a queue that were dispatched at least settled ago, in the order of their dispatch.
	Enqueued(ctx context.Context, queue string, after ledger.Dispatch, settled time.Duration, limit int) ([]ledger.Dispatch, error)
	// PutBack makes the jobs accepted again that have neither ended nor been dispatched anew, and returns their
	// number.
	PutBack(ctx context.Context, lost []ledger.Dispatch) (int, error)
	// Open returns, by job id, the dispatch number of each job that should be in a queue.
	Open(ctx context.Context, jobIDs []string) (map[string]int, error)
	// Record records that a job has failed.
	Record(ctx context.Context, e ledger.End) error
}

// ReconcilerOptions of a [Reconciler]. Zero values mean the defaults.
type ReconcilerOptions struct {
	// Name identifies this process. It must be unique. Required.
	Name string
	// Queues to look after. Required.
	Queues []string
	// DatabaseID identifies the database, so that two databases can have marks in one Redis. Required.
	DatabaseID string
	// Interval is the time between two rounds. Default: 1s.
	Interval time.Duration
	// Lease is how long a process keeps the right to look after a queue without renewing it. Default: 3s.
	Lease time.Duration
	// DeadAfter is how long a job's worker may give no sign of life before the job goes back to its queue. Workers
	// give a sign every 5s, so it must be longer than that. Default: 10s.
	DeadAfter time.Duration
	// Settled is how long a dispatched job may take to arrive in its queue. Default: 5s.
	Settled time.Duration
	// MaxCrashes is the largest number of crashed workers after which a job is still tried again. Default: 10.
	MaxCrashes int
	// Logger gets a line for each finding. Default: no lines.
	Logger *slog.Logger
	// Observe is called for each event. Default: it isn't called.
	Observe func(Event)
}

func (o *ReconcilerOptions) setDefaults() {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.Interval, time.Second},
		{&o.Lease, 3 * time.Second},
		{&o.DeadAfter, 10 * time.Second},
		{&o.Settled, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if o.MaxCrashes == 0 {
		o.MaxCrashes = 10
	}
	o.Logger, o.Observe = orDiscard(o.Logger), orIgnore(o.Observe)
}

// A Reconciler compares the queues with the ledger and repairs the differences:
//
//   - a job that its queue doesn't have is accepted again, for a [Relay] to dispatch. Every job is looked for once,
//     right after its dispatch, and again from time to time. All jobs are looked for at once if Redis has lost data, or
//     may have: its mark is gone or older, or another Redis process answers;
//   - a job whose worker gives no sign of life goes back to its queue, whether it came through the ledger or was
//     enqueued directly;
//   - a job that the queue has archived without a worker is recorded as failed, and so is a job that crashes every
//     worker.
//
// Any number of processes may run a Reconciler. One of them looks after each queue; if it dies or stops, another
// takes over. Two at once would do no harm.
type Reconciler struct {
	database Database
	rdb      redis.UniversalClient
	options  ReconcilerOptions
	token    string // names this process in the marks of its sweeps
	watched  map[string]*watch
	dead     *dead
	rounds   int
	renewed  time.Time // when the right to look after the queues was renewed
}

// NewReconciler returns a reconciler. The caller has to close the Redis connection.
func NewReconciler(database Database, rdb redis.UniversalClient, o ReconcilerOptions) (*Reconciler, error) {
	o.setDefaults()
	if o.Name == "" || len(o.Queues) == 0 || o.DatabaseID == "" {
		return nil, errors.New("ledger: a reconciler needs a Name, Queues and a DatabaseID")
	}
	if o.DeadAfter <= queue.SignOfLife {
		return nil, errors.New("ledger: DeadAfter must be longer than the 5s in which workers give signs of life")
	}
	return &Reconciler{
		database: database, rdb: rdb,
		options: o, token: rand.Text(), watched: make(map[string]*watch), dead: newDead(),
	}, nil
}

// Run looks after the queues until ctx ends. While a server is away it only retries.
func (r *Reconciler) Run(ctx context.Context) {
	for {
		switch err := r.round(ctx); {
		case err == nil:
			r.options.Observe(Event{What: Goes, By: ByReconciler})
		case ctx.Err() == nil:
			r.options.Logger.DebugContext(ctx, "reconciler waits", "error", err)
			r.options.Observe(Event{What: Waits, By: ByReconciler, Err: err})
		}
		if !pause(ctx, r.options.Interval) {
			break
		}
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.database.Unwatch(clean, r.options.Name) // if it fails, the lease runs out by itself
}

// lingering returns a context that ends so much later than ctx: a statement that takes a right would otherwise be broken off
// at the process's end, and could be carried out after the one that gives the right up.
func lingering(ctx context.Context, d time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

// round makes one round through the queues that this process has the right to look after.
func (r *Reconciler) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*r.options.Interval)
	defer cancel()
	r.renewed = time.Now()
	queues := make([]ledger.Watch, len(r.options.Queues))
	for i, name := range r.options.Queues {
		queues[i].Queue = name
		if w, ok := r.watched[name]; ok {
			queues[i] = w.known
		}
	}
	watching, stop := lingering(ctx, time.Second)
	held, err := r.database.Watch(watching, r.options.Name, r.options.Lease, queues)
	stop()
	if err != nil {
		return err
	}
	maps.DeleteFunc(r.watched, func(name string, _ *watch) bool {
		return !slices.ContainsFunc(held, func(w ledger.Watch) bool { return w.Queue == name })
	})
	watches, looks := make([]*watch, len(held)), make([]*redis.Cmd, len(held))
	var named *redis.IntCmd
	_, _ = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command keeps its own error
		if named = r.nameQueues(ctx, p, held); named == nil {
			return nil
		}
		for i, known := range held {
			w, ok := r.watched[known.Queue]
			if !ok {
				w = newWatch(r, known)
				r.watched[known.Queue] = w
				r.options.Observe(Event{What: Watching, Queue: known.Queue})
			}
			w.known = known
			watches[i], looks[i] = w, w.look(ctx, p)
		}
		return nil
	})
	problems := []error{r.keepRegisters(ctx, named)}
	for i, w := range watches {
		problems = append(problems, w.bringBack(ctx, looks[i]))
	}
	r.logDead(ctx)
	return errors.Join(problems...)
}

// late reports whether the right to look after the queues should be renewed before the round goes on. Otherwise
// another process would take over a queue in the middle of a long sweep, and begin the sweep again.
func (r *Reconciler) late() bool { return time.Since(r.renewed) > r.options.Lease/2 }
