package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// What may go wrong in a seed, beside the faults of a process.
const (
	processFault   = "a faulty worker"
	termination    = "SIGTERM and restart"
	workerKill     = "kill -9 of a worker and restart"
	flush          = "FLUSHALL"
	redisEmpty     = "redis killed, restarted empty"
	redisOlder     = "redis killed, restarted from an older RDB"
	redisPause     = "redis paused for 3s"
	postgresKill   = "postgres killed and restarted"
	postgresPause  = "postgres paused for 3s"
	wrongDone      = "done entries of invoices that don't exist"
	locksDeleted   = "locks deleted in mid-work"
	redisLies      = "redis lies about jobs and invoices"
	pauseOfServers = 3 * time.Second
)

var mishapKinds = []string{
	processFault, processFault, processFault, processFault, termination, workerKill, flush, redisEmpty, redisOlder, redisPause, postgresKill, postgresPause, wrongDone, locksDeleted,
	redisLies,
}

// A mishap is one thing that goes wrong.
type mishap struct {
	what   string
	at     float64       // the share of the jobs that have ended by then
	after  time.Duration // until it is over: until a restart, or until a stopped process goes on
	worker int           // which one
	order  order         // of a faulty worker, who has it from the beginning
	draw   uint64        // of what happens to keys
}

func (m mishap) String() string {
	if m.what == processFault {
		return fmt.Sprintf("worker %d: %s, over after %s", m.worker, m.order, m.after)
	}
	return fmt.Sprintf("at %.0f%%: %s (worker %d, over after %s)", 100*m.at, m.what, m.worker, m.after)
}

// A plan is all that a seed does.
type plan struct {
	seed    uint64
	workers int
	jobs    int
	batches []int // sizes of the transactions in which the jobs are accepted
	early   int   // so many of them before any worker starts
	mishaps []mishap
}

func (p plan) String() string {
	var told []string
	for _, m := range p.mishaps {
		told = append(told, m.String())
	}
	return fmt.Sprintf("seed %d: %d jobs in %d transactions (%d at once), %d workers; %s", p.seed, p.jobs, len(p.batches), p.early, p.workers, strings.Join(told, "; "))
}

func (p plan) has(what ...string) bool {
	for _, m := range p.mishaps {
		for _, w := range what {
			if m.what == w {
				return true
			}
		}
	}
	return false
}

// What a seed sends: 500 jobs with their duplicates, and a few conflicts and invalid ones on top.
const (
	seedJobs      = 500
	seedConflicts = 6
	seedInvalid   = 4
)

// newPlan draws a plan, and only then, from the same source, its jobs are drawn.
func newPlan(seed uint64, r *rand.Rand) plan {
	p := plan{seed: seed, workers: 2 + r.IntN(2), jobs: seedJobs + seedConflicts + seedInvalid}
	for left := p.jobs; left > 0; {
		n := min(left, 20+r.IntN(60))
		p.batches = append(p.batches, n)
		left -= n
	}
	p.early = 1 + r.IntN(len(p.batches)/2)
	for i := range 2 {
		m := mishap{
			what: mishapKinds[r.IntN(len(mishapKinds))], at: 0.1 + 0.35*float64(i) + 0.3*r.Float64(),
			after: time.Duration(r.IntN(1500)) * time.Millisecond, worker: i % p.workers,
		}
		if m.what == processFault {
			m.order = order{faultPoints[r.IntN(len(faultPoints))], faultActions[r.IntN(len(faultActions))], 1 + r.IntN(40)}
			switch c := (cell{order: m.order}); {
			case c.relays():
				m.order.nth = 1 + r.IntN(2)
			case c.shared():
				m.order.nth = (m.order.nth + slots - 1) / slots
			}
			if m.order.action == faultStop {
				m.after += time.Duration(r.IntN(8)) * time.Second
			}
		}
		p.mishaps = append(p.mishaps, m)
	}
	if m, some := newKeyMishap(seed); some {
		p.mishaps = append(p.mishaps, m)
		slices.SortStableFunc(p.mishaps, func(a, b mishap) int { return cmp.Compare(a.at, b.at) })
	}
	return p
}

func TestPlans(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(200) {
		p, again := newPlan(seed, newRand(seed)), newPlan(seed, newRand(seed))
		if !reflect.DeepEqual(p, again) {
			t.Fatalf("two plans of one seed:\n%s\n%s", p, again)
		}
		sum := 0
		for _, n := range p.batches {
			sum += n
		}
		if sum != p.jobs || p.early < 1 || p.early >= len(p.batches) || len(p.mishaps) < 2 {
			t.Errorf("%s", p)
		}
		for _, m := range p.mishaps {
			seen[m.what] = true
		}
	}
	if len(seen) != 14 {
		t.Errorf("200 seeds know %d ways to go wrong: %v", len(seen), seen)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x1e55)) }
