package queue

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// keysOf are the keys that the queue has in Redis.
func (l *loopTest) keysOf(t *testing.T, q *fetchQueue) []string {
	t.Helper()
	keys, err := l.Keys(t.Context(), KeysOf(q.name).prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// plant runs commands that nobody of us would run.
func (l *loopTest) plant(t *testing.T, commands func(redis.Pipeliner)) {
	t.Helper()
	if _, err := l.Pipelined(t.Context(), func(p redis.Pipeliner) error { commands(p); return nil }); err != nil {
		t.Fatal(err)
	}
}

// However many ids without a job are before it, the first fetch brings the job, and nothing of them is left.
func TestIDsWithoutAJobHoldNothingUp(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	said := &bytes.Buffer{}
	l.ahead.log = slog.New(slog.NewTextHandler(said, nil))
	pending, active, lease, prefix := q.keys[0], q.keys[2], q.keys[3], q.taskPrefix()
	completed := strings.TrimSuffix(pending, "pending") + "completed"
	l.plant(t, func(p redis.Pipeliner) {
		for i := range 2500 {
			id := fmt.Sprint("ghost", i)
			switch i % 5 {
			case 1:
				p.HSet(t.Context(), prefix+id, "state", "pending", "pending_since", 1)
			case 2:
				p.Set(t.Context(), prefix+id, "a string", 0)
			case 3:
				p.HSet(t.Context(), prefix+id, "msg", "", "state", "pending")
			}
			p.LPush(t.Context(), pending, id)
		}
		p.HSet(t.Context(), prefix+"inhand", "msg", encode("inhand", q.name, ""), "state", "active")
		p.LPush(t.Context(), active, "inhand")
		p.ZAdd(t.Context(), lease, redis.Z{Score: 5, Member: "inhand"})
		p.HSet(t.Context(), prefix+"ended", "msg", encode("ended", q.name, ""), "state", "completed")
		p.ZAdd(t.Context(), completed, redis.Z{Score: 5, Member: "ended"})
		p.LPush(t.Context(), pending, "inhand", "ended")
	})
	l.push(t, q, "1", "2")
	q.batch = 2
	for _, want := range []string{"1", "2"} {
		if job, err := l.fetchOnce(q); err != nil || job != want {
			t.Fatalf("fetched %q, error %v; want %s", job, err, want)
		}
	}
	if got, want := l.keysOf(t, q), []string{active, completed, lease, prefix + "1", prefix + "2", prefix + "ended", prefix + "inhand"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if ids, err := l.LRange(t.Context(), active, 0, -1).Result(); err != nil || !slices.Equal(ids, []string{"2", "1", "inhand"}) {
		t.Errorf("active are %q, error %v", ids, err)
	}
	if n := strings.Count(said.String(), "\n"); n != 3 {
		t.Errorf("it says so %d times:\n%s", n, said)
	}
}

// A queue that holds nothing but ids without a job is as empty as any other.
func TestAQueueOfIDsWithoutAJobIsEmpty(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	l.plant(t, func(p redis.Pipeliner) { p.LPush(t.Context(), q.keys[0], "1", "2", "3") })
	if job, err := l.fetchOnce(q); err != redis.Nil { //nolint:errorlint // asynq compares like this
		t.Errorf("fetched %q, error %v", job, err)
	}
	if q.state != empty {
		t.Error("the queue isn't taken for empty")
	}
	if keys := l.keysOf(t, q); len(keys) != 0 {
		t.Errorf("left are %q", keys)
	}
}

// asynq stops at a message that it can't read, and its recovery of all queues with it.
func TestATaskThatCantBeReadIsDeleted(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	said := &bytes.Buffer{}
	l.ahead.log = slog.New(slog.NewTextHandler(said, nil))
	l.pushMessage(t, q, "garbage", "\xff\xfesecret")
	l.pushMessage(t, q, "noutf8", encode("noutf8", q.name, "")+"\x0a\x01\xff")
	l.pushMessage(t, q, "another", encode("other", q.name, "secret"))
	l.pushMessage(t, q, "elsewhere", encode("elsewhere", "q_other", "secret"))
	l.pushMessage(t, q, "\xfe"+strings.Repeat("long", 100), "\xff")
	l.push(t, q, "1")
	q.batch = 3
	if job, err := l.fetchOnce(q); err != nil || job != "1" {
		t.Fatalf("fetched %q, error %v", job, err)
	}
	if got, want := l.keysOf(t, q), []string{q.keys[2], q.keys[3], q.taskPrefix() + "1"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if text := said.String(); strings.Count(text, "a task that can't be read is deleted") != 5 || strings.Contains(text, "secret") || len(text) > 1500 {
		t.Errorf("it says:\n%s", text)
	}
}

// An id that is taken, and then can't be kept, would be lost.
func TestAFetchThatCantKeepAJobTakesNone(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	for _, key := range q.keys[2:] {
		l.push(t, q, "1")
		l.plant(t, func(p redis.Pipeliner) { p.Set(t.Context(), key, "a string", 0) })
		if _, err := l.fetchOnce(q); err == nil || err == redis.Nil { //nolint:errorlint // asynq compares like this
			t.Errorf("error %v", err)
		}
		l.forget()
		l.plant(t, func(p redis.Pipeliner) { p.Del(t.Context(), key) })
		if job, err := l.fetchOnce(q); err != nil || job != "1" {
			t.Errorf("fetched %q, error %v", job, err)
		}
		l.plant(t, func(p redis.Pipeliner) { p.Del(t.Context(), q.keys[2:]...) })
	}
}

// What Redis has lost since it was fetched isn't put back: it would be an id without a job.
func TestALostTaskIsNotPutBack(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	l.push(t, q, "1", "2", "3")
	q.batch = 3
	if _, err := l.fetchOnce(q); err != nil {
		t.Fatal(err)
	}
	l.plant(t, func(p redis.Pipeliner) { p.Del(t.Context(), q.taskPrefix()+"2") })
	if err := l.ahead.putBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := l.keysOf(t, q), []string{q.keys[2], q.keys[3], q.keys[0], q.taskPrefix() + "1", q.taskPrefix() + "3"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if ids, err := l.LRange(t.Context(), q.keys[0], 0, -1).Result(); err != nil || !slices.Equal(ids, []string{"3"}) {
		t.Errorf("pending are %q, error %v", ids, err)
	}
}
