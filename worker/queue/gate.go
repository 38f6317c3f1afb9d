package queue

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// longestHold is how long a fetch is held at most before Redis is asked all the same, should a peek ever miss a job.
	longestHold = time.Second
	// peekTimeout is how long Redis lets a peek wait; a connection that died without a word is noticed soon after.
	peekTimeout = 5 * time.Second
	// pollInterval is how often a queue is asked at which Redis can't be peeked.
	pollInterval = 50 * time.Millisecond
	// longestBlindness bounds how long it is polled before a peek is tried again.
	longestBlindness = 5 * time.Second
	// shortestPace and longestPace bound how soon a peek that led to no job is repeated.
	shortestPace = 50 * time.Millisecond
	longestPace  = 500 * time.Millisecond
	// mostAhead is how many jobs are fetched at once: they are in memory, and if this process dies, somebody else has to
	// find them.
	mostAhead = 128
	// mostBytesAhead is about how large they are together: all have to arrive within one read's timeout.
	mostBytesAhead = 1 << 20
)

// A fetchGate is the Redis that asynq's fetch loop sees. asynq polls: it asks one queue after the other for one job, and
// sleeps when none has one. The gate answers for queues that are known to be empty, and holds a fetch while all are; so
// a job is fetched at once, and Redis isn't asked in vain. Where there are many jobs, it fetches several in one round
// trip, and keeps those that asynq hasn't asked for yet: to everybody else they are in the hands of this worker.
//
// It knows a fetch by its keys, as asynq v0.26 names them, and runs a script of its own in the place of asynq's: one that
// isn't stopped by what is no job. Where no keys match, every command passes untouched, and asynq polls.
type fetchGate struct {
	redis.UniversalClient // also for the peeks: each has a connection of its own for as long as it waits

	log    *slog.Logger
	holder string                 // who fetches, for HolderField
	hold   time.Duration          // longestHold
	free   func() int             // how many jobs could be begun now
	owns   func() bool            // whether the queues are ours
	queues map[string]*fetchQueue // by the key of their pending jobs
	bell   chan struct{}          // wakes the held fetch
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex // guards what is believed of the queues, and what follows
	asking  int        // questions that Redis hasn't answered yet
	closing bool
	drained chan struct{} // closed when the gate is, and asynq has all jobs that were fetched
}

// A fetchQueue is what the gate believes of a queue.
type fetchQueue struct {
	name    string
	keys    []string
	emptied chan struct{} // tells the queue's watcher, which alone receives, that the queue is believed empty

	ahead    []*redis.Cmd // jobs that were fetched before asynq asked for them
	appetite int          // how many to ask for
	empty    bool
	rings    uint64 // how often it was said to have jobs
	fruitful bool   // whether a job was fetched since
}

// newFetchGate returns a gate that believes of every queue that it may have jobs.
func newFetchGate(rdb redis.UniversalClient, queues map[string]int, free func() int, log *slog.Logger) *fetchGate {
	g := &fetchGate{
		UniversalClient: rdb, log: log, hold: longestHold, free: free, owns: func() bool { return true }, queues: make(map[string]*fetchQueue),
		bell: make(chan struct{}, 1), closed: make(chan struct{}), drained: make(chan struct{}),
	}
	for name := range queues {
		q := &fetchQueue{name: name, emptied: make(chan struct{}, 1), appetite: 1, keys: KeysOf(name).fetch()}
		g.queues[q.keys[0]] = q
	}
	return g
}

// open begins to watch the queues, until the gate is closed; whether ctx ends makes no difference.
func (g *fetchGate) open(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for _, q := range g.queues {
		go g.watch(ctx, q)
	}
	go func() {
		<-g.closed
		cancel()
	}()
}

// close lets go of the held fetch; from then on no fetch comes to Redis, and asynq only gets what was fetched before. A
// watcher that waits for an answer ends when it comes, peekTimeout later at most, or when the connection is closed:
// go-redis doesn't break off a read.
func (g *fetchGate) close() {
	g.once.Do(func() {
		close(g.closed)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closing = true
		g.tellDrained()
	})
}

// tellDrained is called, with the lock held, after whatever may have drained the gate.
func (g *fetchGate) tellDrained() {
	if !g.closing || g.asking > 0 {
		return
	}
	for _, q := range g.queues {
		if len(q.ahead) > 0 {
			return
		}
	}
	select {
	case <-g.drained:
	default:
		close(g.drained)
	}
}

// EvalSha is what asynq fetches with.
func (g *fetchGate) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if q := g.queueOf(keys, args); q != nil {
		return g.fetch(ctx, q, args)
	}
	return g.end(ctx, g.UniversalClient.EvalSha(ctx, sha1, keys, shortened(keys, args)...), keys, args)
}

// Eval is what asynq would fetch with if Redis didn't know its script.
func (g *fetchGate) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if q := g.queueOf(keys, args); q != nil {
		return g.fetch(ctx, q, args)
	}
	return g.end(ctx, g.UniversalClient.Eval(ctx, script, keys, shortened(keys, args)...), keys, args)
}

// fetch answers with a job that was fetched before, or asks for as many as there may be use for.
func (g *fetchGate) fetch(ctx context.Context, q *fetchQueue, args []any) *redis.Cmd {
	for {
		if ahead := g.take(q); ahead != nil {
			return ahead
		}
		rings, ok := g.admit(ctx, q)
		if !ok {
			return noJob(ctx, nil)
		}
		if answer, again := g.learn(ctx, q, rings, g.ask(ctx, q, args)); !again {
			return answer
		}
	}
}

// take returns the next of the jobs that were fetched ahead, if there are any.
func (g *fetchGate) take(q *fetchQueue) *redis.Cmd {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(q.ahead) == 0 {
		return nil
	}
	next := q.ahead[0]
	q.ahead[0] = nil // its payload is its job's alone now
	if q.ahead = q.ahead[1:]; len(q.ahead) == 0 {
		q.ahead = nil
		g.tellDrained()
	}
	return next
}

// appetiteFor is how many jobs to ask a queue for: about as many as can be begun now, and twice as many as last time as
// long as that many were there.
func (g *fetchGate) appetiteFor(q *fetchQueue) int {
	free := g.free()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range g.queues {
		free -= len(other.ahead)
	}
	return max(1, min(q.appetite, free, mostAhead))
}

// queueOf is the queue that a script with these keys and arguments fetches from, nil for any other script.
func (g *fetchGate) queueOf(keys []string, args []any) *fetchQueue {
	if len(keys) == 0 || len(args) != 2 {
		return nil
	}
	if q := g.queues[keys[0]]; q != nil && slices.Equal(keys, q.keys) {
		return q
	}
	return nil
}
