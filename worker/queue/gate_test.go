package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// A loopTest is a gate in front of a real Redis, whose held fetches only a queue that is woken lets go of.
type loopTest struct {
	*fetchGate
	queues  []*fetchQueue
	asked   atomic.Int64 // scripts
	trips   atomic.Int64 // round trips with scripts
	free    atomic.Int64
	refuses atomic.Bool // peeks
	fetched chan string
}

func newLoopTest(t *testing.T, queues int) *loopTest {
	t.Helper()
	rdb := rig.Connect(t, sandboxtest.Redis(t))
	weights := make(map[string]int)
	for range queues {
		weights["q_"+uuid.NewString()] = 1
	}
	l := &loopTest{fetched: make(chan string, 1000)}
	l.free.Store(1000)
	o := ConsumerOptions{Worker: "w", Concurrency: 1000, Queues: weights, Free: func() int { return int(l.free.Load()) }}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	l.fetchGate = newFetchGate(rdb, o)
	l.hold = time.Hour
	rdb.AddHook(l)
	for _, q := range l.fetchGate.queues {
		l.queues = append(l.queues, q)
	}
	t.Cleanup(func() {
		l.close()
		if !l.awaitWatchers() {
			t.Error("a watcher outlives the gate")
		}
	})
	return l
}

func (l *loopTest) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *loopTest) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			l.asked.Add(1)
			l.trips.Add(1)
		}
		if cmd.Name() == "blmove" && l.refuses.Load() {
			return errors.New("NOPERM")
		}
		return next(ctx, cmd)
	}
}

func (l *loopTest) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		l.asked.Add(int64(len(all)))
		l.trips.Add(1)
		return next(ctx, all)
	}
}

// asynqScript stands for the one that asynq fetches with.
var asynqScript = redis.NewScript(`return redis.error_reply("the gate lets it pass")`)

// fetchOnce asks one queue, as asynq does, and returns the job's id.
func (l *loopTest) fetchOnce(q *fetchQueue) (string, error) {
	encoded, err := asynqScript.Run(context.Background(), l, q.keys, time.Now().Add(30*time.Second).Unix(), q.taskPrefix()).Text()
	if err != nil {
		return "", err
	}
	m, err := parseMessage(encoded)
	return m.id, err
}

func (q *fetchQueue) taskPrefix() string { return q.keysWith("")[3] }

// encode makes a message of asynq's.
func encode(id, queue, payload string) string {
	var b []byte
	for number, part := range map[protowire.Number]string{fieldID: id, fieldQueue: queue, fieldPayload: payload} {
		b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), part)
	}
	return string(b)
}

// loop fetches as asynq does until the gate is closed.
func (l *loopTest) loop() {
	for {
		select {
		case <-l.closed:
			return
		default:
		}
		for _, i := range rand.Perm(len(l.queues)) {
			if job, err := l.fetchOnce(l.queues[i]); err == nil {
				l.fetched <- job
				break
			}
		}
	}
}

func (l *loopTest) push(t *testing.T, q *fetchQueue, jobs ...string) {
	t.Helper()
	for _, job := range jobs {
		l.pushMessage(t, q, job, encode(job, q.name, ""))
	}
}

func (l *loopTest) pushMessage(t *testing.T, q *fetchQueue, id, message string) {
	t.Helper()
	_, err := l.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.HSet(t.Context(), q.taskPrefix()+id, "msg", message, "state", "pending")
		p.LPush(t.Context(), q.keys[0], id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (l *loopTest) await(t *testing.T) string {
	t.Helper()
	return rig.Receive(t, l.fetched, "a job that is fetched")
}

func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 2)
	l.open(t.Context())
	go l.loop()
	for round := range 500 {
		jobs := 1 + round%3
		for i := range jobs {
			l.push(t, l.queues[rand.IntN(len(l.queues))], fmt.Sprintf("%d.%d", round, i))
		}
		for range jobs {
			l.await(t)
		}
	}
}

func TestNoWakingIsLost(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	const times = 100_000
	go func() {
		for range times {
			<-q.emptied
			l.wake(q)
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range times {
			wakes, _, _ := l.admit(context.Background(), q)
			l.learn(context.Background(), q, wakes, fetchResult{asked: 1})
		}
	}()
	rig.Receive(t, done, "every fetch, as the queue was woken")
}

func TestAQueueThatCantBePeekedIsPolled(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	l.refuses.Store(true)
	l.open(t.Context())
	go l.loop()
	for i := range 5 {
		l.push(t, l.queues[0], fmt.Sprint(i))
		l.await(t)
	}
}

func TestAPeekChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	want := []string{"3", "2", "1"}
	for _, job := range slices.Backward(want) {
		l.push(t, q, job)
		if err := l.peek(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := l.LRange(t.Context(), q.keys[0], 0, -1).Result(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, error %v; want %v", got, err, want)
	}
}

// Nobody watches the queue here.
func TestAnEmptyQueueIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 2)
	l.hold = time.Millisecond
	for _, q := range l.queues {
		if job, err := l.fetchOnce(q); err != redis.Nil { //nolint:errorlint // asynq compares like this
			t.Fatalf("fetched %q, error %v", job, err)
		}
	}
	go l.loop()
	for i, q := range l.queues {
		l.push(t, q, fmt.Sprint(i))
		if job := l.await(t); job != fmt.Sprint(i) {
			t.Errorf("fetched %s", job)
		}
	}
}

func TestAnEmptyQueueIsNotAskedWhileAnotherHasJobs(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 2)
	if job, err := l.fetchOnce(l.queues[0]); err != redis.Nil { //nolint:errorlint // asynq compares like this
		t.Fatalf("fetched %q, error %v", job, err)
	}
	before := l.asked.Load()
	if job, err := l.fetchOnce(l.queues[0]); err != redis.Nil { //nolint:errorlint // asynq compares like this
		t.Errorf("fetched %q, error %v", job, err)
	}
	if n := l.asked.Load() - before; n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestAnAnswerFromBeforeTheWakingIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	wakes, _, ok := l.admit(t.Context(), q)
	if !ok {
		t.Fatal("a new gate takes a queue for empty")
	}
	l.wake(q)
	l.learn(t.Context(), q, wakes, fetchResult{asked: 1})
	wakes, batch, _ := l.look(q)
	if batch == 0 {
		t.Fatal("it takes the queue for empty")
	}
	l.learn(t.Context(), q, wakes, fetchResult{asked: 1})
	if _, _, wait := l.look(q); !wait {
		t.Error("it doesn't take the queue for empty")
	}
}

// The back-off between peeks begins anew after a job, and not after a waking that led to none.
func TestAQueueIsKnownToHaveGivenJobs(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	job := redis.NewCmd(t.Context())
	for _, step := range []struct {
		what    string
		wake    bool
		fetches []fetchResult
		gave    bool
		state   state
	}{
		{what: "nothing", fetches: []fetchResult{{asked: 1}}, state: empty},
		{what: "ids without a job", wake: true, fetches: []fetchResult{{asked: 1, more: true}, {asked: 2}}, state: empty},
		{what: "the only jobs", wake: true, fetches: []fetchResult{{asked: 2, jobs: []*redis.Cmd{job}}}, gave: true, state: empty},
		{what: "a job, and no other", wake: true, fetches: []fetchResult{{asked: 1, jobs: []*redis.Cmd{job}, more: true}, {asked: 2}}, gave: true, state: empty},
		{what: "an error", wake: true, fetches: []fetchResult{{asked: 1, err: redis.ErrClosed}}, state: empty},
		{what: "more jobs", wake: true, fetches: []fetchResult{{asked: 1, jobs: []*redis.Cmd{job}, more: true}}, state: yielding},
	} {
		if step.wake {
			l.wake(q)
		}
		for _, h := range step.fetches {
			wakes, batch, _ := l.look(q)
			if batch == 0 {
				t.Fatalf("%s: the queue isn't asked", step.what)
			}
			l.learn(t.Context(), q, wakes, h)
		}
		if q.state != step.state {
			t.Errorf("%s: state %d, want %d", step.what, q.state, step.state)
		}
		if step.state != empty {
			continue
		}
		if gave := <-q.emptied; gave != step.gave {
			t.Errorf("%s: it gave jobs: %t", step.what, gave)
		}
	}
}

func TestShutdownLetsGoOfHeldFetches(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.Redis(t))
	s, err := NewConsumer(rdb, ConsumerOptions{
		Worker: "w", Concurrency: 2, Queues: map[string]int{"q_" + uuid.NewString(): 1}, Free: func() int { return 2 }, ShutdownTimeout: 15 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.gate.hold = time.Hour
	if err := s.Start(asynq.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	for _, q := range s.gate.queues {
		for wait := false; !wait; { // nothing tells that a fetch is held
			_, _, wait = s.gate.look(q)
		}
	}
	stopped := make(chan struct{})
	go func() {
		s.Shutdown()
		close(stopped)
	}()
	rig.Receive(t, stopped, "its end, in spite of a held fetch")
}
