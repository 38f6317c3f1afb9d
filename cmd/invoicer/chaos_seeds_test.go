package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/chaos"
	"invoicer/internal/checker"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// The seeds of every test run: FLUSHALL after a kill -9 of a worker; and kill -9 of Postgres, keys deleted at random after it.
var fixedSeeds = []uint64{264, 34}

// seedPatience bounds a seed until all of its mishaps are over.
const seedPatience = 3 * time.Minute

func TestChaosSeeds(t *testing.T) {
	t.Parallel()
	seeds := fixedSeeds
	switch {
	case *chaosSeed > 0:
		seeds = []uint64{*chaosSeed}
	case *chaosSeeds > 0:
		seeds = nil
		for i := range uint64(*chaosSeeds) {
			seeds = append(seeds, i+1)
		}
	}
	var sum tally
	begun := time.Now()
	var scenes []scene
	for _, seed := range seeds {
		scenes = append(scenes, scene{fmt.Sprintf("seed=%d", seed), func(t *testing.T) { sum.add(playSeed(t, seed)) }})
	}
	playTogether(t, scenes)
	t.Logf("%d seeds: %s in %s", len(seeds), &sum, time.Since(begun).Round(time.Second))
}

// A tally adds reports up.
type tally struct {
	mu                                                        sync.Mutex
	seeds, accepted, invoices, duplicates, lost, doubled, gap int
	otherwise                                                 int
}

func (s *tally) add(r *checker.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds++
	s.accepted += r.Ledger
	s.invoices += r.Invoices
	s.duplicates += r.Duplicates
	s.lost += r.Count(checker.Lost)
	s.doubled += r.Count(checker.Doubled)
	s.gap += r.Count(checker.Gap)
	s.otherwise += len(r.Violations) - r.Count(checker.Lost) - r.Count(checker.Doubled) - r.Count(checker.Gap)
}

func (s *tally) String() string {
	return fmt.Sprintf("%d came to a verdict: jobs accepted %d, invoices %d, duplicates %d, lost %d, doubled %d, gaps %d, otherwise wrong %d",
		s.seeds, s.accepted, s.invoices, s.duplicates, s.lost, s.doubled, s.gap, s.otherwise)
}

// An employee is a worker of a seed, which is started again when it is gone.
type employee struct {
	*process
	fault *chaos.Mishap // what is wrong with it; nil when nothing is, or not any more
	leave *chaos.Mishap // it is to end, and why
	acted bool          // its fault has been seen, and a stopped one has its date to go on
	until time.Time
}

// A seedRun is a seed under way. All of it happens in one goroutine, but for what restarts servers.
type seedRun struct {
	*trial
	t               *testing.T
	plan            chaos.Plan
	rand            *rand.Rand
	redis, postgres *servers.Server // nil when it is the shared one
	workers         []*employee

	all     []chaos.Asking
	batches [][]chaos.Asking
	sent    int
	prefix  string    // of keys in Redis
	lastly  time.Time // when a batch was sent
	coming  []chaos.Mishap
	repairs sync.WaitGroup
	broken  int // servers that are not as they should be, under mu
	mu      sync.Mutex
}

func playSeed(t *testing.T, seed uint64) *checker.Report {
	r := chaos.NewRand(seed)
	return playPlan(t, chaos.NewPlan(seed, r), r)
}

func playPlan(t *testing.T, p chaos.Plan, r *rand.Rand) *checker.Report {
	t.Log(p)
	seed := p.Seed
	begun := time.Now()
	x := &seedRun{t: t, plan: p, rand: r, redis: sandboxtest.PrivateRedis(t)}
	var d *rig.Database
	if p.Has(chaos.PostgresKill, chaos.PostgresPause) {
		x.postgres = sandboxtest.PrivatePostgres(t)
		d = rig.DatabaseOn(t, x.postgres.URL)
	} else {
		d = rig.NewDatabase(t)
	}
	x.trial = newTrial(t, newSiteOn(t, d.URL, d.Schema, x.redis.URL))
	x.prefix = x.keyPrefix(t)
	x.all = newAskings(t, r, chaos.Jobs, chaos.Conflicts, chaos.Invalid)
	for rest := x.all; len(rest) > 0; {
		n := p.Batches[len(x.batches)]
		x.batches = append(x.batches, rest[:n])
		rest = rest[n:]
	}
	t.Cleanup(x.repairs.Wait)

	for range p.Early {
		x.send()
	}
	for i := range p.Workers {
		x.workers = append(x.workers, x.hire(i))
	}
	x.work()
	report := x.judged()
	t.Logf("seed %d: %d jobs accepted, %d unknown, %d invoices, %d duplicates, %d conflicts, %d violations, %d samples, %s", seed, report.Ledger,
		len(x.jobs)-report.Ledger, report.Invoices, report.Duplicates, report.Conflicts, len(report.Violations), x.watch.Samples(), time.Since(begun).Round(time.Second))
	return report
}

// hire starts a worker, with the fault that it is to have.
func (x *seedRun) hire(i int) *employee {
	for k := range x.plan.Mishaps {
		m := &x.plan.Mishaps[k]
		if m.What == chaos.ProcessFault && m.Worker == i {
			return &employee{fault: m, process: x.with(chaos.Variable+"="+m.Order.String()).startProgram(x.t, faultyProgram, "worker")}
		}
	}
	return &employee{process: x.start(x.t, "worker")}
}

// work lets everything happen that the plan has, and returns when nothing is left to do.
func (x *seedRun) work() {
	for _, m := range x.plan.Mishaps {
		if m.What != chaos.ProcessFault {
			x.coming = append(x.coming, m)
		}
	}
	deadline, ended := time.Now().Add(seedPatience), 0
	for {
		x.tend()
		if n, err := x.ended(); err == nil {
			ended = n
		}
		if x.sent < x.plan.Jobs && (2*ended >= x.sent || time.Since(x.lastly) > 300*time.Millisecond) {
			x.send()
		}
		for len(x.coming) > 0 && float64(ended) >= x.coming[0].At*float64(x.plan.Jobs) {
			if err := x.happen(x.coming[0]); err != nil {
				break // it has to wait for another one to be over
			}
			x.coming = x.coming[1:]
		}
		calm := x.sent == x.plan.Jobs && len(x.coming) == 0 && x.whole()
		if !calm && time.Now().Before(deadline.Add(-trialPatience)) {
			time.Sleep(20 * time.Millisecond) // a round
			continue
		}
		ids, err := x.waiting()
		left, queueErr := x.inQueue()
		if calm && err == nil && len(ids) == 0 && queueErr == nil && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("%d jobs have no end and %d tasks are in the queue (%v); sent %d, ended %d, still to come %v:\n%s",
				len(ids), left, errors.Join(err, queueErr), x.sent, ended, x.coming, x.dump(ids))
		}
		time.Sleep(50 * time.Millisecond) // a round
	}
}

// send accepts the next batch; when that fails, it is sent again in the next round.
func (x *seedRun) send() {
	x.lastly = time.Now()
	ctx, cancel := context.WithTimeout(x.t.Context(), 3*time.Second)
	defer cancel()
	if err := x.accept(ctx, x.batches[0]); err != nil {
		if x.postgres == nil {
			x.t.Logf("accepting: %v", err)
		}
		return
	}
	x.sent += len(x.batches[0])
	x.batches = x.batches[1:]
}

// tend looks after the workers.
func (x *seedRun) tend() {
	for i, w := range x.workers {
		if w.fault != nil && !w.acted && w.said(w.fault.Order.Done()) {
			w.acted, w.until = true, time.Now().Add(w.fault.After)
			if w.fault.Order.Dies() {
				w.leave = w.fault
			}
		}
		if w.fault != nil && w.acted && w.fault.Order.Action == chaos.Stop && time.Now().After(w.until) {
			w.signal(x.t, syscall.SIGCONT)
			w.fault = nil
		}
		select {
		case <-w.ended:
		default:
			continue
		}
		if w.leave == nil {
			x.t.Errorf("worker %d has ended by itself, with exit code %d", i, w.exit(x.t))
			w.leave = &chaos.Mishap{}
		}
		if w.until.IsZero() {
			w.until = time.Now().Add(w.leave.After)
		}
		if code := w.exit(x.t); w.leave.What == chaos.Termination && code != exitOK {
			x.t.Errorf("worker %d exits with %d after SIGTERM", i, code)
		}
		if time.Now().After(w.until) {
			x.workers[i] = &employee{process: x.start(x.t, "worker")}
		}
	}
}

// whole tells whether all is as it was: no server is away, no worker is stopped or gone.
func (x *seedRun) whole() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range x.workers {
		if w.leave != nil || w.fault != nil && w.acted && w.fault.Order.Action == chaos.Stop {
			return false
		}
	}
	return x.broken == 0
}

// happen lets a mishap begin.
func (x *seedRun) happen(m chaos.Mishap) error {
	ctx, cancel := context.WithTimeout(x.t.Context(), 2*time.Second)
	defer cancel()
	w := x.workers[m.Worker]
	switch m.What {
	case chaos.Termination, chaos.WorkerKill:
		if w.leave != nil || !w.said("worker started") {
			return errors.New("it isn't at work")
		}
		s := syscall.SIGTERM
		if m.What == chaos.WorkerKill {
			s = syscall.SIGKILL
		}
		w.leave = &m
		w.signal(x.t, s)
	case chaos.Flush:
		return x.rdb.FlushAll(ctx).Err()
	case chaos.RedisEmpty:
		x.breakDown(x.redis.Kill, m.After, func() error { return x.redis.Restart(context.Background()) })
	case chaos.RedisOlder:
		if err := x.rdb.Save(ctx).Err(); err != nil {
			return err
		}
		x.breakDown(func() error {
			time.Sleep(500 * time.Millisecond) // what happens meanwhile will be forgotten
			return x.redis.Kill()
		}, m.After, func() error { return x.redis.Restart(context.Background()) })
	case chaos.RedisPause:
		x.breakDown(x.redis.Pause, chaos.PauseOfServers, x.redis.Resume)
	case chaos.PostgresKill:
		x.breakDown(x.postgres.Kill, m.After, func() error { return x.postgres.Restart(context.Background()) })
	case chaos.PostgresPause:
		x.breakDown(x.postgres.Pause, chaos.PauseOfServers, x.postgres.Resume)
	case chaos.WrongDone:
		return x.plantDone(ctx)
	case chaos.RedisLies:
		x.breakDown(x.lie, 0, func() error { return nil })
	case chaos.LocksDeleted:
		x.breakDown(func() error { return x.deleteLocks() }, 0, func() error { return nil })
	case chaos.KeysDeleted, chaos.KeysMadeUp:
		x.breakDown(func() error {
			chaos.RaidKeys(context.Background(), m, x.rdb, x.queue, x.prefix+"mark:{"+x.queue+"}")
			return nil
		}, 0, func() error { return nil })
	}
	return nil
}

// breakDown breaks something, and repairs it after a while. What another mishap has taken down is left to that one.
func (x *seedRun) breakDown(down func() error, after time.Duration, up func() error) {
	x.mu.Lock()
	x.broken++
	x.mu.Unlock()
	x.repairs.Go(func() {
		if err := down(); err != nil && !errors.Is(err, servers.ErrDown) {
			x.t.Error(err)
		}
		time.Sleep(after) // so long the mishap lasts
		if err := up(); err != nil && !errors.Is(err, servers.ErrDown) {
			x.t.Error(err)
		}
		x.mu.Lock()
		x.broken--
		x.mu.Unlock()
	})
}

// plantDone says of transactions, invoiced or not, that they have an invoice that isn't there.
func (x *seedRun) plantDone(ctx context.Context) error {
	for i := range 60 {
		a := x.all[x.rand.IntN(len(x.all))]
		known := invoice.Ref{
			ID: int64(900_000 + i), Number: fmt.Sprintf("INV-%d", 900_000+i), TransactionID: a.TransactionID, IdempotencyKey: a.TransactionID,
			JobID: "nobody", Fingerprint: a.Fingerprint,
		}
		if i%3 == 0 {
			known.Fingerprint = "v1:other"
		}
		if err := x.rdb.Set(ctx, x.prefix+"done:{"+a.TransactionID+"}", invoicetest.DoneEntry(known), time.Hour).Err(); err != nil {
			return err
		}
	}
	return nil
}

// deleteLocks deletes every lock there is, again and again for a second.
func (x *seedRun) deleteLocks() error {
	for range 50 {
		keys, err := x.rdb.Keys(context.Background(), "invoicer:*:lock:*").Result()
		if err == nil && len(keys) > 0 {
			err = x.rdb.Del(context.Background(), keys...).Err()
		}
		if err != nil {
			return nil //nolint:nilerr // Redis is away, and the locks with it
		}
		time.Sleep(20 * time.Millisecond) // new ones are taken meanwhile, and they go as well
	}
	return nil
}

func (x *seedRun) judged() *checker.Report {
	x.repairs.Wait()
	var workers []*process
	for _, w := range x.workers {
		if w.fault != nil && !w.acted {
			x.t.Logf("%s was never reached", w.fault.Order)
		}
		workers = append(workers, w.process)
	}
	x.stopAll(x.t, workers)
	report := x.verdict(x.t)
	if report.Ledger != x.plan.Jobs || report.Invoices == 0 || report.Invalid < chaos.Invalid {
		x.t.Errorf("%d of %d jobs are known, %d invoices, %d invalid", report.Ledger, x.plan.Jobs, report.Invoices, report.Invalid)
	}
	return report
}
