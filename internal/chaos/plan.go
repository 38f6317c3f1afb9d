package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// What may go wrong in a seed, beside the faults of a process.
const (
	ProcessFault   = "a faulty worker"
	Termination    = "SIGTERM and restart"
	WorkerKill     = "kill -9 of a worker and restart"
	Flush          = "FLUSHALL"
	RedisEmpty     = "redis killed, restarted empty"
	RedisOlder     = "redis killed, restarted from an older RDB"
	RedisPause     = "redis paused for 3s"
	PostgresKill   = "postgres killed and restarted"
	PostgresPause  = "postgres paused for 3s"
	WrongDone      = "done entries of invoices that don't exist"
	LocksDeleted   = "locks deleted in mid-work"
	RedisLies      = "redis lies about jobs and invoices"
	PauseOfServers = 3 * time.Second
)

// mishapKinds has a kind as often as it is to be drawn.
func mishapKinds() []string {
	return []string{
		ProcessFault, ProcessFault, ProcessFault, ProcessFault, Termination, WorkerKill, Flush, RedisEmpty, RedisOlder, RedisPause, PostgresKill, PostgresPause, WrongDone, LocksDeleted,
		RedisLies,
	}
}

// A Mishap is one thing that goes wrong.
type Mishap struct {
	What   string
	At     float64       // the share of the jobs that have ended by then
	After  time.Duration // until it is over: until a restart, or until a stopped process goes on
	Worker int           // which one
	Order  Order         // of a faulty worker, who has it from the beginning
	Draw   uint64        // of what happens to keys
}

func (m Mishap) String() string {
	if m.What == ProcessFault {
		return fmt.Sprintf("worker %d: %s, over after %s", m.Worker, m.Order, m.After)
	}
	return fmt.Sprintf("at %.0f%%: %s (worker %d, over after %s)", 100*m.At, m.What, m.Worker, m.After)
}

// A Plan is all that a seed does.
type Plan struct {
	Seed    uint64
	Workers int
	Jobs    int
	Batches []int // sizes of the transactions in which the jobs are accepted
	Early   int   // so many of them before any worker starts
	Mishaps []Mishap
}

func (p Plan) String() string {
	var told []string
	for _, m := range p.Mishaps {
		told = append(told, m.String())
	}
	return fmt.Sprintf("seed %d: %d jobs in %d transactions (%d at once), %d workers; %s", p.Seed, p.Jobs, len(p.Batches), p.Early, p.Workers, strings.Join(told, "; "))
}

// Has reports whether any of these is among the mishaps.
func (p Plan) Has(what ...string) bool {
	for _, m := range p.Mishaps {
		for _, w := range what {
			if m.What == w {
				return true
			}
		}
	}
	return false
}

// What a seed sends: 500 jobs with their duplicates, and a few conflicts and invalid ones on top.
const (
	Jobs      = 500
	Conflicts = 6
	Invalid   = 4
)

// NewPlan draws the plan of a seed from r, which is [NewRand] of the seed. Its jobs are drawn from r after it.
func NewPlan(seed uint64, r *rand.Rand) Plan {
	p := Plan{Seed: seed, Workers: 2 + r.IntN(2), Jobs: Jobs + Conflicts + Invalid}
	for left := p.Jobs; left > 0; {
		n := min(left, 20+r.IntN(60))
		p.Batches = append(p.Batches, n)
		left -= n
	}
	p.Early = 1 + r.IntN(len(p.Batches)/2)
	kinds, points, actions := mishapKinds(), Points(), Actions()
	for i := range 2 {
		m := Mishap{
			What: kinds[r.IntN(len(kinds))], At: 0.1 + 0.35*float64(i) + 0.3*r.Float64(),
			After: time.Duration(r.IntN(1500)) * time.Millisecond, Worker: i % p.Workers,
		}
		if m.What == ProcessFault {
			m.Order = Order{points[r.IntN(len(points))], actions[r.IntN(len(actions))], 1 + r.IntN(40)}
			switch {
			case m.Order.Relays():
				m.Order.Nth = 1 + r.IntN(2)
			case m.Order.Shared():
				m.Order.Nth = (m.Order.Nth + Slots - 1) / Slots
			}
			if m.Order.Action == Stop {
				m.After += time.Duration(r.IntN(8)) * time.Second
			}
		}
		p.Mishaps = append(p.Mishaps, m)
	}
	if m, some := newKeyMishap(seed); some {
		p.Mishaps = append(p.Mishaps, m)
		slices.SortStableFunc(p.Mishaps, func(a, b Mishap) int { return cmp.Compare(a.At, b.At) })
	}
	return p
}

// Slots is how many jobs a worker of a trial works on at once. A matrix's fault, which is due at the third passage of its
// point at the latest, is so certain to come, although the jobs of all slots may pass it as one.
const Slots = 4

// NewRand returns the source of a seed.
func NewRand(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x1e55)) //nolint:gosec // a seed is to be played again
}
