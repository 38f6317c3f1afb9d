package queue

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// An OutageBackoff is a hook of a Redis client that delays the reply to every command while Redis can't be reached. asynq's
// loops retry at once after an error, which would keep a core busy.
type OutageBackoff struct{ failures atomic.Int64 }

const (
	leastBackoff = 20 * time.Millisecond
	mostBackoff  = time.Second
)

// DialHook changes nothing.
func (b *OutageBackoff) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook slows a command down.
func (b *OutageBackoff) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return b.slowDown(ctx, next(ctx, cmd))
	}
}

// ProcessPipelineHook slows a pipeline down.
func (b *OutageBackoff) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return b.slowDown(ctx, next(ctx, cmds))
	}
}

// slowDown returns err, after a delay if it means that Redis can't be reached.
func (b *OutageBackoff) slowDown(ctx context.Context, err error) error {
	var network net.Error
	if !errors.As(err, &network) && !errors.Is(err, io.EOF) {
		if b.failures.Load() != 0 {
			b.failures.Store(0)
		}
		return err
	}
	if ctx.Err() != nil {
		return err
	}
	delay := min(leastBackoff<<min(b.failures.Add(1), 10), mostBackoff)
	pause := time.NewTimer(delay/2 + rand.N(delay/2)) //nolint:gosec // jitter needs no secrecy
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	return err
}
