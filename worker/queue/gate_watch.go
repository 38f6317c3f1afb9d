package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

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
		if !pause(ctx, time.Until(begun.Add(pace))) {
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
		if !pause(ctx, pollInterval) {
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
