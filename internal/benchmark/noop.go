package main

import (
	"context"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/worker/client"
)

// openNoop is asynq with a handler that does nothing: what the queue alone can do, and no worker on it can exceed.
func openNoop(_ context.Context, b *bench, s setting, _ string) (*system, error) {
	rdb, err := b.newRedis(s.Slots + 30)
	if err != nil {
		return nil, err
	}
	q := &asynqServers{rdb: rdb, setting: s}
	return &system{
		load: func(ctx context.Context, j jobs) error { return enqueuePlainly(ctx, rdb, j) },
		start: func(_ context.Context, ended func()) error {
			return q.start(func(context.Context, *asynq.Task) error {
				ended()
				return nil
			})
		},
		stop:  q.stop,
		check: func(context.Context, jobs) error { return nil },
		close: func() { _ = rdb.Close() },
	}, nil
}

// enqueuePlainly enqueues as asynq's own documentation does, without keeping what has ended.
func enqueuePlainly(ctx context.Context, rdb redis.UniversalClient, j jobs) error {
	c := asynq.NewClientFromRedisClient(rdb)
	return j.each(ctx, func(ctx context.Context, _ int, payload []byte) error {
		_, err := c.EnqueueContext(ctx, asynq.NewTask(client.TaskType, payload), asynq.Queue(queue))
		return err
	})
}

// asynqServers are several of them in one process, which share a Redis client.
type asynqServers struct {
	rdb     redis.UniversalClient
	setting setting
	running []*asynq.Server
}

func (q *asynqServers) start(handle asynq.HandlerFunc) error {
	for range q.setting.Servers {
		server := asynq.NewServerFromRedisClient(q.rdb, asynq.Config{
			Concurrency:       q.setting.perServer(),
			Queues:            map[string]int{queue: 1},
			TaskCheckInterval: 50 * time.Millisecond, // as the worker has it
			LogLevel:          asynq.FatalLevel,
		})
		if err := server.Start(handle); err != nil {
			return err
		}
		q.running = append(q.running, server)
	}
	return nil
}

func (q *asynqServers) stop() {
	for _, server := range q.running {
		server.Shutdown()
	}
	q.running = nil
}
