package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/fault"
	"invoicer/invoice"
	"invoicer/worker/client"
)

// An Outbox holds the accepted jobs.
type Outbox interface {
	// Await returns soon after a job is accepted, or when none was for a while.
	Await(ctx context.Context) error
	// Claim takes up to limit of them and commits that they are dispatched. Those for the excepted queues stay accepted.
	Claim(ctx context.Context, limit int, except ...string) ([]invoice.Dispatch, error)
	// PutBack makes those accepted again that have neither ended nor been dispatched anew.
	PutBack(ctx context.Context, lost []invoice.Dispatch) (int, error)
}

// Owners say whose a queue is.
type Owners interface {
	// Refuse returns those of the queues that are somebody else's, each with the error that says whose.
	Refuse(ctx context.Context, queues []string) (map[string]error, error)
}

// RelayOptions of a [Relay]. Zero values mean the defaults.
type RelayOptions struct {
	// Batch is how many jobs are claimed at once. Default: 256.
	Batch int
	// InFlight is how many are on their way into Redis at once. Default: 32.
	InFlight int
	// Retention keeps a finished job and its result visible in the queue. Default: 10m; negative: not at all.
	Retention time.Duration
	// Installation is the identity of the jobs' database, which their tasks name. Default: they name none.
	Installation string
	// Owners say into which queues nothing is put; the jobs for those stay accepted. Default: every queue is ours.
	Owners Owners
	// Observe is told of every batch. Default: nobody is told.
	Observe func(Event)
	// Logger gets a line about queues that are somebody else's. That the relay fails, and goes on failing, Observe is
	// told: who observes knows which outage is the reason. Default: none is written.
	Logger *slog.Logger
}

// A Relay takes accepted jobs into the queues that they name. Any number of them work side by side.
//
// A job is claimed, committed as enqueued, and only then put into Redis; no row is locked meanwhile. What can't be put
// into Redis is put back at once; and if the relay dies in between, the [Reconciler] finds that the queue doesn't have
// the job. Nothing is written after a job is in the queue, so a late reply overwrites no end.
type Relay struct {
	outbox  Outbox
	queue   *asynq.Client
	options RelayOptions
	foreign foreignQueues
}

// NewRelay returns a relay; the Redis connection stays the caller's to close.
func NewRelay(outbox Outbox, rdb redis.UniversalClient, o RelayOptions) *Relay {
	for _, n := range []struct {
		value    *int
		standard int
	}{{&o.Batch, 256}, {&o.InFlight, 32}} {
		if *n.value <= 0 {
			*n.value = n.standard
		}
	}
	if o.Retention == 0 {
		o.Retention = 10 * time.Minute
	}
	o.Logger, o.Observe = orDiscard(o.Logger), orIgnore(o.Observe)
	return &Relay{outbox: outbox, queue: asynq.NewClientFromRedisClient(rdb), options: o, foreign: foreignQueues{owners: o.Owners, log: o.Logger}}
}

// How long a relay waits when a server is away: at first, and at most, which is how late it notices its return.
const (
	shortestBackoff = 140 * time.Millisecond
	longestBackoff  = 2 * time.Second
)

// Run relays until ctx ends, and finishes the batch in hand then. While a server is away it asks every two seconds.
func (r *Relay) Run(ctx context.Context) {
	backoff := shortestBackoff
	for ctx.Err() == nil {
		n, err := r.relay(ctx)
		if err == nil && n < r.options.Batch {
			if n == 0 && r.foreign.some() { // there are accepted jobs all the time, and waiting for some would return at once
				pause(ctx, foreignPause)
			}
			err = r.await(ctx)
		}
		if err == nil {
			backoff = shortestBackoff
			r.options.Observe(Event{What: Goes, By: ByRelay})
			continue
		}
		r.options.Observe(Event{What: Waits, By: ByRelay, Err: err})
		r.options.Logger.DebugContext(ctx, "relay waits", "error", err)
		if pause(ctx, backoff) {
			r.awaitRedis(ctx)
		}
		backoff = min(2*backoff, longestBackoff)
	}
}

// await waits until there may be something to relay. It isn't cut short when ctx ends: that would cost the connection, and
// leave a complaint in the server's log.
func (r *Relay) await(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), awaitTimeout)
	defer cancel()
	return r.outbox.Await(waiting)
}

// awaitRedis waits until Redis answers: claiming what can't be sent would only wear the rows out.
func (r *Relay) awaitRedis(ctx context.Context) {
	for backoff := shortestBackoff; ; backoff = min(2*backoff, longestBackoff) {
		err := r.queue.Ping()
		if err == nil {
			return
		}
		r.options.Observe(Event{What: Waits, By: ByRelay, Err: err})
		if !pause(ctx, backoff) {
			return
		}
	}
}

const (
	// awaitTimeout bounds waiting for jobs, which lasts half a second at most: a longer one would hold up who is to stop.
	awaitTimeout = 3 * time.Second
	// claimTimeout bounds claiming: a server that has vanished says nothing for a quarter of an hour. What was committed
	// all the same, the reconciler finds.
	claimTimeout = 10 * time.Second
	// sendTimeout bounds putting one job into Redis.
	sendTimeout = 5 * time.Second
)

// relay takes one batch, and returns how many jobs it claimed.
func (r *Relay) relay(ctx context.Context) (int, error) {
	claimed, err := r.claim(ctx)
	if err != nil || len(claimed) == 0 {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx) // what is claimed is sent
	all := len(claimed)
	claimed, foreign, err := r.foreign.part(ctx, claimed)
	if err != nil {
		return all, r.putBack(ctx, claimed, err)
	}
	if err := r.putBack(ctx, foreign, nil); err != nil || len(claimed) == 0 {
		return all, err
	}
	if err := fault.Hit(ctx, fault.Claimed); err != nil {
		return len(claimed), r.putBack(ctx, claimed, err)
	}
	failures := make([]error, len(claimed))
	var next atomic.Int64
	var silent atomic.Bool // Redis doesn't answer: the rest would only wait for it in turn
	var senders sync.WaitGroup
	for range min(r.options.InFlight, len(claimed)) {
		senders.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(claimed)); i = next.Add(1) - 1 {
				if silent.Load() {
					failures[i] = context.DeadlineExceeded
					continue
				}
				if failures[i] = r.send(ctx, claimed[i]); errors.Is(failures[i], context.DeadlineExceeded) {
					silent.Store(true)
				}
			}
		})
	}
	senders.Wait()

	var lost []invoice.Dispatch
	var cause error
	for i, err := range failures {
		if err != nil {
			lost, cause = append(lost, claimed[i]), err
		}
	}
	if sent := len(claimed) - len(lost); sent > 0 {
		r.options.Observe(Event{What: Relayed, Jobs: sent})
	}
	if cause != nil {
		return len(claimed), r.putBack(ctx, lost, cause)
	}
	return len(claimed), fault.Hit(ctx, fault.Relayed)
}

func (r *Relay) claim(ctx context.Context) ([]invoice.Dispatch, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	except, err := r.foreign.names(ctx)
	if err != nil {
		return nil, err
	}
	return r.outbox.Claim(ctx, r.options.Batch, except...)
}

// putBack returns the cause, whatever comes of putting back: what is left enqueued, the reconciler finds.
func (r *Relay) putBack(ctx context.Context, lost []invoice.Dispatch, cause error) error {
	if len(lost) == 0 {
		return cause
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	n, err := r.outbox.PutBack(ctx, lost)
	if n > 0 {
		r.options.Observe(Event{What: PutBack, Jobs: n})
	}
	return errors.Join(cause, err)
}

func (r *Relay) send(ctx context.Context, d invoice.Dispatch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // asynq makes text of what it was
		}
	}()
	headers := map[string]string{client.JobIDHeader: d.JobID}
	if r.options.Installation != "" {
		headers[client.InstallationHeader] = r.options.Installation
	}
	_, err = r.queue.EnqueueContext(ctx, asynq.NewTaskWithHeaders(client.TaskType, d.Payload, headers),
		asynq.TaskID(taskID(d)),
		asynq.Queue(d.Queue),
		asynq.Retention(max(r.options.Retention, 0)),
		asynq.MaxRetry(math.MaxInt32), // the worker counts
	)
	// Nobody else sends this dispatch, so who finds its id taken is this call's own command, sent again after its reply
	// was lost.
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}

// taskID is a dispatch's name in its queue.
func taskID(d invoice.Dispatch) string { return fmt.Sprintf("%s.%d", d.JobID, d.Number) }
