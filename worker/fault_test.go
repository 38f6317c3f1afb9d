package worker_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/worker"
)

func TestLostReplyToSet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rdb, proxy := b.Through(t, dropproxy.First("lock:{T1}"))
	w := b.start(t, "w1", func(p *parts) { p.redis = rdb })
	// Or the first request would be one for a script that Redis doesn't know yet, and nothing would be set.
	b.enqueue(t, job("warm"))
	w.ended(t)
	b.enqueue(t, job("T1"))
	if e := w.first(t); e.What != worker.Ended || e.Outcome != invoice.Created {
		t.Errorf("first thing that happened: %s %s %v", e.What, e.Outcome, e.Err)
	}
	if proxy.Dropped() != 1 {
		t.Errorf("%d replies dropped", proxy.Dropped())
	}
	b.tally(t, 2, 0, 0)
}

func TestLostReplyToEnqueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	warm := b.enqueue(t, job("warm")) // or the first request would be one for a script that Redis doesn't know yet
	if err := b.Inspector.DeleteTask(b.Queue, warm); err != nil {
		t.Fatal(err)
	}
	rdb, proxy := b.Through(t, dropproxy.First("invoice:generate"))
	receipt, err := b.newClient(t, rdb).Enqueue(t.Context(), job("T1"))
	if err != nil {
		t.Fatalf("refused although it was accepted: %v", err)
	}
	if proxy.Dropped() != 1 {
		t.Errorf("%d replies dropped", proxy.Dropped())
	}
	tasks, err := b.Inspector.ListPendingTasks(b.Queue)
	if err != nil || len(tasks) != 1 || tasks[0].ID != receipt.JobID {
		t.Errorf("%d tasks, error %v", len(tasks), err)
	}
}

// The worker loses Redis before it can acknowledge: its lease runs out, and another server runs the task while the
// first is still at it.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := rig.NewGate(fault.Recorded)
	rdb, cut := rig.Connect(t, b.RedisURL), &rig.Cut{}
	rdb.AddHook(cut)
	one := b.start(t, "w1", withGate(first), func(p *parts) { p.queue = rdb })
	id := b.enqueue(t, job("T1"))
	first.Await(t)
	if e := one.ended(t); e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	cut.On.Store(true) // no heartbeat renews the lease any more, and no acknowledgement gets through
	rig.ExpireLease(t, b.Redis, b.Queue, id)
	two := b.start(t, "w2")
	if e := two.ended(t); e.JobID != id || e.Outcome != invoice.Created || e.Attempt != 2 {
		t.Errorf("the second run ended as %s at attempt %d", e.Outcome, e.Attempt)
	}
	first.Open()
	b.tally(t, 1, 0, 0)
}

func TestShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inHand := rig.NewGate(fault.Locked)
	w := b.start(t, "w1", withGate(inHand))
	b.enqueue(t, job("T1"))
	inHand.Await(t)
	stopped := make(chan struct{})
	go func() {
		w.Shutdown()
		close(stopped)
	}()
	inHand.Open()
	<-stopped
	// No handler runs any more, so whatever was in hand has ended or is back in the queue.
	b.enqueue(t, job("T2"))
	b.tally(t, 1, 0, 0)
	b.start(t, "w2").ended(t)
	b.tally(t, 2, 0, 0)
}

// Postgres goes away in the middle of a job and comes back: no retry is used up, and the job ends well.
func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t)
	b := newSite(t, rig.On(t, rig.DatabaseOn(t, server.URL), sandboxtest.Redis(t)))
	inHand := rig.NewGate(fault.Locked)
	w := b.start(t, "w1", withGate(inHand))
	b.enqueue(t, job("T1"))
	inHand.Await(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	inHand.Open()
	w.await(t, worker.PutBack)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := w.ended(t); e.Outcome != invoice.Created || e.Attempt != 1 {
		t.Errorf("ended as %s at attempt %d: an outage must not use up a retry", e.Outcome, e.Attempt)
	}
	b.tally(t, 1, 0, 0)
}

// Redis forgets everything while a job is in hand.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivateRedis(t)
	b := newSite(t, rig.On(t, rig.NewDatabase(t), server.URL))
	inHand := rig.NewGate(fault.Committed)
	w := b.start(t, "w1", withGate(inHand))
	b.enqueue(t, job("T1"))
	inHand.Await(t)
	if err := b.Redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	inHand.Open()
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Duplicate {
		t.Errorf("the second asks in vain: %s", e.Outcome)
	}
	b.tally(t, 1, 1, 0)
}

// Two jobs are in each other's way only for as long as it takes; a job that is put back comes back soon.
func TestPutBackComesBackSoon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.crashed(t, "T1", "crashed")
	w := b.start(t, "w1", func(p *parts) { p.LockWait = 0 })
	id := b.enqueue(t, job("T1"))
	w.await(t, worker.PutBack)
	w.await(t, worker.PutBack)
	info, err := b.Inspector.GetTaskInfo(b.Queue, id)
	if err != nil {
		t.Fatal(err)
	}
	if info.State == asynq.TaskStateRetry && time.Until(info.NextProcessAt) > time.Second {
		t.Errorf("comes back only at %s", info.NextProcessAt)
	}
	b.expire(t, "T1")
	w.ended(t)
	b.tally(t, 1, 0, 0)
}

// One run of a job is about to commit when another one, which takes the first for dead, gives the job up.
func TestGivenUpWhileTheInvoiceIsBeingCommitted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := rig.NewGate(fault.Written)
	rdb, cut := rig.Connect(t, b.RedisURL), &rig.Cut{}
	rdb.AddHook(cut)
	one := b.startOn(t, b.faultyStore(t, first.Hook), "w1", withGate(first), func(p *parts) { p.queue = rdb })
	id := b.enqueue(t, job("T1"))
	first.Await(t)
	cut.On.Store(true)
	rig.ExpireLease(t, b.Redis, b.Queue, id)
	two := b.start(t, "w2", func(p *parts) { p.generator, p.MaxRetry = &errGenerator{Generator: p.generator}, 0 })
	b.AwaitBlocked(t)
	first.Open()
	for _, w := range []*running{one, two} {
		if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created {
			t.Errorf("%s: ended as %s", w.name, e.Outcome)
		}
	}
	b.tally(t, 1, 0, 0)
}
