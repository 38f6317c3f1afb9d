package queue

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// A task that has lost its lease and is fetched again is in hand once: what ends it takes out one entry alone.
func TestAnIDIsInHandOnce(t *testing.T) {
	t.Parallel()
	l := newLoopTest(t, 1)
	q := l.queues[0]
	pending, active, prefix := q.keys[0], q.keys[2], q.taskPrefix()
	l.plant(t, func(p redis.Pipeliner) {
		p.HSet(t.Context(), prefix+"lost", "msg", encode("lost", q.name, ""), "state", "active")
		p.LPush(t.Context(), active, "lost", "another")
		p.LPush(t.Context(), pending, "lost")
	})
	if job, err := l.fetchOnce(q); err != nil || job != "lost" {
		t.Fatalf("fetched %q, %v", job, err)
	}
	if n := len(l.LPosCount(t.Context(), active, "lost", 0, redis.LPosArgs{}).Val()); n != 1 {
		t.Errorf("it is in hand %d times", n)
	}
}

// asynq's script that ends a task is known by its text, and runs with the list read from its end: another release of asynq may spell it
// otherwise.
func TestEndsReadTheListFromItsEnd(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.Redis(t))
	name := "q_" + rig.New(t).Queue
	c, err := NewConsumer(rdb, ConsumerOptions{Worker: "w", Concurrency: 1, Queues: map[string]int{name: 1}, Free: func() int { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	if err := c.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { close(ended); return nil })); err != nil {
		t.Fatal(err)
	}
	if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("kind", nil), asynq.Queue(name), asynq.Retention(time.Hour)); err != nil {
		t.Fatal(err)
	}
	<-ended
	rig.Eventually(t, "the task is completed", func() bool { return rdb.ZCard(t.Context(), KeysOf(name).Completed()).Val() == 1 })
	c.Shutdown()
	edited := 0
	for hash, runs := range c.gate.scripts.scripts {
		if runs.Hash() != hash {
			edited++
		}
	}
	if edited != 1 {
		t.Errorf("%d of %d scripts of asynq's read the list from its end, want the one that ends a task", edited, len(c.gate.scripts.scripts))
	}
}
