package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/worker/queue"
)

// A Database has the ledger that a reconciler looks after.
type Database interface {
	// Watch takes or renews the right to look after queues and returns those that the holder has. What the holder knows of
	// their Redis is written down.
	Watch(ctx context.Context, holder string, lease time.Duration, queues []invoice.Watch) ([]invoice.Watch, error)
	// Unwatch gives the rights up.
	Unwatch(ctx context.Context, holder string) error
	// Enqueued lists jobs of a queue that were dispatched at least settled ago, in the order of their dispatch.
	Enqueued(ctx context.Context, queue string, after invoice.Dispatch, settled time.Duration, limit int) ([]invoice.Dispatch, error)
	// PutBack makes those accepted again that have neither ended nor been dispatched anew.
	PutBack(ctx context.Context, lost []invoice.Dispatch) (int, error)
	// Open returns, of jobs by their ids, the dispatch of those that should be in a queue.
	Open(ctx context.Context, jobIDs []string) (map[string]int, error)
	// Record writes down that a job has failed.
	Record(ctx context.Context, e invoice.End) error
}

// ReconcilerOptions of a [Reconciler]. Zero values mean the defaults.
type ReconcilerOptions struct {
	// Name tells this process from the others. Required.
	Name string
	// Queues to look after. Required.
	Queues []string
	// DatabaseID keeps the marks of two databases in one Redis apart. Required.
	DatabaseID string
	// Interval is how often it looks. Default: 1s.
	Interval time.Duration
	// Lease is for how long a process that doesn't renew it keeps the right to look after a queue. Default: 3s.
	Lease time.Duration
	// DeadAfter is after how long without a sign of life from its worker a job is somebody else's. Workers give a sign
	// every 5s, so it must be longer than that. Default: 10s.
	DeadAfter time.Duration
	// Settled is how long a dispatched job may be under way into its queue. Default: 5s.
	Settled time.Duration
	// MaxCrashes is how many workers a job may kill. Default: 10.
	MaxCrashes int
	// Logger gets a line for what was found. Default: none is written.
	Logger *slog.Logger
	// Observe is told what was done. Default: nobody is told.
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

// A Reconciler compares the queues with what the database says, and brings back what got lost:
//
//   - a job that its queue doesn't have is accepted again, for a [Relay] to dispatch. Right after its dispatch every job is
//     looked for once, later again from time to time, and all of them at once when Redis has, or may have, forgotten
//     something: its mark is gone or older, or another Redis process answers;
//   - a job whose worker gives no sign of life goes back to its queue, whether it came through the ledger or straight into
//     Redis;
//   - a job that the queue has given up without a word is recorded as failed, as is one that kills every worker.
//
// Of the processes that run one, each queue has one that looks after it; when that dies or stops, another one takes
// over. Two at once would do no harm.
type Reconciler struct {
	database Database
	rdb      redis.UniversalClient
	options  ReconcilerOptions
	token    string // of this process's sweeps
	watched  map[string]*watch
	dead     *dead
	rounds   int
	renewed  time.Time // the right to look after them
}

// NewReconciler returns a reconciler; the Redis connection stays the caller's to close.
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

// Run looks after the queues until ctx ends. While a server is away it does nothing but ask again.
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
	_ = r.database.Unwatch(clean, r.options.Name) // or the lease runs out by itself
}

// round looks once after every queue that this process has the right to.
func (r *Reconciler) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*r.options.Interval)
	defer cancel()
	r.renewed = time.Now()
	queues := make([]invoice.Watch, len(r.options.Queues))
	for i, name := range r.options.Queues {
		queues[i].Queue = name
		if w, ok := r.watched[name]; ok {
			queues[i] = w.known
		}
	}
	held, err := r.database.Watch(ctx, r.options.Name, r.options.Lease, queues)
	if err != nil {
		return err
	}
	maps.DeleteFunc(r.watched, func(name string, _ *watch) bool {
		return !slices.ContainsFunc(held, func(w invoice.Watch) bool { return w.Queue == name })
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
	r.tellDead(ctx)
	return errors.Join(problems...)
}

// late tells that the right to look should be renewed before much more is looked for. Without it, another process would
// take the queue over in the middle of a long sweep, and begin that again.
func (r *Reconciler) late() bool { return time.Since(r.renewed) > r.options.Lease/2 }
