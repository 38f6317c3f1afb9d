package worker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/locking"
)

func TestConflicts(t *testing.T) {
	t.Parallel()
	euros := func(j *invoice.Job) { j.Currency = "EUR" }
	key := func(j *invoice.Job) { j.IdempotencyKey = "K" }
	for _, c := range []struct {
		name   string
		second *invoice.Job
		want   invoice.Outcome
		names  []string
	}{
		{"same transaction, other content", job("T1", key, euros), invoice.Conflict, []string{"currency", "INV-000001", "T1"}},
		{"same transaction and key, other content", job("T1", euros), invoice.Conflict, []string{"currency", "INV-000001"}},
		{"other key, same content", job("T1", key), invoice.Duplicate, nil},
		{"a key on another transaction's invoice", job("T2", func(j *invoice.Job) { j.IdempotencyKey = "T1" }), invoice.Conflict, []string{"transaction_id", "idempotency_key", "T1", "INV-000001"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.start(t, "w1")
			b.enqueue(t, job("T1"))
			w.ended(t)
			before := b.Text(t, "SELECT row_to_json(invoices)::text FROM invoices")
			jobID := b.enqueue(t, c.second)
			if e := w.ended(t); e.JobID != jobID || e.Outcome != c.want {
				t.Fatalf("ended as %s, want %s", e.Outcome, c.want)
			}
			if after := b.Text(t, "SELECT row_to_json(invoices)::text FROM invoices"); after != before {
				t.Errorf("the invoice was %s and is %s", before, after)
			}
			if c.want == invoice.Duplicate {
				b.tally(t, 1, 1, 0)
				return
			}
			b.tally(t, 1, 0, 1)
			reason := b.Text(t, "SELECT reason FROM invoice_jobs WHERE outcome = 'conflict' AND transaction_id = $1 AND payload LIKE '{%'", c.second.TransactionID)
			for _, name := range c.names {
				if !strings.Contains(reason, name) {
					t.Errorf("the reason %q doesn't name %s", reason, name)
				}
			}
			b.awaitArchived(t, jobID, "conflict")
		})
	}
}

// awaitArchived waits until the queue has given up on a task, with an error that says why, and without a retry.
func (b *site) awaitArchived(t *testing.T, taskID, why string) {
	t.Helper()
	info := b.awaitState(t, taskID, asynq.TaskStateArchived)
	if !strings.Contains(info.LastErr, why) || info.Retried != 0 {
		t.Errorf("archived with %q after %d retries", info.LastErr, info.Retried)
	}
}

func (b *site) awaitState(t *testing.T, taskID string, want asynq.TaskState) *asynq.TaskInfo {
	t.Helper()
	var info *asynq.TaskInfo
	rig.Eventually(t, "the task to be "+want.String(), func() bool {
		var err error
		if info, err = b.Inspector.GetTaskInfo(b.Queue, taskID); err != nil {
			t.Fatal(err)
		}
		return info.State == want
	})
	return info
}

// After a restore, Redis remembers invoices that the database doesn't hold: the invoice is made, and the entry replaced.
func TestDoneEntryWithoutAnInvoice(t *testing.T) {
	t.Parallel()
	known := func(jobID, fingerprint string) func(string) string {
		return func(own string) string {
			return invoicetest.DoneEntry(invoice.Ref{
				ID: 77, Number: "INV-000077", TransactionID: "T1", IdempotencyKey: "T1",
				JobID: strings.ReplaceAll(jobID, "own", own), Fingerprint: fingerprint,
			})
		}
	}
	decoded := job("T1")
	decoded.Version, decoded.IdempotencyKey = 1, "T1"
	fingerprint := decoded.Fingerprint()
	for name, value := range map[string]func(own string) string{
		"of another job":   known("another", fingerprint),
		"of the job":       known("own", fingerprint),
		"of other content": known("another", "v1:0"),
		"garbage":          func(string) string { return "]" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			jobID := b.enqueue(t, job("T1"))
			locker := b.locker(t, b.Redis)
			lock, err := locker.Acquire(t.Context(), "T1", locking.Holder{ID: "before the restore", Worker: "w0"})
			if err != nil {
				t.Fatal(err)
			}
			stale := value(jobID)
			if err := lock.Finish(t.Context(), stale, 1<<40); err != nil {
				t.Fatal(err)
			}
			w := b.start(t, "w1")
			if e := w.ended(t); e.Outcome != invoice.Created {
				t.Errorf("ended as %s", e.Outcome)
			}
			b.tally(t, 1, 0, 0)
			if n, err := b.Redis.Get(t.Context(), "invoicer:"+b.databaseID+":done:{T1}").Result(); err != nil || n == stale || !strings.Contains(n, "INV-000001") {
				t.Errorf("done entry %s, error %v", n, err)
			}
		})
	}
}

// A rerun is no duplicate of itself.
func TestSameTaskTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	jobID := b.enqueue(t, job("T1"))
	w.ended(t)
	info := b.awaitState(t, jobID, asynq.TaskStateCompleted)
	var result map[string]any
	if err := json.Unmarshal(info.Result, &result); err != nil || result["outcome"] != "created" || result["invoice_number"] != "INV-000001" {
		t.Errorf("result %s, error %v", info.Result, err)
	}
	for _, forget := range []bool{false, true} {
		if forget { // the second rerun finds no done entry
			if err := b.Redis.Del(t.Context(), "invoicer:"+b.databaseID+":done:{T1}").Err(); err != nil {
				t.Fatal(err)
			}
		}
		b.awaitState(t, jobID, asynq.TaskStateCompleted)
		if err := b.Inspector.RunTask(b.Queue, jobID); err != nil {
			t.Fatal(err)
		}
		if e := w.ended(t); e.JobID != jobID || e.Outcome != invoice.Created {
			t.Errorf("the rerun ended as %s", e.Outcome)
		}
	}
	b.tally(t, 1, 0, 0)
}

// A recorded duplicate that runs again stays one duplicate.
func TestDuplicateRunsTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	b.enqueue(t, job("T1"))
	w.ended(t)
	jobID := b.enqueue(t, job("T1"))
	w.ended(t)
	b.awaitState(t, jobID, asynq.TaskStateCompleted)
	if err := b.Inspector.RunTask(b.Queue, jobID); err != nil {
		t.Fatal(err)
	}
	if e := w.ended(t); e.Outcome != invoice.Duplicate {
		t.Errorf("the rerun ended as %s", e.Outcome)
	}
	b.tally(t, 1, 1, 0)
}

// asynqmon's button on a failed job, after what was wrong has been put right: the same job ends well, in the same row.
func TestFailedJobRunsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	failing := errGenerator{}
	w := b.start(t, "w1", func(p *parts) { p.generator, p.MaxRetry = &failing, 0 })
	jobID := b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Failed {
		t.Fatalf("ended as %s", e.Outcome)
	}
	b.awaitArchived(t, jobID, "failed")
	b.tally(t, 0, 0, 1)
	w.Shutdown()
	repaired := b.start(t, "w2")
	if err := b.Inspector.RunTask(b.Queue, jobID); err != nil {
		t.Fatal(err)
	}
	if e := repaired.ended(t); e.JobID != jobID || e.Outcome != invoice.Created {
		t.Errorf("ended as %s", e.Outcome)
	}
	b.tally(t, 1, 0, 0)
	if got := b.Text(t, "SELECT state || ' ' || outcome FROM invoice_jobs WHERE job_id = $1", jobID); got != "done created" {
		t.Errorf("its row: %s", got)
	}
}

// In what a duplicate differs, which the setting allows, is on record with it.
func TestIgnoredDifferencesAreOnRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "INSERT INTO settings (version, ignore, change, actor) VALUES (2, '{issued_at}', 'set', 'ada')")
	w := b.start(t, "w1")
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Fatalf("%+v", e)
	}
	again := job("T1")
	again.IssuedAt = again.IssuedAt.Add(time.Second)
	b.enqueue(t, again)
	if e := w.ended(t); e.Outcome != invoice.Duplicate {
		t.Errorf("%+v, want a duplicate", e)
	}
	if differs := b.Text(t, "SELECT differs::text FROM duplicate_attempts"); differs != "{issued_at}" {
		t.Errorf("it differs in %s", differs)
	}
	b.tally(t, 1, 1, 0)
}
