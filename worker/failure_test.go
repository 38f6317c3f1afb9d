package worker_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/config"
	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
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

// forgetful knows no done entries: it fails where one is to be decided by.
type forgetful struct{ worker.Generator }

func (g *forgetful) Known(context.Context, invoice.Request, invoice.Ref, invoice.Reason) (invoice.Result, error) {
	return invoice.Result{}, errors.New("planted")
}

func payload(t *testing.T, j *invoice.Job) []byte {
	t.Helper()
	encoded, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
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
		reason := b.Text(t, "SELECT reason FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid' AND job_id = $1 AND coalesce(convert_to(payload, 'UTF8'), payload_raw) = $2", e.JobID, append([]byte{}, p.Payload...))
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
	// What it is stays known, or a replay would take it for an invoice's job.
	if reason := b.Text(t, "SELECT reason FROM invoice_jobs WHERE job_id = $1 AND payload = 'hello' AND task_type = 'email:send'", id); !strings.Contains(reason, "email:send") {
		t.Errorf("reason %q", reason)
	}
	b.awaitArchived(t, id, "email:send")
	b.enqueueRaw(t, client.TaskType, []byte("hello"))
	w.ended(t)
	if n := b.Text(t, "SELECT count(*) FROM invoice_jobs WHERE task_type IS NULL"); n != "1" {
		t.Errorf("%s jobs are invoices' by their type, want 1", n)
	}
}

func TestNewerVersionIsPutBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	id := b.enqueueRaw(t, client.TaskType, []byte(`{"version":3,"transaction_id":"T1","something":"new"}`))
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
			if n := b.Count(t, "SELECT attempts FROM invoice_jobs WHERE state = 'failed' AND outcome = 'failed' AND transaction_id = 'T1' AND producer = 'checkout' AND payload LIKE '{%' AND job_id = $1", id); n != 2 {
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
	w := b.start(t, "w1", func(p *parts) { p.LockWait = 0 })
	id := b.enqueueRaw(t, client.TaskType, payload(t, job("T1")), asynq.MaxRetry(0))
	w.await(t, worker.PutBack)
	w.await(t, worker.PutBack) // it is kept in hand, or it would be in the archive now
	b.expire(t, "T1")
	if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.awaitState(t, id, asynq.TaskStateCompleted)

	newer := b.enqueueRaw(t, client.TaskType, []byte(`{"version":3}`), asynq.MaxRetry(0))
	if e := w.ended(t); e.JobID != newer || e.Outcome != invoice.Failed {
		t.Errorf("a newer version that the queue won't keep ended as %s", e.Outcome)
	}
	b.tally(t, 1, 0, 1)
}

// Postgres is away, and the queue would archive the job at the first error.
func TestForeignRetryLimitInAnOutage(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t)
	b := newSite(t, rig.On(t, rig.DatabaseOn(t, server.URL), sandboxtest.Redis(t)))
	w := b.start(t, "w1")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	id := b.enqueueRaw(t, client.TaskType, payload(t, job("T1")), asynq.MaxRetry(0))
	w.await(t, worker.PutBack)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.awaitState(t, id, asynq.TaskStateCompleted)
	b.tally(t, 1, 0, 0)
}

// asynq archives a task whose own deadline has passed without ever calling its handler.
func TestForeignDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	id := b.enqueueRaw(t, client.TaskType, payload(t, job("T1")), asynq.MaxRetry(0), asynq.Deadline(time.Now().Add(-time.Hour)))
	if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.awaitState(t, id, asynq.TaskStateArchived)
	b.tally(t, 1, 0, 0)
}

// The last retry's worker crashes after the commit, and nothing works when the job runs again: it isn't failed, the
// queue only doesn't know of its end.
func TestCrashAfterTheCommitOfTheLastRetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	crash := rig.NewGate(fault.Recorded)
	crash.Result = errors.New("planted")
	crash.Open()
	w := b.start(t, "w1", withGate(crash), func(p *parts) { p.generator, p.MaxRetry = &forgetful{Generator: p.generator}, 0 })
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
	w := b.start(t, "w1", func(p *parts) { p.Queues = map[string]int{b.Queue: 1, b.Queue + "_2": 1} })
	for i, change := range []func(*invoice.Job){func(*invoice.Job) {}, func(j *invoice.Job) { j.Currency = "EUR" }} {
		queue := b.Queue
		if i == 1 {
			queue += "_2"
		}
		b.enqueueRaw(t, client.TaskType, payload(t, job("T1", change)), asynq.TaskID("mine"), asynq.Queue(queue))
		w.ended(t)
	}
	b.tally(t, 1, 0, 1)
	if got := b.Text(t, "SELECT job_id FROM invoice_jobs WHERE outcome = 'conflict'"); !strings.HasPrefix(got, "mine#") {
		t.Errorf("the conflict is on record under %s, the invoice's own job", got)
	}
}

// A foreign producer uses one task id for two transactions, one after the other.
func TestForeignTaskIDForTwoTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	for range 2 {
		b.enqueue(t, job("T1"))
		b.enqueue(t, job("T2"))
	}
	for range 4 {
		w.ended(t)
	}
	for _, transactionID := range []string{"T1", "T2"} {
		id := b.enqueueRaw(t, client.TaskType, payload(t, job(transactionID)), asynq.TaskID("mine"))
		if e := w.ended(t); e.Outcome != invoice.Duplicate {
			t.Errorf("%s ended as %s", transactionID, e.Outcome)
		}
		b.awaitState(t, id, asynq.TaskStateCompleted)
		if err := b.Inspector.DeleteTask(b.Queue, id); err != nil {
			t.Fatal(err)
		}
	}
	b.tally(t, 2, 4, 0)
	if n := b.Count(t, "SELECT count(DISTINCT transaction_id) FROM duplicate_attempts WHERE job_id LIKE 'mine%'"); n != 2 {
		t.Errorf("the id stands for %d of 2 duplicates", n)
	}

	w.Shutdown()
	failing := b.start(t, "w2", func(p *parts) { p.generator, p.MaxRetry = &errGenerator{Generator: p.generator}, 0 })
	b.enqueueRaw(t, client.TaskType, payload(t, job("T3")), asynq.TaskID("mine"))
	if e := failing.ended(t); e.Outcome != invoice.Failed {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.tally(t, 2, 4, 1)
}

// unkept has no right to record failed attempts.
type unkept struct{ worker.Recorder }

func (unkept) RecordAttempt(context.Context, ledger.FailedAttempt) error {
	return errors.New("permission denied for table job_attempts")
}

// What people would like to know changes nothing for the job.
func TestFailedAttemptsAreKeptIfThatIsPossible(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"kept": 2, "refused": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			store := b.store(t)
			lines := newBook()
			b.startRecording(t, store, name == "refused", lines)
			id := b.enqueue(t, job("T1"))
			rig.Eventually(t, "the invoice", func() bool { return b.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = 'T1'") == 1 })
			kept := b.Count(t, "SELECT count(*) FROM job_attempts WHERE job_id = $1 AND dispatch = 0 AND worker = 'w1' AND reason = 'planted' AND attempt IN (1, 2)", id)
			warned := strings.Count(lines.text(), "failed attempts can't be recorded")
			// On a busy machine the database may take too long for one of them, which is then said.
			if kept != want && (name == "refused" || kept != 1 || warned != 1) {
				t.Errorf("%d attempts are kept, want %d", kept, want)
			}
			if name == "refused" && warned != 1 {
				t.Errorf("warned %d times of two attempts", warned)
			}
		})
	}
}

func (b *site) startRecording(t *testing.T, store *postgres.DB, refused bool, lines io.Writer) {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var recorder worker.Recorder = store.Ledger
	if refused {
		recorder = unkept{recorder}
	}
	standard := config.Default()
	h, err := worker.NewHandler(&errGenerator{Generator: invoice.NewGenerator(store.Invoices, numbering), rest: 3}, b.locker(t, b.Redis), recorder, worker.Options{
		Name: "w1", Concurrency: 2, Queues: map[string]int{b.Queue: 1}, JobTimeout: standard.Worker.JobTimeout,
		ShutdownTimeout: standard.Worker.ShutdownTimeout, MaxRetry: 5, CacheTTL: func() time.Duration { return time.Hour }, Logger: slog.New(slog.NewTextHandler(lines, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := worker.NewServer(b.Redis, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
}
