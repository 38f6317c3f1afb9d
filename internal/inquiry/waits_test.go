package inquiry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/fault"
	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/locking"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

func TestWaitsForTheRelay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, "T1")
	s := b.story(t, "T1")
	if codes(s) != "no_consumer not_sent" || s.Waits[1].JobID != id || s.Waits[1].Since == nil || s.Waits[1].Queue != b.Queue {
		t.Errorf("waits %+v", s.Waits)
	}
	b.own(t, b.store, b.databaseID, "w1")
	if s := b.story(t, "T1"); codes(s) != "not_sent" {
		t.Errorf("with a worker: waits %+v", s.Waits)
	}
}

func TestWaitsInItsQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"T1", "T2", "T3"} {
		b.accept(t, id)
		b.send(t)
	}
	if s := b.story(t, "T3"); codes(s) != "no_consumer" {
		t.Errorf("without a worker: waits %+v", s.Waits)
	}
	b.own(t, b.store, b.databaseID, "w1")
	for id, want := range map[string]int64{"T1": 0, "T2": 1, "T3": 2} {
		s := b.story(t, id)
		if codes(s) != "in_queue" || s.Waits[0].Ahead == nil || *s.Waits[0].Ahead != want || s.Waits[0].Since == nil {
			t.Errorf("%s: waits %+v, want %d ahead", id, s.Waits, want)
		}
	}
	if ok, err := queue.KeysOf(b.Queue).Pause(t.Context(), b.Redis); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if s := b.story(t, "T3"); codes(s) != "queue_paused" || !strings.Contains(s.Waits[0].Text, "invoicer queue resume "+b.Queue) {
		t.Errorf("paused: waits %+v", s.Waits)
	}
}

func TestWaitsForAnothersLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.locker(t).Acquire(t.Context(), "T1", locking.Holder{ID: "job-0", Worker: "w0"}); err != nil {
		t.Fatal(err)
	}
	id := b.accept(t, "T1")
	b.send(t)
	b.work(t, "w1", nil, nil)
	s, w := b.awaitWait(t, id, report.WaitsForLock)
	if l := s.Lock; l == nil || l.TransactionID != "T1" || l.JobID != "job-0" || l.Worker != "w0" || !l.Expires {
		t.Errorf("the lock: %+v", l)
	}
	if w.HolderJobID != "job-0" || w.Worker != "w0" || w.JobID != id || w.Until == nil || time.Until(*w.Until) <= 0 || time.Until(*w.Until) > time.Minute {
		t.Errorf("%+v", w)
	}
}

func TestWaitsForTheNextAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, "T1")
	b.send(t)
	b.work(t, "w1", failing{b.generator(t)}, nil)
	b.awaitWait(t, id+".1", report.WaitsForRetry)
	// A story asks the database before Redis: one that begins now has the attempt in both.
	s, w := b.awaitWait(t, id+".1", report.WaitsForRetry)
	if w.Attempt < 1 || !strings.Contains(w.Reason, "colour") || w.Until == nil {
		t.Errorf("%+v", w)
	}
	if m := s.Matches; len(m) != 1 || m[0].Kind != report.ByTask || *m[0].JobID != id || *m[0].TransactionID != "T1" {
		t.Errorf("matches %+v", m)
	}
	attempts, want := s.Jobs[0].FailedAttempts, "accepted sent" // further attempts if the machine is slow
	for i, a := range attempts {
		if a.Attempt != i+1 || a.Dispatch != 1 || a.Worker != "w1" || !strings.Contains(a.Reason, "colour") {
			t.Errorf("attempts %+v", attempts)
		}
		want += " attempt"
	}
	var what []string
	for _, e := range s.Events {
		what = append(what, e.What)
	}
	if got := strings.Join(what, " "); len(attempts) == 0 || got != want {
		t.Errorf("events %s, attempts %+v", got, attempts)
	}
}

// asynq's own options let a producer enqueue a job for later.
func TestWaitsForItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), asynq.NewTask(client.TaskType, payload("T1", "2.55")),
		asynq.Queue(b.Queue), asynq.TaskID("later"), asynq.ProcessIn(time.Hour))
	must(t, err)
	b.own(t, b.store, b.databaseID, "w1")
	s := b.story(t, "later")
	if codes(s) != "scheduled" || s.Waits[0].Until == nil || time.Until(*s.Waits[0].Until) < 50*time.Minute || time.Until(*s.Waits[0].Until) > time.Hour {
		t.Errorf("waits %+v", s.Waits)
	}
}

func TestIsInWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, "T1")
	b.send(t)
	gate := rig.NewGate(fault.Locked)
	t.Cleanup(gate.Open)
	b.work(t, "w1", nil, gate.Hook)
	t.Cleanup(gate.Open) // runs before the worker's end
	gate.Await(t)
	s := b.story(t, "T1")
	if codes(s) != "in_work" || s.Waits[0].Worker != "w1" || s.Waits[0].JobID != id {
		t.Errorf("waits %+v", s.Waits)
	}
	rig.Eventually(t, "a heartbeat that says since when", func() bool {
		s := b.story(t, "T1")
		return len(s.Waits) == 1 && s.Waits[0].Since != nil && time.Since(*s.Waits[0].Since) < rig.Patience
	})
	gate.Open()
	rig.Eventually(t, "the invoice", func() bool { return b.story(t, "T1").Invoice != nil })
	if s := b.story(t, "T1"); len(s.Waits) != 0 || s.Events[len(s.Events)-1].What != report.WasInvoiced {
		t.Errorf("waits %+v, events %+v", s.Waits, s.Events)
	}
}

func TestWaitsForRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, "T1")
	b.send(t)
	b.cut.On.Store(true)
	s := b.story(t, "T1")
	if codes(s) != "redis_unreachable" || len(s.Problems) != 1 || len(s.Jobs) != 1 || len(s.Events) != 2 {
		t.Errorf("waits %+v, problems %q, jobs %+v", s.Waits, s.Problems, s.Jobs)
	}
	queues, err := b.reporter.Queues(t.Context())
	must(t, err)
	if len(queues.Problems) != 1 || len(queues.Queues) != 1 || queues.Queues[0].Pending != nil || queues.Queues[0].OldestAt == nil {
		t.Errorf("%+v", queues)
	}
	workers, err := b.reporter.Workers(t.Context())
	must(t, err)
	if len(workers.Problems) != 1 || len(workers.Workers) != 0 {
		t.Errorf("%+v", workers)
	}
}

func TestWaitsForItsQueuesOwner(t *testing.T) {
	t.Parallel()
	b, other := setup(t), setup(t)
	b.own(t, other.store, other.databaseID, "theirs")
	b.accept(t, "T1")
	if s := b.story(t, "T1"); codes(s) != "queue_not_ours" || !strings.Contains(s.Waits[0].Text, "somewhere/else") || s.Waits[0].Worker != "theirs" {
		t.Errorf("accepted: waits %+v", s.Waits)
	}
	b.send(t)
	if s := b.story(t, "T1"); codes(s) != "queue_not_ours" {
		t.Errorf("sent: waits %+v", s.Waits)
	}
}

func TestWaitsToBeSentAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, "T1")
	b.claim(t, func(string, string, []byte) {})
	b.own(t, b.store, b.databaseID, "w1")
	if s := b.story(t, "T1"); codes(s) != "lost_from_queue" {
		t.Errorf("waits %+v", s.Waits)
	}
}

func TestWaitsForAPerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, reason) VALUES ('job-1', 'T1', 'K1', $1, 'failed', 'failed', 'planted')`, b.Queue)
	b.cut.On.Store(true)
	s := b.story(t, "K1")
	if codes(s) != "failed" || len(s.Problems) > 0 || s.Waits[0].Reason != "planted" || s.Matches[0].Kind != report.ByKey {
		t.Errorf("waits %+v, matches %+v", s.Waits, s.Matches)
	}
}

func TestFindsWhatOnlyRedisHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "order-17", "", payload("T1", "2.55"))
	s := b.story(t, "order-17")
	if codes(s) != "no_consumer" || *s.TransactionID != "T1" || len(s.Tasks) != 1 || *s.Tasks[0].Producer != "checkout" || !s.Tasks[0].Direct || s.Records.Known() {
		t.Errorf("waits %+v, tasks %+v", s.Waits, s.Tasks)
	}
	gate := rig.NewGate(fault.Locked)
	b.work(t, "w1", nil, gate.Hook)
	t.Cleanup(gate.Open)
	gate.Await(t)
	for _, id := range []string{"order-17", "T1"} { // by its transaction too, whose lock it holds
		if s := b.story(t, id); codes(s) != "in_work" || s.Waits[0].Worker != "w1" || s.Waits[0].JobID != "order-17" {
			t.Errorf("%s: waits %+v", id, s.Waits)
		}
	}
	gate.Open()
	rig.Eventually(t, "the invoice", func() bool { return b.story(t, "order-17").Invoice != nil })
}
