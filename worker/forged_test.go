package worker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// A forger writes a done entry again each time before it is asked for.
type forger struct {
	rdb        redis.UniversalClient
	key, value string
}

func (f *forger) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *forger) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			if err := f.rdb.Set(ctx, f.key, f.value, 0).Err(); err != nil {
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (f *forger) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Somebody who goes on writing done entries makes no job fail.
func TestDoneEntriesComeBack(t *testing.T) {
	t.Parallel()
	decoded := job("T1")
	decoded.Version, decoded.IdempotencyKey = 1, "T1"
	forged := invoicetest.DoneEntry(invoice.Ref{ID: 77, Number: "INV-000077", TransactionID: "T1", JobID: "another", Fingerprint: decoded.Fingerprint()})
	for name, value := range map[string]string{"of no invoice": forged, "garbage": "]"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			rdb := rig.Connect(t, b.RedisURL)
			rdb.AddHook(&forger{rdb: b.Redis, key: "invoicer:" + b.databaseID + ":done:{T1}", value: value})
			w := b.start(t, "w1", func(p *parts) { p.redis, p.MaxRetry = rdb, 0 })
			for i, want := range []invoice.Outcome{invoice.Created, invoice.Duplicate} {
				b.enqueue(t, job("T1"))
				if e := w.ended(t); e.Outcome != want {
					t.Errorf("job %d ended as %s, want %s", i, e.Outcome, want)
				}
			}
			b.enqueue(t, job("T1", func(j *invoice.Job) { j.Country = "France" }))
			if e := w.ended(t); e.Outcome != invoice.Conflict {
				t.Errorf("a job of other content ended as %s", e.Outcome)
			}
			b.tally(t, 1, 1, 1)
		})
	}
}

// Whatever somebody has put under a transaction's keys, its jobs come to their end.
func TestForeignKeysOfATransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := func(kind, transactionID string) string {
		return "invoicer:" + b.databaseID + ":" + kind + ":{" + transactionID + "}"
	}
	for i, kind := range []string{"lock", "done"} {
		must(t, b.Redis.RPush(t.Context(), key(kind, fmt.Sprint("list", i)), "a").Err())
		must(t, b.Redis.HSet(t.Context(), key(kind, fmt.Sprint("hash", i)), "a", "b").Err())
	}
	w := b.start(t, "w1")
	for _, id := range []string{"list0", "list1", "hash0", "hash1"} {
		b.enqueue(t, job(id))
		if e := w.ended(t); e.Outcome != invoice.Created {
			t.Errorf("%s: ended as %s", id, e.Outcome)
		}
	}

	must(t, b.Redis.Set(t.Context(), key("lock", "T1"), "garbage", 0).Err())
	b.enqueue(t, job("T1"))
	rig.Eventually(t, "an expiry", func() bool {
		left, err := b.Redis.PTTL(t.Context(), key("lock", "T1")).Result()
		return err == nil && left > 0 && left <= time.Minute
	})
	must(t, b.Redis.PExpire(t.Context(), key("lock", "T1"), time.Millisecond).Err())
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Errorf("T1: ended as %s", e.Outcome)
	}
	b.tally(t, 5, 0, 0)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
