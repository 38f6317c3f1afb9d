package dispatch_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/dispatch"
)

var backlogged = flag.Int("ledger.jobs", 100_000, "so many jobs wait while a round is measured")

// backlog has so many jobs wait in the queue, as a relay would.
func (b *site) backlog(t testing.TB, jobs int) {
	t.Helper()
	b.accept(t, 1, jobs)
	for left := jobs; left > 0; {
		claimed, err := b.store.Ledger.Claim(t.Context(), min(left, 20_000))
		if err != nil || len(claimed) == 0 {
			t.Fatalf("%d jobs are left, error %v", left, err)
		}
		left -= len(claimed)
		for page := range slices.Chunk(claimed, 1000) {
			_, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				for _, d := range page {
					p.HSet(t.Context(), b.Key("t:")+d.JobID+".1", "msg", "…", "state", "pending", "pending_since", d.At.UnixNano())
					p.LPush(t.Context(), b.Key("pending"), d.JobID+".1")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A long list is read piece by piece, and what isn't there twice is put back; nothing else is, while the list moves.
func TestJobsThatALongListHasLostComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 12_000
	b.backlog(t, jobs)
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled, p.Lease = time.Millisecond, time.Minute })
	for swept := false; !swept; {
		round(t, r)
		for len(told.c) > 0 {
			e := <-told.c
			swept = swept || e.What == dispatch.Swept
			if e.What == dispatch.PutBack {
				t.Fatalf("%+v", e)
			}
		}
	}
	ids := b.pending(t)
	lost := []string{ids[0], ids[jobs/2], ids[jobs-1]}
	for _, id := range lost {
		b.Redis.LRem(t.Context(), b.Key("pending"), 1, id)
	}
	lost = append(lost, ids[1], ids[jobs/3])
	b.Redis.Del(t.Context(), b.Key("t:")+ids[1], b.Key("t:")+ids[jobs/3])
	found, late := 0, time.Now().Add(rig.Patience)
	for i := 0; found < len(lost); i++ {
		if time.Now().After(late) {
			t.Fatalf("%d of %d jobs are back", found, len(lost))
		}
		if i < 200 {
			b.enqueue(t, fmt.Sprint("D", i)) // and the pages move
		}
		if id := ids[2+i%100]; i%3 == 0 { // a retry comes back to the list's head
			b.Redis.LRem(t.Context(), b.Key("pending"), 1, id)
			b.Redis.HSet(t.Context(), b.Key("t:")+id, "pending_since", time.Now().UnixNano())
			b.Redis.LPush(t.Context(), b.Key("pending"), id)
		}
		round(t, r)
		for len(told.c) > 0 {
			if e := <-told.c; e.What == dispatch.PutBack {
				found += e.Jobs
			}
		}
	}
	for range 100 {
		round(t, r)
	}
	told.none(t, dispatch.PutBack)
	for i, id := range lost {
		lost[i], _, _ = strings.Cut(id, ".")
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted' AND job_id = ANY($1)", lost); n != len(lost) {
		t.Errorf("%d of %d lost jobs are accepted again", n, len(lost))
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != len(lost) {
		t.Errorf("%d jobs are accepted again, want %d", n, len(lost))
	}
}

// BenchmarkRound tells what a round costs while -ledger.jobs jobs wait.
func BenchmarkRound(bench *testing.B) {
	b := newSite(bench, sandboxtest.PrivateRedis(bench).URL)
	b.backlog(bench, *backlogged)
	b.Exec(bench, "UPDATE invoice_jobs SET updated_at = updated_at - interval '1 hour'") // what is young is looked for apart
	r, told := b.newReconciler(bench, "r", func(p *reconcilerParts) {
		p.Settled, p.Lease = time.Millisecond, time.Minute
	})
	began, before, rounds := time.Now(), b.redisCost(bench), 0
	for swept := false; !swept; rounds++ {
		if err := r.Round(bench.Context()); err != nil {
			bench.Fatal(err)
		}
		for len(told.c) > 0 {
			swept = (<-told.c).What == dispatch.Swept || swept
		}
	}
	cost := b.redisCost(bench).minus(before)
	bench.Logf("a sweep of %d jobs took %d rounds and %s; Redis did %s", *backlogged, rounds, time.Since(began).Round(time.Millisecond), cost)
	before, rounds = b.redisCost(bench), 0
	for bench.Loop() {
		if err := r.Round(bench.Context()); err != nil {
			bench.Fatal(err)
		}
		rounds++
	}
	told.none(bench, dispatch.PutBack)
	cost = b.redisCost(bench).minus(before)
	bench.ReportMetric(float64(cost.commands)/float64(rounds), "redis-commands/op")
	bench.ReportMetric(float64(cost.cpu.Microseconds())/float64(rounds), "redis-cpu-µs/op")
	bench.ReportMetric(float64(cost.own.Microseconds())/float64(rounds), "own-cpu-µs/op")
}
