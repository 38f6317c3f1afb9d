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
	// longestHold bounds how long a fetch is held before Redis is asked anyway, in case a peek has missed a job.
	longestHold = time.Second
	// peekTimeout is how long a peek blocks in Redis: the shortest timeout that go-redis sends. go-redis doesn't cancel a read,
	// so a watcher may outlive its gate by that much, and a shutdown waits for it.
	peekTimeout = time.Second
	// watchTimeout bounds how long the gate's watchers are awaited: Redis may have stopped answering.
	watchTimeout = peekTimeout + 2*time.Second
	// pollInterval is how often a queue is polled while peeks fail.
	pollInterval = 50 * time.Millisecond
	// shortestPause is the first pause between peeks; each one after it is twice as long.
	shortestPause = 50 * time.Millisecond
	// longestPause bounds the pause after peeks that were followed by no job, as on a paused queue.
	longestPause = 500 * time.Millisecond
	// longestPolled bounds the pause after peeks that failed; the queue is polled meanwhile.
	longestPolled = 5 * time.Second
)

// A fetchGate is the Redis that asynq's fetch loop sees. asynq polls: it asks one queue after the other for one job, and
// sleeps when none has one. The gate answers for queues that it knows to be empty, and holds a fetch while all of them are:
// so a job is fetched at once, and empty queues aren't polled. Of a full queue, it fetches several jobs in one round trip.
//
// It recognizes a fetch by its keys, as asynq v0.26 names them, and runs its own script, which skips ids without a job,
// instead of asynq's. If no keys match, every command passes unchanged, and asynq polls.
type fetchGate struct {
	redis.UniversalClient // also for the peeks, each of which occupies a connection while it blocks

	log      *slog.Logger
	hold     time.Duration          // longestHold
	owns     func() bool            // ConsumerOptions.Owns
	queues   map[string]*fetchQueue // by the key of their pending jobs
	ahead    *ahead
	scripts  oldestFirst
	woken    chan struct{} // releases the held fetch
	closed   chan struct{}
	once     sync.Once
	watchers sync.WaitGroup

	mu      sync.Mutex // guards the queues' states and the fields below
	cancel  context.CancelFunc
	asking  int // fetches that Redis hasn't answered yet
	closing bool
	drained chan struct{} // closed once the gate is closed and asynq has all fetched jobs
}

// A state is what the gate knows about a queue's jobs.
type state int

const (
	unknown  state = iota // it may have jobs: Redis is asked
	empty                 // it had no jobs: Redis isn't asked until the queue is woken
	yielding              // it has given jobs since it was woken, and may have more: Redis is asked
)

// A fetchQueue is a queue as the gate sees it.
type fetchQueue struct {
	name    string
	keys    []string  // of the fetch
	emptied chan bool // tells the queue's watcher, its only receiver, that the queue is empty, and whether it had given jobs

	state state
	wakes uint64 // how often it was woken: the reply to a fetch that began before the last wake doesn't change the state
	batch int    // how many jobs to ask for
}

// newFetchGate returns a gate whose queues are all unknown.
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

// open begins to watch the queues until the gate is closed, even after ctx ends.
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

// close releases the held fetch. From then on no fetch is sent to Redis, and asynq only gets jobs that were fetched before.
// Each watcher ends with Redis's next reply.
func (g *fetchGate) close() {
	g.once.Do(func() {
		close(g.closed)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closing = true
		g.cancel()
		g.signalDrained()
	})
}

// awaitWatchers waits up to watchTimeout for the watchers of a closed gate, and reports whether they have ended.
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

// signalDrained closes the channel drained if the gate is drained. Its caller holds the lock.
func (g *fetchGate) signalDrained() {
	if !g.closing || g.asking > 0 || g.ahead.some() {
		return
	}
	select {
	case <-g.drained:
	default:
		close(g.drained)
	}
}

// EvalSha runs nearly all of asynq's scripts, the fetch among them.
func (g *fetchGate) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if q := g.queueOf(keys, args); q != nil {
		return g.fetch(ctx, q, args)
	}
	s := g.scripts.known(sha1)
	if s == nil {
		return noScript(ctx)
	}
	return g.run(ctx, s, keys, args)
}

// Eval runs a script of asynq's whose text the gate, or Redis, doesn't know yet.
func (g *fetchGate) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if q := g.queueOf(keys, args); q != nil {
		return g.fetch(ctx, q, args)
	}
	return g.run(ctx, g.scripts.learn(script), keys, args)
}

func (g *fetchGate) run(ctx context.Context, s *redis.Script, keys []string, args []any) *redis.Cmd {
	return g.end(ctx, s.Run(ctx, g.UniversalClient, keys, shortened(keys, args)...), keys, args)
}

// queueOf returns the queue that a script with these keys and arguments fetches from, nil for any other script.
func (g *fetchGate) queueOf(keys []string, args []any) *fetchQueue {
	if len(keys) == 0 || len(args) != 2 {
		return nil
	}
	if q := g.queues[keys[0]]; q != nil && slices.Equal(keys, q.keys) {
		return q
	}
	return nil
}

// fetch returns a job that was fetched ahead, or fetches as many as can be begun.
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

// take returns the next job that was fetched ahead, nil if there is none.
func (g *fetchGate) take(q *fetchQueue) *redis.Cmd {
	next := g.ahead.take(q)
	if next != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.signalDrained()
	}
	return next
}

// admit returns whether to ask Redis for jobs of the queue, for how many, and how often the queue had been woken by then. It
// waits while all queues are empty.
func (g *fetchGate) admit(ctx context.Context, q *fetchQueue) (wakes uint64, batch int, ok bool) {
	var hold <-chan time.Time
	for {
		for !g.owns() { // after a hold, too: it may not consume the queues any more
			select {
			case <-time.After(pollInterval):
			case <-g.closed:
				return 0, 0, false
			case <-ctx.Done():
				return 0, 0, false
			}
		}
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

// look returns how many jobs to fetch from the queue; learn must follow. It returns 0 to try another queue, or to wait.
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

// learn updates the queue's state with a fetch's result, and returns the first job; again is true if the fetch only met ids
// without a job. A failed fetch counts as one of an empty queue: otherwise asynq would repeat it at once.
func (g *fetchGate) learn(ctx context.Context, q *fetchQueue, wakes uint64, h fetchResult) (answer *redis.Cmd, again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
	defer g.signalDrained()
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

// wake makes the next fetch ask Redis for jobs of the queue.
func (g *fetchGate) wake(q *fetchQueue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.state = unknown
	q.wakes++
	select {
	case <-q.emptied: // sent while the watcher looked, and no longer true
	default:
	}
	select {
	case g.woken <- struct{}{}:
	default: // it is being released already
	}
}

// forget makes the next fetch of each queue ask Redis.
func (g *fetchGate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.queues {
		if q.state == empty {
			q.state = unknown
		}
	}
}

// watch wakes the queue as soon as it has a job again after it was empty, until ctx ends. The pauses between peeks grow while
// peeks follow each other closely without a job, as on a paused queue, or fail.
func (g *fetchGate) watch(ctx context.Context, q *fetchQueue) {
	var begun time.Time    // when the last peek began
	var wait time.Duration // how long after that the next one may begin
	var polled bool        // the last peek failed
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
				g.logPolling(ctx, q, err)
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

// longer returns how long to wait after a wait of d that was in vain.
func longer(d, longest time.Duration) time.Duration { return min(max(2*d, shortestPause), longest) }

// peek returns nil once the queue has a job. It moves the next job onto its own place: that changes nothing, and Redis
// answers as soon as there is a job, at once if there is one already.
func (g *fetchGate) peek(ctx context.Context, q *fetchQueue) error {
	for {
		begun := time.Now()
		err := g.BLMove(ctx, q.keys[0], q.keys[0], "RIGHT", "RIGHT", peekTimeout).Err()
		if !errors.Is(err, redis.Nil) || ctx.Err() != nil || time.Since(begun) < peekTimeout/2 { // BLMOVE doesn't block, as behind some proxies
			return err
		}
	}
}

// poll wakes the queue every pollInterval for that long.
func (g *fetchGate) poll(ctx context.Context, q *fetchQueue, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !pause(ctx, pollInterval) {
			return
		}
		g.wake(q)
	}
}

// logPolling logs why a queue is polled. Only a refusal is a warning, because it lasts until an operator acts; outages are
// logged elsewhere.
func (g *fetchGate) logPolling(ctx context.Context, q *fetchQueue, err error) {
	level := slog.LevelDebug
	if redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "ERR") {
		level = slog.LevelWarn
	}
	g.log.Log(ctx, level, "the queue can't be watched with BLMOVE: it is polled", "queue", q.name, "error", err)
}
