package dispatch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

// restart brings Redis back, and returns once its clients have noticed.
func (b *site) restart(t testing.TB, server *servers.Server) {
	t.Helper()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, func() error { return b.Redis.Ping(t.Context()).Err() })
}

// enqueue puts a job straight into Redis, and returns its id.
func (b *site) enqueue(t testing.TB, transactionID string) string {
	t.Helper()
	c, err := client.New(b.Redis, client.Options{Queue: b.Queue})
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
func (b *site) takenByTheDead(t testing.TB, id string) {
	t.Helper()
	_, err := b.Redis.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.LRem(t.Context(), b.Key("pending"), 0, id)
		p.LPush(t.Context(), b.Key("active"), id)
		p.HSet(t.Context(), b.Key("t:")+id, "state", "active")
		p.ZAdd(t.Context(), b.Key("lease"), redis.Z{Score: float64(time.Now().Add(-time.Minute).Unix()), Member: id})
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
type cutAfterLook struct {
	rig.Cut
	armed atomic.Bool
}

func (c *cutAfterLook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	send := c.Cut.ProcessPipelineHook(next)
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := send(ctx, cmds)
		if c.armed.CompareAndSwap(true, false) {
			c.On.Store(true)
		}
		return err
	}
}
