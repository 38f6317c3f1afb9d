package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// longestHold is how long a fetch is held at most before Redis is asked all the same, should a peek ever miss a job.
	longestHold = time.Second
	// peekTimeout is how long Redis lets a peek wait: the shortest that go-redis asks for. go-redis doesn't break off a read,
	// so a watcher may outlive its gate by that much, and a shutdown waits for it.
	peekTimeout = time.Second
	// watchTimeout bounds how long the gate's watchers are awaited: Redis may have stopped to answer.
	watchTimeout = peekTimeout + 2*time.Second
	// pollInterval is how often a queue is asked at which Redis can't be peeked.
	pollInterval = 50 * time.Millisecond
	// shortestPause is the first pause between peeks; each one after it is twice as long.
	shortestPause = 50 * time.Millisecond
	// longestPause bounds the pause after peeks that led to no job, as at a paused queue.
	longestPause = 500 * time.Millisecond
	// longestPolled bounds the pause after peeks that failed; the queue is polled meanwhile.
	longestPolled = 5 * time.Second
)

// A fetchGate is the Redis that asynq's fetch loop sees. asynq polls: it asks one queue after the other for one job, and
// sleeps when none has one. The gate answers for queues that are known to be empty, and holds a fetch while all are; so
// a job is fetched at once, and Redis isn't asked in vain. Where there are many jobs, several are fetched in one round trip.
//
// It knows a fetch by its keys, as asynq v0.26 names them, and runs a script of its own in the place of asynq's: one that
// isn't stopped by what is no job. Where no keys match, every command passes untouched, and asynq polls.
type fetchGate struct {
	redis.UniversalClient // also for the peeks: each has a connection of its own for as long as it waits

	log      *slog.Logger
	hold     time.Duration          // longestHold
	owns     func() bool            // whether the queues are ours
	queues   map[string]*fetchQueue // by the key of their pending jobs
	ahead    *ahead
	woken    chan struct{} // lets go of the held fetch
	closed   chan struct{}
	once     sync.Once
	watchers sync.WaitGroup

	mu      sync.Mutex // guards the queues' states, and what follows
	cancel  context.CancelFunc
	asking  int // questions that Redis hasn't answered yet
	closing bool
	drained chan struct{} // closed when the gate is, and asynq has all jobs that were fetched
}

// A state is what is known of whether a queue has jobs.
type state int

const (
	unknown  state = iota // it may have some: it is asked
	empty                 // it had none: it is not asked before it is woken
	yielding              // it has given some since it was woken, and may have more: it is asked
)

// A fetchQueue is a queue as the gate sees it.
type fetchQueue struct {
	name    string
	keys    []string  // of the fetch
	emptied chan bool // tells the queue's watcher, which alone receives, that it is empty, and whether it had given jobs

	state state
	wakes uint64 // how often it was woken: an answer to a question from before the last time says nothing of its state
	batch int    // how many jobs to ask for
}

// newFetchGate returns a gate that knows nothing of its queues.
func newFetchGate(rdb redis.UniversalClient, o ConsumerOptions) *fetchGate {
	g := &fetchGate{
		UniversalClient: rdb, log: o.Logger, hold: longestHold, owns: o.Owns, queues: make(map[string]*fetchQueue), ahead: newAhead(rdb, o),
		woken: make(chan struct{}, 1), closed: make(chan struct{}), drained: make(chan struct{}), cancel: func() {},
	}
	for name := range o.Queues {
		q := &fetchQueue{name: name, keys: KeysOf(name).fetch(), emptied: make(chan bool, 1), batch: 1}
		g.queues[q.keys[0]] = q
	}
	return g
}

// open begins to watch the queues, until the gate is closed; whether ctx ends makes no difference.
func (g *fetchGate) open(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return
	}
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, q := range g.queues {
		g.watchers.Go(func() { g.watch(ctx, q) })
	}
}

// close lets go of the held fetch; from then on no fetch comes to Redis, and asynq only gets what was fetched before. The
// watchers end with what Redis answers next.
func (g *fetchGate) close() {
	g.once.Do(func() {
		close(g.closed)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closing = true
		g.cancel()
		g.tellDrained()
	})
}

// awaitWatchers returns when the watchers of a closed gate have ended, or doesn't wait any longer. It tells which.
func (g *fetchGate) awaitWatchers() bool {
	ended := make(chan struct{})
	go func() {
		g.watchers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-time.After(watchTimeout):
		return false
	}
}

// tellDrained is called, with the lock held, after whatever may have drained the gate.
func (g *fetchGate) tellDrained() {
	if !g.closing || g.asking > 0 || g.ahead.some() {
		return
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

// fetch answers with a job that was fetched before, or asks for as many as there may be use for.
func (g *fetchGate) fetch(ctx context.Context, q *fetchQueue, args []any) *redis.Cmd {
	for {
		if next := g.take(q); next != nil {
			return next
		}
		wakes, batch, ok := g.admit(ctx, q)
		if !ok {
			return noJob(ctx, nil)
		}
		if answer, again := g.learn(ctx, q, wakes, g.ahead.fetch(ctx, q, batch, args)); !again {
			return answer
		}
	}
}

// take returns the next of the jobs that were fetched ahead, if there are any.
func (g *fetchGate) take(q *fetchQueue) *redis.Cmd {
	next := g.ahead.take(q)
	if next != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.tellDrained()
	}
	return next
}

// admit tells whether Redis is to be asked for jobs of the queue, for how many, and how often it had been woken by then. It
// waits while all queues are empty.
func (g *fetchGate) admit(ctx context.Context, q *fetchQueue) (wakes uint64, batch int, ok bool) {
	var hold <-chan time.Time
	for !g.owns() {
		select {
		case <-time.After(pollInterval):
		case <-g.closed:
			return 0, 0, false
		case <-ctx.Done():
			return 0, 0, false
		}
	}
	for {
		wakes, batch, wait := g.look(q)
		if !wait {
			return wakes, batch, batch > 0
		}
		if hold == nil {
			timer := time.NewTimer(g.hold)
			defer timer.Stop()
			hold = timer.C
		}
		select {
		case <-g.woken:
		case <-hold:
			g.forget()
		case <-g.closed:
		case <-ctx.Done():
			return 0, 0, false
		}
	}
}

// look tells how many jobs to ask the queue for, which learn must follow; 0 to go on to another queue, or to wait.
func (g *fetchGate) look(q *fetchQueue) (wakes uint64, batch int, wait bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return 0, 0, false
	}
	if q.state != empty {
		g.asking++
		return q.wakes, q.batch, false
	}
	for _, other := range g.queues {
		if other.state != empty {
			return 0, 0, false
		}
	}
	return 0, 0, !g.ahead.some()
}

// learn draws a conclusion from how a fetch went, and returns the first job; again says that there is none only because
// what was looked at were no jobs. A failed fetch counts as fruitless, or asynq would repeat it at once.
func (g *fetchGate) learn(ctx context.Context, q *fetchQueue, wakes uint64, h haul) (answer *redis.Cmd, again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
	defer g.tellDrained()
	if len(h.jobs) > 0 {
		q.state = yielding
	}
	switch {
	case h.more:
		q.batch = min(2*h.asked, mostAhead)
	case wakes == q.wakes: // else the answer may be older than what woke the queue
		gave := q.state == yielding
		q.batch, q.state = 1, empty
		select {
		case q.emptied <- gave:
		default:
		}
	}
	if len(h.jobs) == 0 {
		return noJob(ctx, h.err), h.more
	}
	g.ahead.keep(q, h.jobs[1:])
	return h.jobs[0], false
}

// wake has the queue asked, as it may have jobs.
func (g *fetchGate) wake(q *fetchQueue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.state = unknown
	q.wakes++
	select {
	case <-q.emptied: // told while the watcher looked, and no longer true
	default:
	}
	select {
	case g.woken <- struct{}{}:
	default: // it is being woken
	}
}

// forget has every queue asked again.
func (g *fetchGate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.queues {
		if q.state == empty {
			q.state = unknown
		}
	}
}

// watch wakes the queue as soon as it has a job again after it was empty, until ctx ends. Peeks that soon follow each other
// and lead to no job, as at a paused queue, come ever more seldom, and so do those that fail.
func (g *fetchGate) watch(ctx context.Context, q *fetchQueue) {
	var begun time.Time    // the last peek
	var wait time.Duration // how long after that the next one may begin
	var polled bool        // the last one failed
	for {
		var gave bool
		select {
		case gave = <-q.emptied:
		case <-ctx.Done():
			return
		}
		if !polled && (gave || time.Since(begun) >= longestPause) {
			wait = 0
		}
		if !pause(ctx, time.Until(begun.Add(wait))) {
			return
		}
		begun = time.Now()
		err := g.peek(ctx, q)
		if ctx.Err() != nil {
			return
		}
		if failed := err != nil; failed != polled {
			polled, wait = failed, 0
			if failed {
				g.tell(ctx, q, err)
			}
		}
		if err == nil {
			wait = longer(wait, longestPause)
			g.wake(q)
			continue
		}
		wait = longer(wait, longestPolled)
		g.poll(ctx, q, wait)
	}
}

// longer is how long to wait after a wait that was in vain.
func longer(d, longest time.Duration) time.Duration { return min(max(2*d, shortestPause), longest) }

// peek returns nil once the queue has a job. It moves the job that is next onto its own place: that changes nothing, and
// Redis answers as soon as there is one, also if it was there before.
func (g *fetchGate) peek(ctx context.Context, q *fetchQueue) error {
	for {
		begun := time.Now()
		err := g.BLMove(ctx, q.keys[0], q.keys[0], "RIGHT", "RIGHT", peekTimeout).Err()
		if !errors.Is(err, redis.Nil) || ctx.Err() != nil || time.Since(begun) < peekTimeout/2 { // it doesn't wait, as behind some proxies
			return err
		}
	}
}

// poll wakes the queue in regular intervals for that long.
func (g *fetchGate) poll(ctx context.Context, q *fetchQueue, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !pause(ctx, pollInterval) {
			return
		}
		g.wake(q)
	}
}

// tell logs why a queue is polled. What Redis refuses lasts until somebody does something about it; of an outage, others
// tell.
func (g *fetchGate) tell(ctx context.Context, q *fetchQueue, err error) {
	level := slog.LevelDebug
	if redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "ERR") {
		level = slog.LevelWarn
	}
	g.log.Log(ctx, level, "the queue can't be watched with BLMOVE: it is polled", "queue", q.name, "error", err)
}
