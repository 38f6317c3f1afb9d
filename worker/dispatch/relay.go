package dispatch

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
	"invoicer/internal/tracing"
	"invoicer/invoice/ledger"
	"invoicer/worker/client"
)

// An Outbox holds the accepted jobs that wait for a relay.
type Outbox interface {
	// Await returns shortly after a job is accepted, or after a while without any. If soon, it asks more often, and not for long.
	Await(ctx context.Context, soon bool) error
	// Claim takes up to limit accepted jobs and commits that they are dispatched. Jobs for the excepted queues stay
	// accepted.
	Claim(ctx context.Context, limit int, except ...string) ([]ledger.Dispatch, error)
	// Unpark lets jobs be claimed whose series was resumed, and returns how many.
	Unpark(ctx context.Context) (int, error)
	// PutBack makes the jobs accepted again that have neither ended nor been dispatched anew, and returns their
	// number.
	PutBack(ctx context.Context, lost []ledger.Dispatch) (int, error)
}

// Owners knows which installation owns a queue.
type Owners interface {
	// Refuse returns the queues that another installation owns, each with an error that names the owner.
	Refuse(ctx context.Context, queues []string) (map[string]error, error)
}

// RelayOptions of a [Relay]. Zero values mean the defaults.
type RelayOptions struct {
	// Batch is the number of jobs that are claimed at once. Default: 256.
	Batch int
	// InFlight is the number of jobs that are sent to Redis at once. Default: 32.
	InFlight int
	// Retention keeps a finished job and its result visible in the queue. 0: not at all.
	Retention time.Duration
	// Installation is the identity of the jobs' database, which the tasks name. Default: the tasks name none.
	Installation string
	// Owners says which queues belong to other installations. Jobs for those stay accepted. Default: all queues
	// belong to this installation.
	Owners Owners
	// Tracer has a span for each job that is sent, in its producer's trace, which the task then carries on. Default: none, and
	// tasks carry no trace.
	Tracer *tracing.Tracer
	// Fault is called at the fault points of a batch, for tests. Default: the points do nothing.
	Fault fault.Hook
	// Observe is called for each event. Default: it isn't called.
	Observe func(Event)
	// Logger gets a line for each queue that belongs to another installation. A relay's failures aren't logged but
	// reported to Observe, as the observer knows which outage is the reason. Default: no lines.
	Logger *slog.Logger
}

// A Relay puts accepted jobs into the queues that they name. Any number of relays may run side by side.
//
// A job is claimed, committed as enqueued, and only then put into Redis; no row is locked meanwhile. A job that can't
// be put into Redis is made accepted again at once. If the relay dies in between, the [Reconciler] finds that the
// queue doesn't have the job. The relay writes nothing about a job once it is in the queue, so a late reply can't
// overwrite an end.
type Relay struct {
	outbox  Outbox
	queue   *asynq.Client
	options RelayOptions
	foreign foreignQueues
}

// NewRelay returns a relay. The caller has to close the Redis connection.
func NewRelay(outbox Outbox, rdb redis.UniversalClient, o RelayOptions) *Relay {
	for _, n := range []struct {
		value    *int
		standard int
	}{{&o.Batch, 256}, {&o.InFlight, 32}} {
		if *n.value <= 0 {
			*n.value = n.standard
		}
	}
	o.Logger, o.Observe = orDiscard(o.Logger), orIgnore(o.Observe)
	return &Relay{outbox: outbox, queue: asynq.NewClientFromRedisClient(rdb), options: o, foreign: foreignQueues{owners: o.Owners, log: o.Logger}}
}

// How long a relay waits between two tries while a server is away: at first, and at most.
const (
	shortestBackoff = 140 * time.Millisecond
	longestBackoff  = 2 * time.Second
)

// Run relays until ctx ends, and then finishes its batch. While a server is away it retries every two seconds.
func (r *Relay) Run(ctx context.Context) {
	backoff := shortestBackoff
	var unparked time.Time // when it was last asked for jobs of resumed series
	soon := 0              // how many more waits are for the next job of somebody who asks for one after the other
	for ctx.Err() == nil {
		if time.Since(unparked) >= unparkEvery {
			r.unpark(ctx)
			unparked = time.Now()
		}
		n, err := r.relay(ctx)
		if err == nil && n < r.options.Batch {
			if n == 0 && r.foreign.some() { // there are accepted jobs all the time, so waiting for them would return at once
				pause(ctx, foreignPause)
			}
			switch {
			case n == 1:
				soon = soonWaits
			case n > 1:
				soon = 0
			default:
				soon = max(0, soon-1)
			}
			err = r.await(ctx, soon > 0)
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

// soonWaits is how many waits of 30 ms follow on a single job. A program that asks for one job after the other asks for the next one
// when this one is invoiced.
const soonWaits = 4

// unparkEvery is how often a relay looks for jobs whose series was resumed.
const unparkEvery = time.Second

// unpark lets the jobs of resumed series be claimed. An error isn't reported: the claim that follows meets the same.
func (r *Relay) unpark(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	if _, err := r.outbox.Unpark(ctx); err != nil {
		r.options.Logger.DebugContext(ctx, "jobs of resumed series wait", "error", err)
	}
}

// await waits until there may be jobs to relay. It ignores the end of ctx, which would close the connection and leave
// an error in the server's log.
func (r *Relay) await(ctx context.Context, soon bool) error {
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), awaitTimeout)
	defer cancel()
	return r.outbox.Await(waiting, soon)
}

// awaitRedis waits until Redis answers: claiming jobs that can't be sent would only update their rows in vain.
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
	// awaitTimeout bounds the wait for jobs, which usually takes half a second at most: a longer wait would hold up
	// the relay's stop.
	awaitTimeout = 3 * time.Second
	// claimTimeout bounds claiming: without it, a vanished server could block the relay for a quarter of an hour. The
	// reconciler finds jobs whose claim was committed all the same.
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
	return r.forward(ctx, claimed)
}

// forward sends jobs that were claimed, and returns how many they are.
func (r *Relay) forward(ctx context.Context, claimed []ledger.Dispatch) (int, error) {
	ctx = context.WithoutCancel(ctx) // claimed jobs are sent even if ctx ends
	all := len(claimed)
	claimed, foreign, err := r.foreign.part(ctx, claimed)
	if err != nil {
		return all, r.putBack(ctx, claimed, err)
	}
	if err := r.putBack(ctx, foreign, nil); err != nil || len(claimed) == 0 {
		return all, err
	}
	if err := r.options.Fault.Hit(ctx, fault.Claimed); err != nil {
		return len(claimed), r.putBack(ctx, claimed, err)
	}
	failures := make([]error, len(claimed))
	var next atomic.Int64
	var silent atomic.Bool // Redis doesn't answer: the other jobs aren't tried
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

	var lost []ledger.Dispatch
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
	return len(claimed), r.options.Fault.Hit(ctx, fault.Relayed)
}

func (r *Relay) claim(ctx context.Context) ([]ledger.Dispatch, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	except, err := r.foreign.names(ctx)
	if err != nil {
		return nil, err
	}
	return r.outbox.Claim(ctx, r.options.Batch, except...)
}

// putBack makes jobs accepted again, and returns the cause, joined with its own error if it fails. In that case the
// reconciler finds the jobs that stay enqueued.
func (r *Relay) putBack(ctx context.Context, lost []ledger.Dispatch, cause error) error {
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

func (r *Relay) send(ctx context.Context, d ledger.Dispatch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	ctx, span := r.options.Tracer.Continue(ctx, d.Traceparent, tracing.Producer, "relay job", "job_id", d.JobID, "queue", d.Queue)
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // asynq keeps only the text of the context's error
		}
		span.Fail(err)
		span.End()
	}()
	headers := map[string]string{client.JobIDHeader: d.JobID}
	if r.options.Installation != "" {
		headers[client.InstallationHeader] = r.options.Installation
	}
	if d.Producer != "" {
		headers[client.ProducerHeader] = d.Producer
	}
	if in := span.Traceparent(); in != "" {
		headers[client.TraceparentHeader] = in
	}
	_, err = r.queue.EnqueueContext(ctx, asynq.NewTaskWithHeaders(client.TaskType, d.Payload, headers),
		asynq.TaskID(taskID(d)),
		asynq.Queue(d.Queue),
		asynq.Retention(r.options.Retention),
		asynq.MaxRetry(math.MaxInt32), // the worker counts the retries
	)
	// No other process sends this dispatch. If its id is taken, this call's command was sent twice because its first
	// reply was lost.
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}

// taskID returns the id of a dispatch's task.
func taskID(d ledger.Dispatch) string { return fmt.Sprintf("%s.%d", d.JobID, d.Number) }
