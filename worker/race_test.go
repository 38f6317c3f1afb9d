package worker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/locking"
	"invoicer/worker"
)

func TestOneTransactionAThousandJobs(t *testing.T) {
	t.Parallel()
	const jobs = 1000
	b := setup(t)
	for range jobs {
		b.enqueue(t, job("T1"))
	}
	one, two := b.start(t, "w1"), b.start(t, "w2")
	outcomes := map[invoice.Outcome]int{}
	for range jobs {
		var e worker.Event
		for e.What != worker.Ended {
			select {
			case e = <-one.events:
			case e = <-two.events:
			case <-time.After(30 * time.Second):
				t.Fatalf("stuck after %v", outcomes)
			}
		}
		outcomes[e.Outcome]++
	}
	if outcomes[invoice.Created] != 1 || outcomes[invoice.Duplicate] != jobs-1 {
		t.Errorf("outcomes %v", outcomes)
	}
	b.tally(t, 1, jobs-1, 0)
	if n := b.Count(t, "SELECT count(DISTINCT worker) FROM duplicate_attempts"); n != 2 {
		t.Errorf("%d workers took part, want 2", n)
	}
}

// The lock expires while its holder is at work, a second job goes all the way, and then the first goes on: the
// database decides, and the second's lock stays its own.
func TestLockExpiresInMidWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := rig.NewGate(fault.Locked), rig.NewGate(fault.Committed)
	// Its only slot is taken, so the second job is the other worker's.
	one := b.start(t, "w1", withGate(first), func(p *parts) { p.Concurrency = 1 })
	firstID := b.enqueue(t, job("T1"))
	first.Await(t)
	locker := b.locker(t, b.Redis)
	if h, _, err := locker.Holder(t.Context(), "T1"); err != nil || h.ID != firstID {
		t.Fatalf("holder %+v, error %v", h, err)
	}
	b.expire(t, "T1")

	two := b.start(t, "w2", withGate(second))
	secondID := b.enqueue(t, job("T1"))
	second.Await(t) // committed, and still holding
	first.Open()
	if e := one.ended(t); e.JobID != firstID || e.Outcome != invoice.Duplicate {
		t.Errorf("the first ended as %s", e.Outcome)
	}
	if h, _, err := locker.Holder(t.Context(), "T1"); err != nil || h.ID != secondID {
		t.Errorf("after the first, the lock is held by %+v (%v), want job %s", h, err, secondID)
	}
	second.Open()
	if e := two.ended(t); e.JobID != secondID || e.Outcome != invoice.Created {
		t.Errorf("the second ended as %s", e.Outcome)
	}
	b.tally(t, 1, 1, 0)
}

// expire makes Redis forget a transaction's lock, as it does when the time is up.
func (b *site) expire(t *testing.T, transactionID string) {
	t.Helper()
	if n, err := b.Redis.Del(t.Context(), "invoicer:"+b.databaseID+":lock:{"+transactionID+"}").Result(); err != nil || n != 1 {
		t.Fatalf("%d locks expired, error %v", n, err)
	}
}

// crashed takes a lock as a worker does that dies right afterwards.
func (b *site) crashed(t *testing.T, transactionID, jobID string) {
	t.Helper()
	if _, err := b.locker(t, b.Redis).Acquire(t.Context(), transactionID, locking.Holder{ID: jobID, Worker: "dead"}); err != nil {
		t.Fatal(err)
	}
}

func TestCrashedHolder(t *testing.T) {
	t.Parallel()
	t.Run("its own rerun waits for nobody", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		jobID := b.enqueue(t, job("T1"))
		b.crashed(t, "T1", jobID)
		w := b.start(t, "w1")
		e := w.first(t)
		if e.What != worker.Ended || e.Outcome != invoice.Created || e.Attempt != 1 {
			t.Errorf("first thing that happened: %+v", e)
		}
	})
	t.Run("another job waits for the expiry", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.crashed(t, "T1", "crashed")
		w := b.start(t, "w1")
		jobID := b.enqueue(t, job("T1"))
		if e := w.await(t, worker.LostRace); e.Holder.ID != "crashed" || e.Holder.Worker != "dead" {
			t.Errorf("lost to %+v", e.Holder)
		}
		w.await(t, worker.PutBack)
		b.tally(t, 0, 0, 0)
		b.expire(t, "T1")
		if e := w.ended(t); e.JobID != jobID || e.Outcome != invoice.Created || e.Attempt != 1 {
			t.Errorf("ended as %s at attempt %d: losing a race must not use up a retry", e.Outcome, e.Attempt)
		}
		b.tally(t, 1, 0, 0)
	})
}

// A loser is never thrown away while the winner may still fail.
func TestWinnerFailsAfterTheLoserWaited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	winner := rig.NewGate(fault.Locked)
	winner.Result = errors.New("planted")
	w := b.start(t, "w1", withGate(winner), func(p *parts) { p.LockWait = 9 * time.Second })
	winnerID := b.enqueue(t, job("T1"))
	winner.Await(t)
	loserID := b.enqueue(t, job("T1"))
	if e := w.await(t, worker.LostRace); e.JobID != loserID || e.Holder.ID != winnerID {
		t.Errorf("%s lost to %s", e.JobID, e.Holder.ID)
	}
	b.tally(t, 0, 0, 0)
	winner.Open()
	outcomes := map[string]invoice.Outcome{}
	for range 2 {
		e := w.ended(t)
		outcomes[e.JobID] = e.Outcome
	}
	if outcomes[loserID] != invoice.Created || outcomes[winnerID] != invoice.Duplicate {
		t.Errorf("the loser ended as %s, the failed winner as %s", outcomes[loserID], outcomes[winnerID])
	}
	b.tally(t, 1, 1, 0)
}

// The loser sees the winner's commit while it waits, and says that it lost a race.
func TestLoserWaitsForTheWinnersCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	winner := rig.NewGate(fault.Locked)
	w := b.start(t, "w1", withGate(winner), func(p *parts) { p.LockWait = 9 * time.Second })
	b.enqueue(t, job("T1"))
	winner.Await(t)
	loserID := b.enqueue(t, job("T1"))
	w.await(t, worker.LostRace)
	winner.Open()
	reasons := map[string]invoice.Reason{}
	for range 2 {
		e := w.ended(t)
		reasons[e.JobID] = e.Reason
		if lost := e.JobID == loserID; (e.LockWait > 0) != lost || e.DoneEntry != lost {
			t.Errorf("%s waited %s, and the done entry was found: %t", e.Outcome, e.LockWait, e.DoneEntry)
		}
	}
	if reasons[loserID] != invoice.LostRace {
		t.Errorf("reason %q, want lost_race", reasons[loserID])
	}
	// It began before the winner wrote the invoice: a plain check would have found none.
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts WHERE reason = 'lost_race' AND before_invoice > interval '0' AND job_id = $1", loserID); n != 1 {
		t.Errorf("%d rows with the reason, and with how long before the invoice it began", n)
	}
}

// At most a quarter of the slots wait for held locks; other transactions get through.
func TestWaitersLeaveSlotsForOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.crashed(t, "T1", "crashed")
	w := b.start(t, "w1", func(p *parts) {
		p.Concurrency = 8
		// Longer than the test would wait for a job that is put back only when the wait is over.
		p.LockWait, p.JobTimeout, p.ShutdownTimeout = 2*rig.Patience, 2*rig.Patience+time.Second, 2*rig.Patience+2*time.Second
	})
	for range 8 {
		b.enqueue(t, job("T1"))
	}
	for range 6 { // 8 slots, 2 of them wait
		w.await(t, worker.PutBack)
	}
	for i := range 20 {
		b.enqueue(t, job(fmt.Sprintf("U%d", i)))
	}
	for range 20 {
		if e := w.ended(t); e.TransactionID == "T1" {
			t.Error("the held transaction ended")
		}
	}
	b.expire(t, "T1")
	for range 8 {
		w.ended(t)
	}
	b.tally(t, 21, 7, 0)
}
