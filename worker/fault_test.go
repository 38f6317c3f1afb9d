package worker_test

import (
	"context"
	"io"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/schematest"
	"invoicer/invoice"
	"invoicer/worker"
)

// through connects to the same Redis by way of a proxy that drops the reply to one request.
func (b *bench) through(t *testing.T, match func([]byte) bool) (redis.UniversalClient, *dropproxy.Proxy) {
	t.Helper()
	o, err := redis.ParseURL(b.redisURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := dropproxy.Start(t, o.Network, o.Addr, match)
	return connect(t, (&url.URL{Scheme: "redis", Host: proxy.Addr()}).String()), proxy
}

// A cut keeps every command from its server from the moment it is told to.
type cut struct{ off atomic.Bool }

func (c *cut) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.off.Load() {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmd)
	}
}

func (c *cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if c.off.Load() {
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmds)
	}
}

func TestLostReplyToSet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rdb, proxy := b.through(t, dropproxy.First("lock:{T1}"))
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
	if err := b.inspector.DeleteTask(b.queue, warm); err != nil {
		t.Fatal(err)
	}
	rdb, proxy := b.through(t, dropproxy.First("invoice:generate"))
	receipt, err := b.newClient(t, rdb).Enqueue(t.Context(), job("T1"))
	if err != nil {
		t.Fatalf("refused although it was accepted: %v", err)
	}
	if proxy.Dropped() != 1 {
		t.Errorf("%d replies dropped", proxy.Dropped())
	}
	tasks, err := b.inspector.ListPendingTasks(b.queue)
	if err != nil || len(tasks) != 1 || tasks[0].ID != receipt.JobID {
		t.Errorf("%d tasks, error %v", len(tasks), err)
	}
}

// The worker loses Redis before it can acknowledge: its lease runs out, and another server runs the task while the
// first is still at it.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := newGate(fault.Recorded)
	rdb, cut := connect(t, b.redisURL), &cut{}
	rdb.AddHook(cut)
	one := b.start(t, "w1", withGate(first), func(p *parts) { p.queue = rdb })
	id := b.enqueue(t, job("T1"))
	first.await(t)
	if e := one.ended(t); e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	cut.off.Store(true) // no heartbeat renews the lease any more, and no acknowledgement gets through
	// asynq's recoverer looks at start-up for leases that ran out long ago.
	if n, err := b.rdb.ZAddArgs(t.Context(), "asynq:{"+b.queue+"}:lease", redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{{Score: 1, Member: id}}}).Result(); err != nil || n != 1 {
		t.Fatalf("%d leases changed, error %v", n, err)
	}
	two := b.start(t, "w2")
	if e := two.ended(t); e.JobID != id || e.Outcome != invoice.Created || e.Attempt != 2 {
		t.Errorf("the second run ended as %s at attempt %d", e.Outcome, e.Attempt)
	}
	first.release()
	b.tally(t, 1, 0, 0)
}

func TestShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inHand := newGate(fault.Locked)
	w := b.start(t, "w1", withGate(inHand))
	b.enqueue(t, job("T1"))
	inHand.await(t)
	stopped := make(chan struct{})
	go func() {
		w.Shutdown()
		close(stopped)
	}()
	inHand.release()
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
	dsn, schema := schematest.On(t, server.URL)
	b := newBench(t, dsn, schema, sandboxtest.Redis(t))
	inHand := newGate(fault.Locked)
	w := b.start(t, "w1", withGate(inHand))
	b.enqueue(t, job("T1"))
	inHand.await(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	inHand.release()
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
	dsn, schema := schematest.New(t)
	b := newBench(t, dsn, schema, server.URL)
	inHand := newGate(fault.Committed)
	w := b.start(t, "w1", withGate(inHand))
	b.enqueue(t, job("T1"))
	inHand.await(t)
	if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	inHand.release()
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
	info, err := b.inspector.GetTaskInfo(b.queue, id)
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
	first := newGate(fault.Written)
	rdb, cut := connect(t, b.redisURL), &cut{}
	rdb.AddHook(cut)
	one := b.startOn(t, b.faultyStore(t, first.hook), "w1", withGate(first), func(p *parts) { p.queue = rdb })
	id := b.enqueue(t, job("T1"))
	first.await(t)
	cut.off.Store(true)
	if n, err := b.rdb.ZAddArgs(t.Context(), "asynq:{"+b.queue+"}:lease", redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{{Score: 1, Member: id}}}).Result(); err != nil || n != 1 {
		t.Fatalf("%d leases changed, error %v", n, err)
	}
	two := b.start(t, "w2", func(p *parts) { p.generator, p.MaxRetry = &errGenerator{Generator: p.generator}, 0 })
	b.awaitBlocked(t)
	first.release()
	for _, w := range []*running{one, two} {
		if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created {
			t.Errorf("%s: ended as %s", w.name, e.Outcome)
		}
	}
	b.tally(t, 1, 0, 0)
}
