package dispatch_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

// restart brings Redis back, and returns once its clients have noticed.
func (b *bench) restart(t testing.TB, server *servers.Server) {
	t.Helper()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); b.rdb.Ping(t.Context()).Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Redis doesn't answer")
		}
	}
}

// key is one of the queue's keys in Redis.
func (b *bench) key(name string) string { return "asynq:{" + b.queue + "}:" + name }

// enqueue puts a job straight into Redis, and returns its id.
func (b *bench) enqueue(t testing.TB, transactionID string) string {
	t.Helper()
	c, err := client.New(b.rdb, client.Options{Queue: b.queue})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Enqueue(t.Context(), &invoice.Job{
		TransactionID: transactionID, IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
		Lines: []invoice.Line{{Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return receipt.JobID
}

// takenByTheDead makes a waiting task look as if a worker had taken it, and died a minute ago.
func (b *bench) takenByTheDead(t testing.TB, id string) {
	t.Helper()
	_, err := b.rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.LRem(t.Context(), b.key("pending"), 0, id)
		p.LPush(t.Context(), b.key("active"), id)
		p.HSet(t.Context(), b.key("t:")+id, "state", "active")
		p.ZAdd(t.Context(), b.key("lease"), redis.Z{Score: float64(time.Now().Add(-time.Minute).Unix()), Member: id})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// round has a reconciler look once.
func round(t testing.TB, r *dispatch.Reconciler) {
	t.Helper()
	if err := r.Round(t.Context()); err != nil {
		t.Error(err)
	}
}

// cutAfterLook keeps every command from Redis, once a look got through.
type cutAfterLook struct{ armed, off atomic.Bool }

func (*cutAfterLook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cutAfterLook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.off.Load() {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmd)
	}
}

func (c *cutAfterLook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if c.off.Load() {
			return io.ErrUnexpectedEOF
		}
		err := next(ctx, cmds)
		if c.armed.CompareAndSwap(true, false) {
			c.off.Store(true)
		}
		return err
	}
}
