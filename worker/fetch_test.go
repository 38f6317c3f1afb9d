package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker"
	"invoicer/worker/client"
)

// A fetchCounter counts how often a worker asks for a job, and how often it has itself told when there is one.
type fetchCounter struct{ asked, peeked atomic.Int64 }

func (c *fetchCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *fetchCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch line := fmt.Sprint(cmd.Args()...); {
		case cmd.Name() == "blmove":
			c.peeked.Add(1)
		case strings.HasPrefix(cmd.Name(), "eval") && strings.Contains(line, ":paused"):
			c.asked.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c *fetchCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func counted(t *testing.T, b *site) (*fetchCounter, func(*parts)) {
	t.Helper()
	c, rdb := &fetchCounter{}, rig.Connect(t, b.RedisURL)
	rdb.AddHook(c)
	return c, func(p *parts) { p.queue = rdb }
}

// inTwoSeconds is how often what is counted happens. Of what doesn't happen nothing tells, so time has to pass.
func inTwoSeconds(count func() int64) int64 {
	before := count()
	time.Sleep(2 * time.Second)
	return count() - before
}

// If the gate didn't recognize how asynq fetches, it would be asked hundreds of times.
func TestAnIdleWorkerAsksSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, count := counted(t, b)
	queues := map[string]int{b.Queue: 6, b.Queue + "_2": 3, b.Queue + "_3": 1}
	b.start(t, "w1", count, func(p *parts) { p.Queues = queues })
	rig.Eventually(t, "a peek at each queue", func() bool { return c.peeked.Load() >= int64(len(queues)) })
	if n := inTwoSeconds(func() int64 { return c.asked.Load() + c.peeked.Load() }); n > 60 {
		t.Errorf("asked %d times in two seconds", n)
	}
}

func TestAPausedQueueIsAskedSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, count := counted(t, b)
	w := b.start(t, "w1", count)
	b.enqueue(t, job("T1"))
	w.ended(t)
	if err := b.Inspector.PauseQueue(b.Queue); err != nil {
		t.Fatal(err)
	}
	b.enqueue(t, job("T2"))
	if n := inTwoSeconds(func() int64 { return c.asked.Load() + c.peeked.Load() }); n > 60 {
		t.Errorf("asked %d times in two seconds", n)
	}
	b.tally(t, 1, 0, 0)
	if err := b.Inspector.UnpauseQueue(b.Queue); err != nil {
		t.Fatal(err)
	}
	w.ended(t)
	b.tally(t, 2, 0, 0)
}

func TestARedisThatRefusesPeeksIsPolled(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivateRedis(t)
	b := newSite(t, rig.On(t, rig.NewDatabase(t), server.URL))
	if err := b.Redis.Do(t.Context(), "ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", "-blmove").Err(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("worker", "secret")
	b.RedisURL = u.String()
	c, count := counted(t, b)
	log := newBook()
	w := b.start(t, "w1", count, func(p *parts) { p.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	rig.Eventually(t, "two refusals", func() bool { return c.peeked.Load() >= 2 })
	for i := range 5 {
		b.enqueue(t, job(fmt.Sprint(i)))
		w.ended(t)
	}
	if n := inTwoSeconds(c.asked.Load); n > 100 {
		t.Errorf("asked %d times in two seconds", n)
	}
	if n := strings.Count(log.text(), "it is polled"); n != 1 {
		t.Errorf("said %d times that the queue is polled:\n%s", n, log.text())
	}
	b.tally(t, 5, 0, 0)
}

func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivateRedis(t)
	b := newSite(t, rig.On(t, rig.NewDatabase(t), server.URL))
	w := b.start(t, "w1")
	for i := range 2 {
		b.enqueue(t, job(fmt.Sprint(i)))
		w.ended(t)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.enqueue(t, job("T"))
	w.ended(t)
	b.tally(t, 3, 0, 0)
}

// The queue with most of the weight always has jobs.
func TestNoQueueStarves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rare := b.Queue + "_rare"
	w := b.start(t, "w1", func(p *parts) {
		p.Queues, p.Concurrency = map[string]int{b.Queue: 6, rare: 1}, 2
	})
	const many, few = 300, 5
	for i := range many {
		b.enqueue(t, job(fmt.Sprint("often", i)))
	}
	w.ended(t)
	c, err := client.New(b.Redis, client.Options{Queue: rare})
	if err != nil {
		t.Fatal(err)
	}
	for i := range few {
		if _, err := c.Enqueue(t.Context(), job(fmt.Sprint("rare", i))); err != nil {
			t.Fatal(err)
		}
	}
	for n, done := 1, 0; done < few; n++ {
		if w.ended(t).Queue == rare {
			done++
		}
		if n == many {
			t.Fatalf("%d of %d jobs of the light queue are done when the heavy one is", done, few)
		}
	}
}

func TestTwoWorkersShareAQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ended atomic.Int64
	both := func(p *parts) {
		p.Observe = func(e worker.Event) {
			if e.What == worker.Ended {
				ended.Add(1)
			}
		}
	}
	b.start(t, "w1", both)
	b.start(t, "w2", both)
	const rounds, jobs = 20, 5
	for i := range rounds {
		for j := range jobs {
			b.enqueue(t, job(fmt.Sprintf("%d.%d", i, j)))
		}
		rig.Eventually(t, "the ends of a round", func() bool { return ended.Load() == int64((i+1)*jobs) })
	}
	b.tally(t, rounds*jobs, 0, 0)
}
