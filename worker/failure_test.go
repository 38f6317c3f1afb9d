package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/internal/fault"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/worker"
	"invoicer/worker/client"
)

// errGenerator fails, or panics, for as long as it is told to.
type errGenerator struct {
	worker.Generator
	panics bool
	rest   int // how many calls still fail; 0: all
}

func (g *errGenerator) Generate(ctx context.Context, r invoice.Request) (invoice.Result, error) {
	if g.rest == 1 {
		return g.Generator.Generate(ctx, r)
	}
	if g.rest > 1 {
		g.rest--
	}
	if g.panics {
		panic("a customer's name: Ada")
	}
	return invoice.Result{}, errors.New("planted")
}

func TestBadInputIsRecordedAndNotRetried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	bad := invoicetest.Bad()
	ids := map[string]invoicetest.BadPayload{}
	for _, p := range bad {
		ids[b.enqueueRaw(t, client.TaskType, p.Payload)] = p
	}
	for range bad {
		e := w.ended(t)
		p := ids[e.JobID]
		if e.Outcome != invoice.Invalid || e.Attempt != 1 {
			t.Errorf("%s: ended as %s at attempt %d", p.Name, e.Outcome, e.Attempt)
		}
		reason := b.row(t, "SELECT reason FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid' AND job_id = $1 AND coalesce(convert_to(payload, 'UTF8'), payload_raw) = $2", e.JobID, append([]byte{}, p.Payload...))
		for _, field := range p.Fields {
			if !strings.Contains(reason, field) {
				t.Errorf("%s: the reason %q doesn't name %s", p.Name, reason, field)
			}
		}
		b.awaitArchived(t, e.JobID, "invalid")
	}
	b.tally(t, 0, 0, len(bad))
}

func TestUnknownTaskTypeIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	id := b.enqueueRaw(t, "email:send", []byte("hello"))
	if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Invalid {
		t.Errorf("ended as %s", e.Outcome)
	}
	if reason := b.row(t, "SELECT reason FROM invoice_jobs WHERE job_id = $1 AND payload = 'hello'", id); !strings.Contains(reason, "email:send") {
		t.Errorf("reason %q", reason)
	}
	b.awaitArchived(t, id, "email:send")
}

func TestNewerVersionIsPutBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	id := b.enqueueRaw(t, client.TaskType, []byte(`{"version":2,"transaction_id":"T1","something":"new"}`))
	if e := w.await(t, worker.PutBack); e.JobID != id {
		t.Errorf("job %s put back", e.JobID)
	}
	if info := b.awaitState(t, id, asynq.TaskStateRetry); info.Retried != 0 || !strings.Contains(info.LastErr, "newer") {
		t.Errorf("%d retries used up, error %q", info.Retried, info.LastErr)
	}
	b.tally(t, 0, 0, 0)
}

func TestPanicIsAFailureAndTellsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1", func(p *parts) {
		p.generator = &errGenerator{Generator: p.generator, panics: true, rest: 2}
		p.Concurrency = 1
	})
	b.enqueue(t, job("T1"))
	if e := w.await(t, worker.Retried); e.Err == nil || strings.Contains(e.Err.Error(), "Ada") {
		t.Errorf("error %v", e.Err)
	}
	if e := w.ended(t); e.Outcome != invoice.Created || e.Attempt != 2 {
		t.Errorf("ended as %s at attempt %d", e.Outcome, e.Attempt)
	}
	b.tally(t, 1, 0, 0)
}

func TestRetriesUsedUp(t *testing.T) {
	t.Parallel()
	for name, panics := range map[string]bool{"error": false, "panic": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.start(t, "w1", func(p *parts) { p.generator, p.MaxRetry = &errGenerator{panics: panics}, 1 })
			id := b.enqueue(t, job("T1"))
			w.await(t, worker.Retried)
			if e := w.ended(t); e.Outcome != invoice.Failed || e.Attempt != 2 {
				t.Errorf("ended as %s at attempt %d", e.Outcome, e.Attempt)
			}
			if n := b.count(t, "SELECT attempts FROM invoice_jobs WHERE state = 'failed' AND outcome = 'failed' AND transaction_id = 'T1' AND producer = 'checkout' AND payload LIKE '{%' AND job_id = $1", id); n != 2 {
				t.Errorf("%d attempts on record", n)
			}
			b.awaitState(t, id, asynq.TaskStateArchived)
			b.tally(t, 0, 0, 1)
		})
	}
}

// A foreign producer may have set a limit of its own, at which asynq archives a task whatever the error.
func TestForeignRetryLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.crashed(t, "T1", "crashed")
	w := b.start(t, "w1")
	payload, err := job("T1").Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := b.enqueueRaw(t, client.TaskType, payload, asynq.MaxRetry(0))
	if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Failed {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.tally(t, 0, 0, 1)
}

// The last retry's worker crashes after the commit: the job isn't failed, the queue only doesn't know of its end.
func TestCrashAfterTheCommitOfTheLastRetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	crash := newGate(fault.Recorded)
	crash.result = errors.New("planted")
	crash.release()
	w := b.start(t, "w1", withGate(crash), func(p *parts) { p.MaxRetry = -1 })
	id := b.enqueue(t, job("T1"))
	for range 2 {
		if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created {
			t.Errorf("ended as %s", e.Outcome)
		}
	}
	b.awaitState(t, id, asynq.TaskStateCompleted)
	b.tally(t, 1, 0, 0)
}

// A foreign producer uses one task id for two jobs, in two queues.
func TestForeignTaskIDTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1", func(p *parts) { p.Queues = map[string]int{b.queue: 1, b.queue + "_2": 1} })
	for i, change := range []func(*invoice.Job){func(*invoice.Job) {}, func(j *invoice.Job) { j.Currency = "EUR" }} {
		payload, err := job("T1", change).Encode()
		if err != nil {
			t.Fatal(err)
		}
		queue := b.queue
		if i == 1 {
			queue += "_2"
		}
		b.enqueueRaw(t, client.TaskType, payload, asynq.TaskID("mine"), asynq.Queue(queue))
		w.ended(t)
	}
	b.tally(t, 1, 0, 1)
	if got := b.row(t, "SELECT job_id FROM invoice_jobs WHERE outcome = 'conflict'"); !strings.HasPrefix(got, "mine#") {
		t.Errorf("the conflict is on record under %s, the invoice's own job", got)
	}
}
