package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// What goes wrong with the naive lock: its holder stalls for longer than it lasts, as processes do in garbage collection,
// on a slow disk or while their machine is moved. Both times are short, so that nobody has to wait for it.
const (
	naiveTTL   = 250 * time.Millisecond
	naiveStall = 600 * time.Millisecond
	stallEvery = 50 // writes
)

// naiveSlots is how many jobs one naive worker works on at the same time.
const naiveSlots = 50

// naive are workers with the usual lock, done well: it has an expiry and a token, those who find it held wait for it, and
// only its holder frees it. Nothing but the lock keeps two of them from writing the same invoice.
type naive struct {
	rdb     redis.UniversalClient
	tables  *tables
	queue   string
	workers int

	servers        []*asynq.Server
	writes         atomic.Int64 // that were begun
	ended, written atomic.Int64
}

func (n *naive) start(ctx context.Context) error {
	for i := range n.workers {
		server := asynq.NewServerFromRedisClient(n.rdb, asynq.Config{
			Concurrency: naiveSlots, Queues: map[string]int{n.queue: 1}, LogLevel: asynq.FatalLevel,
			TaskCheckInterval: 50 * time.Millisecond, DelayedTaskCheckInterval: 200 * time.Millisecond,
			RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 200 * time.Millisecond },
			BaseContext:    func() context.Context { return context.WithoutCancel(ctx) },
		})
		worker := i + 1
		if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
			err := n.work(ctx, worker, task.Payload())
			if err == nil || errors.Is(err, asynq.SkipRetry) {
				n.ended.Add(1)
			}
			return err
		})); err != nil {
			n.shutdown()
			return err
		}
		n.servers = append(n.servers, server)
	}
	return nil
}

func (n *naive) run(ctx context.Context) error {
	<-ctx.Done()
	n.shutdown()
	return nil
}

func (n *naive) shutdown() {
	for _, server := range n.servers {
		server.Shutdown()
	}
}

// tidy deletes the queue, and what asynq has counted for it, which it would keep for 90 days.
func (n *naive) tidy(ctx context.Context) error {
	const limit = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	err := asynq.NewInspectorFromRedisClient(n.rdb).DeleteQueue(n.queue, true)
	if errors.Is(err, asynq.ErrQueueNotFound) {
		err = nil
	}
	var counts []string
	for _, what := range []string{"processed", "failed"} {
		key := "asynq:{" + n.queue + "}:" + what
		counts = append(counts, key, key+":"+time.Now().UTC().Format(time.DateOnly))
	}
	return errors.Join(err, n.rdb.Del(ctx, counts...).Err())
}

// work makes the job's invoice unless there is one.
func (n *naive) work(ctx context.Context, worker int, payload []byte) error {
	job, err := invoice.Decode(payload)
	if err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	row := naiveRow{transactionID: job.TransactionID, producer: job.Producer, worker: worker, askedAt: time.Now()}
	key, token := n.queue+":lock:"+job.TransactionID, rand.Text()
	if err := n.lock(ctx, key, token); err != nil {
		return err
	}
	defer n.unlock(ctx, key, token)
	row.lockedAt = time.Now()

	exists, err := n.tables.naiveExists(ctx, job.TransactionID)
	if err != nil || exists {
		return err
	}
	if n.writes.Add(1)%stallEvery == 1 {
		time.Sleep(naiveStall)
	}
	row.writtenAt = time.Now()
	if err := n.tables.naiveInsert(ctx, row); err != nil {
		return err
	}
	n.written.Add(1)
	return nil
}

// lock waits until it has the lock.
func (n *naive) lock(ctx context.Context, key, token string) error {
	const poll = 10 * time.Millisecond
	for {
		won, err := n.rdb.SetNX(ctx, key, token, naiveTTL).Result()
		if err != nil || won {
			return err
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unlock frees the lock if it is still this job's.
func (n *naive) unlock(ctx context.Context, key, token string) {
	const script = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`
	_ = n.rdb.Eval(ctx, script, []string{key}, token).Err() // or else it expires
}
