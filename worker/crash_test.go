package worker_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/worker"
	"invoicer/worker/client"
)

// A transaction isn't done because somebody is about to commit its invoice, and not because somebody has failed to.
func TestNothingIsDoneBeforeTheCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	failing := rig.NewGate(fault.Written)
	failing.Result = errors.New("planted")
	w := b.startOn(t, b.faultyStore(t, failing.Hook), "w1", withGate(failing), func(p *parts) { p.MaxRetry = 0 })
	entries := func() int64 {
		n, err := b.Redis.Exists(t.Context(), "invoicer:"+b.databaseID+":done:{T1}").Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	b.enqueue(t, job("T1"))
	<-failing.Reached
	if n := entries(); n != 0 {
		t.Error("there is a done entry before the commit")
	}
	failing.Open()
	if e := w.ended(t); e.Outcome != invoice.Failed {
		t.Errorf("ended as %s", e.Outcome)
	}
	if n := entries(); n != 0 {
		t.Error("there is a done entry after a rollback")
	}
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Errorf("the next job ended as %s", e.Outcome)
	}
	if n := entries(); n != 1 {
		t.Error("there is no done entry after the commit")
	}
	b.tally(t, 1, 0, 1)
}

// The queue counts every crash of a job's worker as a failure. No worker lives to see that one was the last, so the next
// one tells by the count.
func TestJobThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.enqueue(t, job("T1"))
	task := b.Key("t:" + id)
	message, err := b.Redis.HGet(t.Context(), task, "msg").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	// Of a field that a Protocol Buffers message has twice the last one counts, and number 6 is how often it was retried.
	const crashes = 40
	if err := b.Redis.HSet(t.Context(), task, "msg", append(message, 6<<3, crashes)).Err(); err != nil {
		t.Fatal(err)
	}
	w := b.start(t, "w1")
	if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Failed || e.Attempt != crashes+1 {
		t.Errorf("ended as %s at attempt %d", e.Outcome, e.Attempt)
	}
	b.awaitState(t, id, asynq.TaskStateArchived)
	b.tally(t, 0, 0, 1)
}

// A handler that outlasts the shutdown's own limit still uses what the caller is about to close.
func TestShutdownWaitsForWhatTheQueueHasGivenUpOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inHand := rig.NewGate(fault.Locked)
	w := b.start(t, "w1", withGate(inHand), func(p *parts) { p.JobTimeout, p.ShutdownTimeout = 50*time.Millisecond, 100*time.Millisecond })
	id := b.enqueue(t, job("T1"))
	<-inHand.Reached
	var goesOn atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.Shutdown()
		if !goesOn.Load() {
			t.Error("Shutdown returned while a handler was still running")
		}
	}()
	b.awaitState(t, id, asynq.TaskStatePending) // the queue waits no longer
	for range 500 {                             // a Shutdown that doesn't wait either returns meanwhile
		if err := b.Redis.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	goesOn.Store(true)
	inHand.Open()
	<-stopped
	b.start(t, "w2").ended(t)
	b.tally(t, 1, 0, 0)
}

// A task from the ledger is one dispatch of its job, which keeps its own identity over all of them.
func TestJobOfTheLedger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobID = "0198c0de-0000-7000-8000-000000000001"
	encoded := payload(t, job("T1"))
	if _, err := b.DB.ExecContext(t.Context(), `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, dispatch)
VALUES ($1, 'T1', 'T1', $2, $3, 'enqueued', 2)`, jobID, b.Queue, string(encoded)); err != nil {
		t.Fatal(err)
	}
	w := b.start(t, "w1")
	for _, dispatch := range []string{".1", ".2"} {
		task := asynq.NewTaskWithHeaders(client.TaskType, encoded, map[string]string{client.JobIDHeader: jobID})
		if _, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), task, asynq.Queue(b.Queue), asynq.TaskID(jobID+dispatch)); err != nil {
			t.Fatal(err)
		}
		if e := w.ended(t); e.JobID != jobID || e.Outcome != invoice.Created {
			t.Errorf("dispatch %s: job %s ended as %s", dispatch, e.JobID, e.Outcome)
		}
	}
	b.tally(t, 1, 0, 0)
	if got := b.Text(t, "SELECT j.state || ' ' || j.outcome || ' ' || (i.job_id = j.job_id) FROM invoice_jobs j JOIN invoices i ON i.id = j.invoice_id"); got != "done created true" {
		t.Errorf("its row: %s", got)
	}
}

// A book holds log lines, and tells of each.
type book struct {
	mu    sync.Mutex
	lines bytes.Buffer
	grown chan struct{}
}

func newBook() *book { return &book{grown: make(chan struct{}, 1)} }

func (b *book) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.grown <- struct{}{}:
	default:
	}
	return b.lines.Write(line)
}

func (b *book) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}

func (b *book) await(t *testing.T, want string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("it said:\n%s", b.text())
		}
	}()
	for !strings.Contains(b.text(), want) {
		rig.Receive(t, b.grown, fmt.Sprintf("a word of %q", want))
	}
}

// The queue recovers nobody's tasks while one of them can't be read, and that is for people to repair.
func TestUndecodableMessageIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		p.HSet(t.Context(), b.Key("t:garbage"), "msg", "garbage", "state", "active")
		p.LPush(t.Context(), b.Key("active"), "garbage")
		p.ZAdd(t.Context(), b.Key("lease"), redis.Z{Score: 1, Member: "garbage"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	said := newBook()
	w := b.start(t, "w1", func(p *parts) { p.Logger = slog.New(slog.NewTextHandler(said, nil)) })
	said.await(t, `level=WARN msg="recoverer:`)
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.What != worker.Ended || e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
}
