package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
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
	mostAhead = 32
	// mostBytesAhead is about how large they are together: all have to arrive within one read's timeout.
	mostBytesAhead = 1 << 20
)

// A fetchGate is the Redis that asynq's fetch loop sees. asynq polls: it asks one queue after the other for one job, and
// sleeps when none has one. The gate answers for queues that are known to be empty, and holds a fetch while all are; so
// a job is fetched at once, and Redis isn't asked in vain. Where there are many jobs, it fetches several in one round
// trip, and keeps those that asynq hasn't asked for yet: to everybody else they are in the hands of this worker.
//
// It knows a fetch by its keys, as asynq v0.26 names them. Where none matches, every command passes untouched, and asynq
// polls.
type fetchGate struct {
	redis.UniversalClient // also for the peeks: each has a connection of its own for as long as it waits

	log    *slog.Logger
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
	size     int          // of the largest of the jobs that came last, in bytes
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
		prefix := "asynq:{" + name + "}:"
		q := &fetchQueue{
			name: name, emptied: make(chan struct{}, 1), appetite: 1,
			keys: []string{prefix + "pending", prefix + "paused", prefix + "active", prefix + "lease"},
		}
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
	return g.fetch(ctx, keys, func(n int) []*redis.Cmd {
		if n == 1 {
			return []*redis.Cmd{g.UniversalClient.EvalSha(ctx, sha1, keys, args...)}
		}
		answers := make([]*redis.Cmd, n)
		all := g.Pipeline()
		for i := range answers {
			answers[i] = all.EvalSha(ctx, sha1, keys, args...)
		}
		_, _ = all.Exec(ctx) // each has its own error
		return answers
	})
}

// Eval is what asynq fetches with when Redis doesn't know the script.
func (g *fetchGate) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return g.fetch(ctx, keys, func(int) []*redis.Cmd {
		return []*redis.Cmd{g.UniversalClient.Eval(ctx, script, keys, args...)}
	})
}

// fetch answers with a job that was fetched before, or asks for as many as there may be use for.
func (g *fetchGate) fetch(ctx context.Context, keys []string, ask func(n int) []*redis.Cmd) *redis.Cmd {
	q := g.queueOf(keys)
	if q == nil {
		return ask(1)[0]
	}
	if ahead := g.take(q); ahead != nil {
		return ahead
	}
	rings, ok := g.admit(ctx, q)
	if !ok {
		none := redis.NewCmd(ctx)
		none.SetErr(redis.Nil)
		return none
	}
	return g.learn(q, rings, ask(g.appetiteFor(q)))
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

// giveBack puts what is still ahead back to the front of its queue, in its order. What it can't put back is found by
// whoever looks after dead workers' jobs.
func (g *fetchGate) giveBack(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var problems []error
	for _, q := range g.queues {
		for _, answer := range slices.Backward(q.ahead) {
			message, _ := answer.Text()
			id, err := taskID([]byte(message))
			if err == nil {
				pending, active, lease := q.keys[0], q.keys[2], q.keys[3]
				err = unfetch.Run(ctx, g.UniversalClient, []string{pending, active, lease, strings.TrimSuffix(pending, "pending") + "t:" + id}, id).Err()
			}
			problems = append(problems, err)
		}
		q.ahead = nil
	}
	return errors.Join(problems...)
}

// unfetch undoes a fetch, unless somebody else has done so.
var unfetch = redis.NewScript(`
if redis.call("LREM", KEYS[2], 0, ARGV[1]) == 1 then
	redis.call("ZREM", KEYS[3], ARGV[1])
	redis.call("HSET", KEYS[4], "state", "pending")
	redis.call("RPUSH", KEYS[1], ARGV[1])
end
return 1`)

// taskID reads a task's id out of asynq's message, in which it is field 3.
func taskID(message []byte) (string, error) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return "", protowire.ParseError(n)
		}
		message = message[n:]
		if number == 3 && kind == protowire.BytesType {
			id, n := protowire.ConsumeString(message)
			return id, protowire.ParseError(min(n, 0))
		}
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return "", protowire.ParseError(n)
		}
		message = message[n:]
	}
	return "", errors.New("the message names no task")
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
	return max(1, min(q.appetite, free, mostAhead, mostBytesAhead/max(1, q.size)))
}

func (g *fetchGate) queueOf(keys []string) *fetchQueue {
	if len(keys) == 0 {
		return nil
	}
	if q := g.queues[keys[0]]; q != nil && slices.Equal(keys, q.keys) {
		return q
	}
	return nil
}

// admit tells whether Redis is to be asked for a job of the queue, and how often the queue had rung by then. It waits
// while all queues are believed empty.
func (g *fetchGate) admit(ctx context.Context, q *fetchQueue) (rings uint64, ok bool) {
	var hold <-chan time.Time
	for !g.owns() {
		select {
		case <-time.After(pollInterval):
		case <-g.closed:
			return 0, false
		case <-ctx.Done():
			return 0, false
		}
	}
	for {
		rings, ok, wait := g.look(q)
		if !wait {
			return rings, ok
		}
		if hold == nil {
			timer := time.NewTimer(g.hold)
			defer timer.Stop()
			hold = timer.C
		}
		select {
		case <-g.bell:
		case <-hold:
			g.doubt()
		case <-g.closed:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// look tells whether to ask the queue for jobs, which learn must follow, to go on to another one, or to wait.
func (g *fetchGate) look(q *fetchQueue) (rings uint64, ask, wait bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return 0, false, false
	}
	if !q.empty {
		g.asking++
		return q.rings, true, false
	}
	for _, other := range g.queues {
		if !other.empty || len(other.ahead) > 0 {
			return 0, false, false
		}
	}
	return 0, false, true
}

// learn draws a conclusion from how a fetch went, and returns the first answer. A failed one counts as fruitless, or asynq
// would repeat it at once.
func (g *fetchGate) learn(q *fetchQueue, rings uint64, answers []*redis.Cmd) *redis.Cmd {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
	defer g.tellDrained()
	var jobs []*redis.Cmd
	q.size = 0
	for _, answer := range answers {
		if message, err := answer.Text(); err == nil {
			jobs = append(jobs, answer)
			q.size = max(q.size, len(message))
		}
	}
	last := answers[len(answers)-1]
	switch {
	case last.Err() == nil:
		q.appetite = min(2*len(answers), mostAhead)
	case redis.HasErrorPrefix(last.Err(), "NOSCRIPT"): // the same question follows in full
	case rings == q.rings: // else the answer may be older than the ring
		q.appetite, q.empty = 1, true
		select {
		case q.emptied <- struct{}{}:
		default:
		}
	}
	if len(jobs) == 0 {
		return last
	}
	q.fruitful = true
	q.ahead = append(q.ahead, jobs[1:]...)
	return jobs[0]
}

// ring tells that the queue may have jobs.
func (g *fetchGate) ring(q *fetchQueue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.empty, q.fruitful = false, false
	q.rings++
	select {
	case <-q.emptied: // told while the watcher looked, and no longer true
	default:
	}
	select {
	case g.bell <- struct{}{}:
	default: // it is being woken
	}
}

// doubt takes every queue for one that may have jobs, until Redis says otherwise.
func (g *fetchGate) doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.queues {
		q.empty = false
	}
}

// watch rings for the queue as soon as one that is believed empty has a job, until ctx ends.
func (g *fetchGate) watch(ctx context.Context, q *fetchQueue) {
	var begun time.Time // the last peek
	var pace, blindness time.Duration
	for {
		select {
		case <-q.emptied:
		case <-ctx.Done():
			return
		}
		pace = g.pace(q, time.Since(begun), pace)
		if !sleep(ctx, time.Until(begun.Add(pace))) {
			return
		}
		begun = time.Now()
		err := g.peek(ctx, q)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			blindness = 0
			g.ring(q)
		default:
			if blindness == 0 {
				g.tell(ctx, q, err)
			}
			blindness = min(max(2*blindness, pollInterval), longestBlindness)
			g.poll(ctx, q, blindness)
		}
	}
}

// pace is how long after the last peek the next one may begin. Rings that soon follow each other and lead to no job, as
// those of a paused queue do, come ever more seldom.
func (g *fetchGate) pace(q *fetchQueue, sinceLast, last time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q.fruitful || sinceLast >= longestPace {
		return 0
	}
	return min(max(2*last, shortestPace), longestPace)
}

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

// poll rings in regular intervals for that long.
func (g *fetchGate) poll(ctx context.Context, q *fetchQueue, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !sleep(ctx, pollInterval) {
			return
		}
		g.ring(q)
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

// sleep tells whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
