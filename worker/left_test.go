package worker_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker"
	"invoicer/worker/client"
)

// A dismissed job stays so, whoever runs its task; once it is restored, the same task is done.
func TestADismissedJobIsNotDone(t *testing.T) {
	t.Parallel()
	for _, ledgers := range []bool{true, false} {
		for _, path := range []string{"free", "done entry", "invoiced", "held", "invalid", "failing"} {
			name := "direct, " + path
			if ledgers {
				name = "accepted, " + path
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				asked := payload(t, job("T1"))
				if path == "invalid" {
					asked = []byte(strings.Replace(string(asked), "GBP", "ZZZ", 1))
				}
				w := b.start(t, "w1", func(p *parts) { p.generator, p.MaxRetry = &errGenerator{Generator: p.generator}, 0 })
				var jobID, taskID string
				if ledgers {
					if path == "invalid" { // what SQL can tell is invalid, it doesn't accept
						asked = []byte(strings.Replace(string(payload(t, job("T1"))), `"2.55"`, `"1e400"`, 1))
					}
					jobID, taskID = b.accepted(t, asked)
				} else {
					jobID = b.enqueueRaw(t, client.TaskType, asked)
					taskID = jobID
				}
				w.ended(t)
				w.Shutdown()
				b.awaitState(t, taskID, asynq.TaskStateArchived)
				store := b.store(t)
				if err := store.Ledger.Dismiss(t.Context(), jobID, ledger.Actor{Name: "ada", Note: "credited by hand"}); err != nil {
					t.Fatal(err)
				}
				others := 0
				if path == "done entry" || path == "invoiced" || path == "held" {
					w = b.start(t, "w2")
					b.enqueue(t, job("T1"))
					w.ended(t)
					w.Shutdown()
					others = 1
				}
				key := "invoicer:" + b.databaseID + ":done:{T1}"
				switch path {
				case "invoiced", "held":
					if err := b.Redis.Del(t.Context(), key).Err(); err != nil {
						t.Fatal(err)
					}
				}
				if path == "held" {
					lock := strings.Replace(key, ":done:", ":lock:", 1)
					if err := b.Redis.Set(t.Context(), lock, `{"holder":"nobody","worker":"nowhere","token":"x"}`, 1<<40).Err(); err != nil {
						t.Fatal(err)
					}
				}
				w = b.start(t, "w3", func(p *parts) {
					if path == "failing" {
						p.generator, p.MaxRetry = &errGenerator{Generator: p.generator}, 0
					}
				})
				if _, err := b.Inspector.RunAllArchivedTasks(b.Queue); err != nil {
					t.Fatal(err)
				}
				if e := w.first(t); e.What != worker.Left && path != "held" || e.JobID != jobID {
					t.Errorf("%s of job %s", e.What, e.JobID)
				} else if e.What != worker.Left {
					w.await(t, worker.Left)
				}
				b.awaitState(t, taskID, asynq.TaskStateArchived)
				if info, err := b.Inspector.GetTaskInfo(b.Queue, taskID); err != nil || !strings.Contains(info.LastErr, "invoicer restore "+jobID) {
					t.Errorf("the queue says %q, error %v", info.LastErr, err)
				}
				b.tally(t, others, 0, 0)
				if got := b.Text(t, "SELECT string_agg(concat_ws(' ', job_id, state), ', ') FROM invoice_jobs"); got != jobID+" dismissed" {
					t.Errorf("the ledger: %s", got)
				}
				if path != "free" {
					return
				}
				if err := store.Ledger.Restore(t.Context(), jobID, ledger.Actor{Name: "ada"}); err != nil {
					t.Fatal(err)
				}
				if err := b.Inspector.RunTask(b.Queue, taskID); err != nil {
					t.Fatal(err)
				}
				if e := w.ended(t); e.Outcome != invoice.Created {
					t.Errorf("restored, it ended as %s", e.Outcome)
				}
				b.tally(t, 1, 0, 0)
			})
		}
	}
}

// A job is dismissed while it is being done: whoever is first in the database decides, and never both.
func TestADismissalInMidWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobID, taskID := b.accepted(t, payload(t, job("T1")))
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'x'")
	g := rig.NewGate("locked")
	w := b.start(t, "w1", withGate(g))
	g.Await(t)
	if err := b.store(t).Ledger.Dismiss(t.Context(), jobID, ledger.Actor{Name: "ada", Note: "credited by hand"}); err != nil {
		t.Fatal(err)
	}
	g.Open()
	w.await(t, worker.Left)
	b.awaitState(t, taskID, asynq.TaskStateArchived)
	b.tally(t, 0, 0, 0)
}

// Where only jobs of the ledger are done, no other one is invoiced, whatever it says of itself. It is there to be looked at.
func TestOnlyJobsOfTheLedger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1", func(p *parts) { p.LedgerOnly = true })
	invented := uuid.NewString()
	for i, c := range []struct {
		id      string
		headers map[string]string
		jobID   string
	}{
		{"mine", nil, "mine"},
		{invented + ".1", map[string]string{client.JobIDHeader: invented}, invented},
		{"order.7", nil, "order.7"},
		{"random", map[string]string{client.JobIDHeader: "named"}, "named"},
	} {
		asked := payload(t, job("T"+string(rune('1'+i))))
		task := asynq.NewTaskWithHeaders(client.TaskType, asked, c.headers)
		if _, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), task, asynq.Queue(b.Queue), asynq.TaskID(c.id)); err != nil {
			t.Fatal(err)
		}
		if e := w.ended(t); e.JobID != c.jobID || e.Outcome != invoice.Invalid {
			t.Errorf("%s ended as %s", e.JobID, e.Outcome)
		}
		b.awaitArchived(t, c.id, "worker.direct")
		if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE job_id = $1 AND payload = $2 AND reason LIKE '%worker.direct%'", c.jobID, string(asked)); n != 1 {
			t.Errorf("%s: %d rows", c.jobID, n)
		}
	}
	b.tally(t, 0, 0, 4)

	// An accepted one is done, and so is a refused one that somebody has replayed.
	accepted, _ := b.accepted(t, payload(t, job("T9")))
	if e := w.ended(t); e.JobID != accepted || e.Outcome != invoice.Created {
		t.Errorf("%s ended as %s", e.JobID, e.Outcome)
	}
	b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', outcome = NULL, reason = NULL, dispatch = 2 WHERE job_id = 'mine'")
	b.dispatch(t, "mine", "mine.2", payload(t, job("T1")))
	if e := w.ended(t); e.JobID != "mine" || e.Outcome != invoice.Created {
		t.Errorf("%s ended as %s", e.JobID, e.Outcome)
	}
	// By a done entry, too, nothing counts that the ledger doesn't have.
	forged := uuid.NewString()
	b.dispatch(t, forged, forged+".1", payload(t, job("T9")))
	if e := w.ended(t); e.JobID != forged || e.Outcome != invoice.Invalid {
		t.Errorf("%s ended as %s", e.JobID, e.Outcome)
	}
	b.tally(t, 2, 0, 4)
}

// Where jobs of the ledger alone are done from now on, a direct one that was done before is that.
func TestADirectJobThatWasDoneBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.start(t, "w1")
	jobID := b.enqueue(t, job("T1"))
	w.ended(t)
	b.awaitState(t, jobID, asynq.TaskStateCompleted)
	w.Shutdown()
	strict := b.start(t, "w2", func(p *parts) { p.LedgerOnly = true })
	if err := b.Inspector.RunTask(b.Queue, jobID); err != nil {
		t.Fatal(err)
	}
	if e := strict.ended(t); e.JobID != jobID || e.Outcome != invoice.Created {
		t.Errorf("%s ended as %s", e.JobID, e.Outcome)
	}
	b.tally(t, 1, 0, 0)
}
