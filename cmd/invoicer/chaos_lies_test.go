package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/chaos"
	"invoicer/internal/taskedit"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// How long Redis lies, and how long it rests in between.
const (
	lieRounds = 20
	lieEvery  = 50 * time.Millisecond
)

// lie alters, for a second, what Redis says of jobs and invoices: waiting tasks, done entries, results. Where Redis is away, it
// says nothing.
func (x *seedRun) lie() error {
	r := chaos.NewRand(x.plan.Seed ^ 0x11e5)
	for range lieRounds {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		x.lieAboutTasks(ctx, r)
		x.lieAboutInvoices(ctx, r)
		x.lieAboutResults(ctx, r)
		cancel()
		time.Sleep(lieEvery) // new ones come meanwhile, and they are altered as well
	}
	return nil
}

// lieAboutTasks alters half of the tasks that wait. One that a worker takes at the same time stays as it is.
func (x *seedRun) lieAboutTasks(ctx context.Context, r *rand.Rand) {
	waiting := x.rdb.LRange(ctx, "asynq:{"+x.queue+"}:pending", 0, -1).Val()
	waiting = append(waiting, x.rdb.ZRange(ctx, "asynq:{"+x.queue+"}:retry", 0, -1).Val()...)
	for _, id := range waiting {
		if r.IntN(2) == 0 {
			other := x.all[r.IntN(len(x.all))]
			_ = taskedit.Alter(ctx, x.rdb, x.queue, id, func(task *taskedit.Task) { chaos.Tamper(r, task, other, waiting) })
		}
	}
}

// lieAboutInvoices makes up done entries: of invoices that are there, and aren't what is said of them.
func (x *seedRun) lieAboutInvoices(ctx context.Context, r *rand.Rand) {
	for range 10 {
		a := x.all[r.IntN(len(x.all))]
		known := invoice.Ref{
			ID: r.Int64N(400) + 1, Number: fmt.Sprintf("INV-%06d", r.Int64N(400)+1), TransactionID: a.TransactionID, IdempotencyKey: a.TransactionID,
			JobID: "nobody", Fingerprint: a.Fingerprint,
		}
		_ = x.rdb.Set(ctx, x.prefix+"done:{"+a.TransactionID+"}", invoicetest.DoneEntry(known), time.Hour).Err()
	}
}

// lieAboutResults alters what is shown of jobs that have ended.
func (x *seedRun) lieAboutResults(ctx context.Context, r *rand.Rand) {
	ended, err := x.inspector.ListCompletedTasks(x.queue, asynq.PageSize(10))
	if err != nil {
		return
	}
	for _, task := range ended {
		if key := taskedit.Key(x.queue, task.ID); r.IntN(2) == 0 && x.rdb.Exists(ctx, key).Val() == 1 {
			_ = x.rdb.HSet(ctx, key, "result", `{"outcome":"created","invoice_number":"INV-999999"}`).Err()
		}
	}
}

// A seed whose only mishap is that Redis lies, whatever the random ones are.
func TestChaosLies(t *testing.T) {
	t.Parallel()
	if *chaosSeed > 0 {
		t.Skip("-chaos.seed asks for one seed alone")
	}
	p := chaos.NewPlan(11, chaos.NewRand(11))
	p.Mishaps = []chaos.Mishap{{What: chaos.RedisLies, At: 0.02}, {What: chaos.RedisLies, At: 0.4}}
	playPlan(t, p, chaos.NewRand(11))
}
