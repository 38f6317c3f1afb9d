package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// aheadOf is how many jobs of a queue are ahead.
func (l *loopTest) aheadOf(q *fetchQueue) int { return len(l.ahead.jobs[q]) }

// fill puts as many jobs into a queue.
func (l *loopTest) fill(t *testing.T, q *fetchQueue, jobs int) {
	t.Helper()
	_, err := l.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range jobs {
			p.HSet(t.Context(), q.taskPrefix()+fmt.Sprint(i), "msg", encode(fmt.Sprint(i), q.name, ""), "state", "pending")
			p.LPush(t.Context(), q.keys[0], i)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestManyJobsAreFetchedTogetherAndInOrder(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	const jobs = 1000
	l.fill(t, q, jobs)
	for i := range jobs {
		if job, err := l.fetchOnce(q); err != nil || job != fmt.Sprint(i) {
			t.Fatalf("fetched %q, error %v; want %d", job, err, i)
		}
	}
	if n := l.trips.Load(); n > jobs/10 {
		t.Errorf("%d jobs took %d round trips", jobs, n)
	}
}

// A worker that takes more than it has slots for would let jobs wait that others could begin.
func TestNoMoreIsFetchedThanCanBegin(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 2)
	for _, q := range l.queues {
		l.fill(t, q, 500)
	}
	l.free.Store(7)
	for range 100 {
		for _, q := range l.queues {
			if _, err := l.fetchOnce(q); err != nil {
				t.Fatal(err)
			}
			if ahead := l.aheadOf(l.queues[0]) + l.aheadOf(l.queues[1]); ahead >= 7 {
				t.Fatalf("%d jobs are ahead, and asynq has one, where 7 can begin", ahead)
			}
		}
	}
	l.free.Store(-1) // as when all slots are taken, and ended jobs are not acknowledged yet
	for range 100 {
		l.ahead.all = 0
		clear(l.ahead.jobs)
		if _, err := l.fetchOnce(l.queues[0]); err != nil {
			t.Fatal(err)
		}
		if n := l.aheadOf(l.queues[0]); n > 0 {
			t.Fatalf("%d jobs are ahead, where none can begin", n)
		}
	}
}

// Redis has no job any more by then, but asynq is to come back for those that are here.
func TestAJobAheadIsNotHeld(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 2)
	first, other := l.queues[0], l.queues[1]
	const jobs = 5
	l.fill(t, first, jobs)
	first.batch = 2 * jobs
	if _, err := l.fetchOnce(other); err != redis.Nil { //nolint:errorlint // asynq compares like this
		t.Fatal(err)
	}
	if _, err := l.fetchOnce(first); err != nil || first.state != empty || l.aheadOf(first) != jobs-1 {
		t.Fatalf("%d jobs are ahead, the state is %d, error %v", l.aheadOf(first), first.state, err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := l.fetchOnce(other)
		answered <- err
	}()
	select {
	case err := <-answered:
		if err != redis.Nil { //nolint:errorlint // asynq compares like this
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the next fetch is held")
	}
}

func TestAClosedGateGivesOutWhatItHas(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	const jobs = 20
	l.fill(t, q, jobs)
	got := 0
	for l.aheadOf(q) < 3 {
		if _, err := l.fetchOnce(q); err != nil {
			t.Fatal(err)
		}
		got++
	}
	l.close()
	for ; ; got++ {
		select {
		case <-l.drained:
			if l.aheadOf(q) > 0 {
				t.Errorf("drained, with %d jobs ahead", l.aheadOf(q))
			}
		default:
			if l.aheadOf(q) == 0 {
				t.Error("not drained, with no job ahead")
			}
		}
		if _, err := l.fetchOnce(q); err != nil {
			break
		}
	}
	left, err := l.LLen(t.Context(), q.keys[0]).Result()
	if err != nil || got+int(left) != jobs || left == 0 {
		t.Errorf("of %d jobs, %d were given out and %d are left, error %v", jobs, got, left, err)
	}
}

// What was asked for before the gate closed is answered after it.
func TestAGateIsNotDrainedWhileItAsks(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	wakes, _, _ := l.admit(t.Context(), l.queues[0])
	l.close()
	select {
	case <-l.drained:
		t.Fatal("drained, and an answer is to come")
	default:
	}
	l.learn(t.Context(), l.queues[0], wakes, fetchResult{asked: 1})
	<-l.drained
}

// asynq's own messages, and its own server, which doesn't get to begin them.
func TestWhatIsAheadIsPutBackWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.Redis(t))
	queue := "q_" + uuid.NewString()
	c, inspector := asynq.NewClientFromRedisClient(rdb), asynq.NewInspectorFromRedisClient(rdb)
	const jobs = 20
	for i := range jobs {
		task := asynq.NewTaskWithHeaders("t", []byte("payload"), map[string]string{"header": "value"})
		if _, err := c.Enqueue(task, asynq.Queue(queue), asynq.TaskID(fmt.Sprintf("%s.%02d", queue, i)), asynq.Retention(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := NewConsumer(rdb, ConsumerOptions{Worker: "w", Concurrency: 100, Queues: map[string]int{queue: 1}, Free: func() int { return 100 }})
	if err != nil {
		t.Fatal(err)
	}
	q := s.gate.queues[KeysOf(queue).Pending()]
	q.batch = 7
	if err := asynqScript.Run(t.Context(), s.gate, q.keys, 1, q.taskPrefix()).Err(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.gate.ahead.jobs[q]); n != 6 {
		t.Fatalf("%d jobs are ahead", n)
	}
	for range 2 { // a second time there is nothing to do
		if err := s.gate.ahead.putBack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pending, err := inspector.ListPendingTasks(queue, asynq.PageSize(100))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, task := range pending {
		ids = append(ids, task.ID)
	}
	if len(ids) != jobs-1 || ids[0] != queue+".01" || !slices.IsSorted(ids) {
		t.Errorf("pending are %v; want all but the first, in their order", ids)
	}
	if leases, err := rdb.ZRange(t.Context(), q.keys[3], 0, -1).Result(); err != nil || !slices.Equal(leases, []string{queue + ".00"}) {
		t.Errorf("leases of %v, error %v", leases, err)
	}
}

// All of a fetch's answers have to arrive in time.
func TestLargeJobsAreFetchedOneByOne(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	large := strings.Repeat("x", mostBytesAhead/2)
	for i := range 8 {
		l.pushMessage(t, q, fmt.Sprint(i), encode(fmt.Sprint(i), q.name, large))
	}
	for i := range 8 {
		if _, err := l.fetchOnce(q); err != nil {
			t.Fatal(err)
		}
		if n := l.aheadOf(q); i > 0 && n > 1 {
			t.Fatalf("%d jobs of half a megabyte are ahead", n)
		}
	}
}

// A fetch that reaches Redis late, after the queue was lost, takes nothing: the gate had found the claim in order before.
func TestALateFetchTakesNothingOfAnother(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner map[string]any
		taken bool
	}{
		"no owner":                  {nil, true},
		"this worker's claim":       {map[string]any{"installation": "mine", "w:w": "1"}, true},
		"another installation's":    {map[string]any{"installation": "other", "w:w": "1"}, false},
		"that of another copy":      {map[string]any{"installation": "mine", "w:v": "1"}, false},
		"a claim without an owner":  {map[string]any{"nonce": "x"}, true},
		"what isn't a claim at all": {map[string]any{"": "x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLoopTest(t, 1)
			q := l.queues[0]
			l.ahead.owner, l.ahead.claims = "mine", "w"
			for field, value := range c.owner {
				var err error
				if field == "" {
					err = l.Set(t.Context(), ownerKey(q.name), value, 0).Err()
				} else {
					err = l.HSet(t.Context(), ownerKey(q.name), field, value).Err()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			l.push(t, q, "job")
			if id, err := l.fetchOnce(q); (id == "job") != c.taken || (err == nil) != c.taken {
				t.Errorf("fetched %q, %v", id, err)
			}
		})
	}
}
