package worker_test

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/internal/taskedit"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/worker/client"
)

// accepted puts a job into the ledger and, as a relay does, into its queue. It returns the ids of the job and its task.
func (b *site) accepted(t *testing.T, payload []byte) (jobID, taskID string) {
	t.Helper()
	jobID = uuid.NewString()
	b.Exec(t, "SELECT accept($1, $2, $3::uuid)", string(payload), b.Queue, jobID)
	b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', dispatch = 1 WHERE job_id = $1", jobID)
	taskID = jobID + ".1"
	b.dispatch(t, jobID, taskID, payload)
	return jobID, taskID
}

func (b *site) dispatch(t *testing.T, jobID, taskID string, payload []byte) {
	t.Helper()
	task := asynq.NewTaskWithHeaders(client.TaskType, payload, map[string]string{client.JobIDHeader: jobID})
	_, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), task, asynq.Queue(b.Queue), asynq.TaskID(taskID),
		asynq.MaxRetry(math.MaxInt32), asynq.Retention(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
}

// as makes a change of a task's payload to that of a job.
func as(t *testing.T, j *invoice.Job) func(*taskedit.Task) {
	t.Helper()
	encoded := payload(t, j)
	return func(task *taskedit.Task) { task.Payload = encoded }
}

func dearer(j *invoice.Job) { j.Lines[0].UnitPrice = invoice.MustDecimal("22.95") }

// Whatever somebody makes of an accepted job in its queue, the job ends as what was accepted.
func TestAnAlteredTaskIsDoneAsAccepted(t *testing.T) {
	t.Parallel()
	secret := func(j *invoice.Job) { j.CustomerName = "Ada" }
	invalid := []byte(`{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"ZZZ","lines":[{"quantity":1,"unit_price":"2.55"}]}`)
	good, other := payload(t, job("T1")), payload(t, job("T1", dearer))
	for _, c := range []struct {
		name     string
		accepted []byte // T1's
		before   []*invoice.Job
		alter    func(*taskedit.Task)
		quiet    bool // it needs no word
		want     string
	}{
		{"amount", good, nil, as(t, job("T1", dearer, secret)), false, "done created"},
		{"spelling", good, nil, func(task *taskedit.Task) { task.Payload = append(task.Payload, ' ') }, false, "done created"},
		{"transaction", good, nil, as(t, job("T2", secret)), false, "done created"},
		{"transaction that is invoiced", good, []*invoice.Job{job("T2")}, as(t, job("T2")), false, "done created"},
		{"transaction that is invoiced otherwise", good, []*invoice.Job{job("T2")}, as(t, job("T2", dearer)), false, "done created"},
		{"key of another one's", good, []*invoice.Job{job("T2")}, as(t, job("T1", func(j *invoice.Job) { j.IdempotencyKey = "T2" })), false, "done created"},
		{
			"series of the other kind", good,
			[]*invoice.Job{job("T2", func(j *invoice.Job) { j.Series = "CN"; j.Lines[0].Quantity = j.Lines[0].Quantity.Neg() })},
			as(t, job("T1", func(j *invoice.Job) { j.Series = "CN" })), false, "done created",
		},
		{"garbage", good, nil, func(task *taskedit.Task) { task.Payload = []byte("\xff\x00Ada") }, false, "done created"},
		{"nothing", good, nil, func(task *taskedit.Task) { task.Payload = nil }, false, "done created"},
		{"invalid content", good, nil, func(task *taskedit.Task) { task.Payload = invalid }, false, "done created"},
		{"version", good, nil, func(task *taskedit.Task) { task.Payload = []byte(`{"version":99}`) }, false, "done created"},
		{"type", good, nil, func(task *taskedit.Task) { task.Type = "email:send" }, false, "done created"},
		{"no header", good, nil, func(task *taskedit.Task) { clear(task.Headers) }, false, "done created"},
		{"no header, amount", good, nil, func(task *taskedit.Task) { clear(task.Headers); as(t, job("T1", dearer))(task) }, false, "done created"},
		{"another header", good, nil, func(task *taskedit.Task) { task.Headers[client.JobIDHeader] = uuid.NewString() }, false, "done created"},
		{"retries", good, nil, func(task *taskedit.Task) { task.Retried = 1000 }, true, "done created"},
		{"all retries", good, nil, func(task *taskedit.Task) { task.Retried = math.MaxInt32 }, true, "done created"},
		{"fewer than no retries", good, nil, func(task *taskedit.Task) { task.Retried = math.MinInt32 }, true, "done created"},
		{"limit", good, nil, func(task *taskedit.Task) { task.Retry, task.Retried, task.Payload = 0, 7, invalid }, false, "done created"},
		{"a duplicate's amount", good, []*invoice.Job{job("T1")}, as(t, job("T1", dearer)), false, "done duplicate"},
		{"a conflict's amount", other, []*invoice.Job{job("T1")}, func(task *taskedit.Task) { task.Payload = good }, false, "failed conflict"},
		{"an invalid job's currency", invalid, nil, func(task *taskedit.Task) { task.Payload = good }, false, "failed invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if len(c.before) > 0 {
				w := b.start(t, "w0")
				for _, j := range c.before {
					b.enqueue(t, j)
					w.ended(t)
				}
				w.Shutdown()
			}
			jobID, taskID := b.accepted(t, c.accepted)
			if err := taskedit.Alter(t.Context(), b.Redis, b.Queue, taskID, c.alter); err != nil {
				t.Fatal(err)
			}
			log := newBook()
			w := b.start(t, "w1", func(p *parts) { p.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
			if e := w.ended(t); e.JobID != jobID || e.Altered == c.quiet || e.TransactionID != "T1" {
				t.Errorf("job %s ended, altered: %t", e.JobID, e.Altered)
			}
			b.is(t, jobID, c.want, c.accepted)
			if n := b.Count(t, "SELECT count(*) FROM invoices") - len(c.before); (n == 1) != (c.want == "done created") {
				t.Errorf("%d invoices more", n)
			}
			if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 1 {
				t.Errorf("%d rows in the ledger", n)
			}
			if n := strings.Count(log.text(), "altered in the queue"); (n == 1) == c.quiet || n > 1 {
				t.Errorf("%d lines tell that the task was altered", n)
			}
			if strings.Contains(log.text(), "Ada") {
				t.Error("the log quotes what was altered")
			}
		})
	}
}

// is fails the test unless the job's row stands so, with the payload that was accepted, and its invoice says the same.
func (b *site) is(t *testing.T, jobID, want string, accepted []byte) {
	t.Helper()
	if got := b.Text(t, "SELECT state || ' ' || coalesce(outcome, '-') FROM invoice_jobs WHERE job_id = $1", jobID); got != want {
		t.Errorf("job %s is %s, want %s", jobID, got, want)
	}
	if got := b.Text(t, "SELECT payload FROM invoice_jobs WHERE job_id = $1", jobID); got != string(accepted) {
		t.Errorf("its payload is %s now", got)
	}
	if !strings.HasPrefix(want, "done") {
		return
	}
	asked, err := invoice.Decode(accepted)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Text(t, "SELECT fingerprint FROM invoices JOIN invoice_jobs ON invoice_id = invoices.id WHERE invoice_jobs.job_id = $1", jobID); got != asked.Fingerprint() {
		t.Error("its invoice is not what was accepted")
	}
}

// A task whose content is another accepted job's is its own job all the same, and that one is done too.
func TestTasksThatChangePlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := payload(t, job("T1")), payload(t, job("T2"))
	one, oneTask := b.accepted(t, first)
	two, twoTask := b.accepted(t, second)
	for task, other := range map[string]func(*taskedit.Task){
		oneTask: func(task *taskedit.Task) { task.Payload, task.Headers[client.JobIDHeader] = second, two },
		twoTask: func(task *taskedit.Task) { task.Payload, task.Headers[client.JobIDHeader] = first, one },
	} {
		if err := taskedit.Alter(t.Context(), b.Redis, b.Queue, task, other); err != nil {
			t.Fatal(err)
		}
	}
	w := b.start(t, "w1")
	for range 2 {
		if e := w.ended(t); !e.Altered {
			t.Errorf("job %s was done by the other one's task", e.JobID)
		}
	}
	b.is(t, one, "done created", first)
	b.is(t, two, "done created", second)
	b.tally(t, 2, 0, 0)
}

// A task under another name, or under the accepted job's own, is that job, and not one of its own.
func TestATaskThatPassesForAnAcceptedJob(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(jobID string) (taskID string, headers map[string]string){
		"random id, header": func(jobID string) (string, map[string]string) {
			return "zzz", map[string]string{client.JobIDHeader: jobID}
		},
		"a dispatch that never was": func(jobID string) (string, map[string]string) { return jobID + ".77", nil },
		"the job's id":              func(jobID string) (string, map[string]string) { return jobID, nil },
		"the job's id, another header": func(jobID string) (string, map[string]string) {
			return jobID + ".1", map[string]string{client.JobIDHeader: "else"}
		},
		"another dispatch, with header": func(jobID string) (string, map[string]string) {
			return jobID + ".2", map[string]string{client.JobIDHeader: jobID}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			accepted := payload(t, job("T1"))
			jobID, taskID := b.accepted(t, accepted)
			if err := b.Inspector.DeleteTask(b.Queue, taskID); err != nil {
				t.Fatal(err)
			}
			forgedID, headers := change(jobID)
			for _, forged := range []*invoice.Job{job("T1", dearer), job("T2")} {
				task := asynq.NewTaskWithHeaders(client.TaskType, payload(t, forged), headers)
				if _, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), task, asynq.Queue(b.Queue), asynq.TaskID(forgedID)); err != nil {
					t.Fatal(err)
				}
				w := b.start(t, "w1")
				if e := w.ended(t); e.JobID != jobID || !e.Altered || e.Outcome != invoice.Created {
					t.Errorf("job %s ended as %s, altered: %t", e.JobID, e.Outcome, e.Altered)
				}
				w.Shutdown()
				b.is(t, jobID, "done created", accepted)
				b.tally(t, 1, 0, 0)
			}
		})
	}
}

// Ids that look like the ledger's, and aren't, are jobs under their own.
func TestATaskIDWithADotAndANumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	for i, id := range []string{"order.5", uuid.NewString() + ".1"} {
		b.enqueueRaw(t, client.TaskType, payload(t, job("T"+string(rune('1'+i)))), asynq.TaskID(id))
		if e := w.ended(t); e.JobID != id || e.Outcome != invoice.Created || e.Altered {
			t.Errorf("job %s ended as %s, altered: %t", e.JobID, e.Outcome, e.Altered)
		}
	}
	// A failed one that was replayed is the ledger's from then on, whatever its id.
	accepted := payload(t, job("T3"))
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, dispatch)
VALUES ('order.6', 'T3', 'T3', $1, $2, 'enqueued', 2)`, b.Queue, string(accepted))
	b.enqueueRaw(t, client.TaskType, payload(t, job("T3", dearer)), asynq.TaskID("order.6.2"))
	if e := w.ended(t); e.JobID != "order.6" || e.Outcome != invoice.Created || !e.Altered {
		t.Errorf("job %s ended as %s, altered: %t", e.JobID, e.Outcome, e.Altered)
	}
	b.is(t, "order.6", "done created", accepted)
	b.tally(t, 3, 0, 0)
}

// Nothing is made of a task whose job was accepted as something else, where the ledger doesn't keep that any more.
func TestAnAlteredTaskWhosePayloadWasPruned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobID, taskID := b.accepted(t, payload(t, job("T1")))
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'x', payload = NULL")
	if err := taskedit.Alter(t.Context(), b.Redis, b.Queue, taskID, as(t, job("T2"))); err != nil {
		t.Fatal(err)
	}
	w := b.start(t, "w1")
	if e := w.await(t, "left"); e.JobID != jobID {
		t.Errorf("job %s was left", e.JobID)
	}
	b.awaitState(t, taskID, asynq.TaskStateArchived)
	b.tally(t, 0, 0, 1)
}

// A done entry that somebody has made up acknowledges nothing: not a job without such an invoice, and none under a number
// or of a maker that isn't the invoice's.
func TestAForgedDoneEntry(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(known *invoice.Ref, own string){
		"no such invoice":             func(known *invoice.Ref, _ string) { known.ID += 1000 },
		"another number":              func(known *invoice.Ref, _ string) { known.Number = "INV-999999" },
		"another maker":               func(known *invoice.Ref, _ string) { known.JobID = "somebody" },
		"another transaction's":       func(known *invoice.Ref, _ string) { known.ID, known.Number = 2, "INV-000002" },
		"another content":             func(known *invoice.Ref, _ string) { known.Fingerprint = "v1:0" },
		"the job's own, without that": func(known *invoice.Ref, own string) { known.JobID = own },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, rerun := range []bool{false, true} {
				b := setup(t)
				w := b.start(t, "w1")
				maker, task := b.accepted(t, payload(t, job("T1")))
				w.ended(t)
				b.enqueue(t, job("T2"))
				w.ended(t)
				b.awaitState(t, task, asynq.TaskStateCompleted)
				key := "invoicer:" + b.databaseID + ":done:{T1}"
				original := b.Redis.Get(t.Context(), key).Val()
				known, err := invoicetest.ReadDoneEntry(original)
				if err != nil || known.TransactionID != "T1" {
					t.Fatal(known, err)
				}
				want, jobID := invoice.Duplicate, uuid.NewString()
				if rerun {
					want, jobID = invoice.Created, maker
				}
				unforged := invoicetest.DoneEntry(known)
				forge(&known, jobID)
				forged := invoicetest.DoneEntry(known)
				if err := b.Redis.Set(t.Context(), key, forged, time.Hour).Err(); err != nil {
					t.Fatal(err)
				}
				if rerun {
					if err := b.Inspector.RunTask(b.Queue, task); err != nil {
						t.Fatal(err)
					}
				} else {
					b.enqueueRaw(t, client.TaskType, payload(t, job("T1")), asynq.TaskID(jobID))
				}
				if e := w.ended(t); e.JobID != jobID || e.Outcome != want || e.Invoice.Number != "INV-000001" {
					t.Errorf("job %s ended as %s of %s", e.JobID, e.Outcome, e.Invoice.Number)
				}
				b.tally(t, 2, map[bool]int{false: 1, true: 0}[rerun], 0)
				if now := b.Redis.Get(t.Context(), key).Val(); forged != unforged && (rerun || name != "another maker") && now == forged {
					t.Errorf("the entry is still %s", now)
				}
			}
		})
	}
}

// Redis says of a job how often it was tried, and the ledger counts itself before a job is given up.
func TestForgedRetriesEndNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	failing := &errGenerator{rest: 4}
	w := b.start(t, "w1", func(p *parts) { failing.Generator, p.generator, p.MaxRetry = p.generator, failing, 5 })
	jobID, taskID := b.accepted(t, payload(t, job("T1")))
	for _, retried := range []int64{900, math.MinInt32, 900} {
		w.await(t, "retried")
		rig.Eventually(t, "the task to wait", func() bool {
			info, err := b.Inspector.GetTaskInfo(b.Queue, taskID)
			return err == nil && info.State == asynq.TaskStateRetry
		})
		if err := taskedit.Alter(t.Context(), b.Redis, b.Queue, taskID, func(task *taskedit.Task) { task.Retried = retried }); err != nil {
			t.Fatal(err)
		}
		// On a busy machine, it may be due by now.
		if err := b.Inspector.RunTask(b.Queue, taskID); err != nil && !strings.Contains(err.Error(), "already in ") {
			t.Fatal(err)
		}
	}
	if e := w.ended(t); e.JobID != jobID || e.Outcome != invoice.Created {
		t.Errorf("job %s ended as %s", e.JobID, e.Outcome)
	}
	b.tally(t, 1, 0, 0)
}
