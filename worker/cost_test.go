package worker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/invoice"
)

// A counter counts the commands that go over a connection.
type counter struct{ commands atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.commands.Add(1)
		return next(ctx, cmds)
	}
}

// An uncontended job costs two round trips of ours, and a duplicate that Redis remembers costs one.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rdb := rig.Connect(t, b.RedisURL)
	count := &counter{}
	rdb.AddHook(count)
	w := b.start(t, "w1", func(p *parts) { p.redis, p.Concurrency = rdb, 1 })
	ask := func(prefix string, jobs int, want invoice.Outcome) int64 {
		t.Helper()
		before := count.commands.Load()
		for i := range jobs {
			b.enqueue(t, job(fmt.Sprintf("%s%d", prefix, i)))
		}
		for range jobs {
			if e := w.ended(t); e.Outcome != want {
				t.Errorf("ended as %s, want %s", e.Outcome, want)
			}
		}
		return count.commands.Load() - before
	}
	ask("W", 1, invoice.Created) // the first one of all sends the scripts
	const jobs = 20
	if n := ask("T", jobs, invoice.Created); n != 2*jobs {
		t.Errorf("%d jobs cost %d round trips, want 2 each", jobs, n)
	}
	if n := ask("T", jobs, invoice.Duplicate); n != jobs {
		t.Errorf("%d duplicates cost %d round trips, want 1 each", jobs, n)
	}
}
