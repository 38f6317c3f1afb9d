package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/worker"
	"invoicer/worker/client"
)

// Whatever becomes of jobs, and at whatever level it is logged: of what they hold, no log line, no error and no reason on
// record tells more than the ids.
func TestLogsHoldNoPersonalData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secrets := func(j *invoice.Job) {
		j.CustomerID, j.CustomerName, j.Country = "Secret-1", "Secret-2 Lovelace", "Secret-3"
		j.Lines[0].SKU, j.Lines[0].Description = "Secret-4", "Secret-5"
		j.Metadata = map[string]string{"Secret-6": "Secret-7"}
	}
	// The server's own words for a refusal quote the row.
	if _, err := b.DB.ExecContext(t.Context(), "ALTER TABLE invoices ADD CONSTRAINT planted CHECK (transaction_id <> 'refused')"); err != nil {
		t.Fatal(err)
	}
	said := newBook()
	winner := rig.NewGate(fault.Locked)
	w := b.start(t, "w1", withGate(winner), func(p *parts) {
		p.Logger = slog.New(slog.NewJSONHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p.generator = &panicking{p.generator}
		p.MaxRetry, p.LockWait = 0, 0
	})
	var errs []string
	end := func(want invoice.Outcome) {
		t.Helper()
		for {
			e := w.first(t)
			if e.Err != nil {
				errs = append(errs, e.Err.Error())
			}
			if e.What == worker.Ended {
				if e.Outcome != want {
					t.Errorf("job for %q ended as %s, want %s", e.TransactionID, e.Outcome, want)
				}
				return
			}
		}
	}
	b.enqueue(t, job("T1", secrets))
	<-winner.Reached
	loser := b.enqueue(t, job("T1", secrets))
	if e := w.await(t, worker.PutBack); e.JobID != loser {
		t.Errorf("job %s is put back", e.JobID)
	} else {
		errs = append(errs, e.Err.Error())
	}
	winner.Open()
	end(invoice.Created)
	for e := w.first(t); ; e = w.first(t) { // it may have been put back more than once
		if e.What == worker.Ended {
			if e.JobID != loser || e.Outcome != invoice.Duplicate {
				t.Errorf("the loser ended as %s", e.Outcome)
			}
			break
		}
	}

	b.enqueue(t, job("T1", secrets, func(j *invoice.Job) { j.CustomerName, j.Lines[0].SKU = "Secret-8", "Secret-9" }))
	end(invoice.Conflict)
	b.enqueue(t, job("T2", secrets, func(j *invoice.Job) { j.IdempotencyKey = "T1" }))
	end(invoice.Conflict)
	b.enqueue(t, job("refused", secrets))
	end(invoice.Failed)
	b.enqueue(t, job("panic", secrets))
	end(invoice.Failed)
	for _, bad := range []string{
		`{"transaction_id":"Secret-10 ","customer_name":5,"issued_at":"Secret-11","currency":"Secret-12","lines":[{"quantity":"Secret-13","unit_price":"Secret-14"}]}`,
		`{"customer_name":"Secret-15`, `Secret-16`, "{\"customer_name\":\"Secret-17\x00\xff\"}",
	} {
		b.enqueueRaw(t, client.TaskType, []byte(bad))
		end(invoice.Invalid)
	}
	w.Shutdown()

	log := said.text()
	for _, line := range []string{"job ended", "lost the race", "job goes back to the queue", "worker stopped"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log has no line %q, so that this test shows little", line)
		}
	}
	told := map[string]string{
		"the log":              log,
		"an error":             strings.Join(errs, "\n"),
		"a reason":             b.Text(t, "SELECT string_agg(reason, ' ') FROM invoice_jobs"),
		"what the queue shows": b.lastErrors(t),
	}
	for where, text := range told {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "Secret") || strings.Contains(line, "Lovelace") {
				t.Errorf("%s tells too much: %s", where, line)
			}
		}
	}
}

// panicking panics over one transaction, with all that it holds.
type panicking struct{ worker.Generator }

func (g *panicking) Generate(ctx context.Context, r invoice.Request) (invoice.Result, error) {
	if r.Job.TransactionID == "panic" {
		panic(fmt.Sprintf("%+v", r.Job))
	}
	return g.Generator.Generate(ctx, r)
}

// lastErrors is what the queue keeps about the tasks in its archive.
func (b *site) lastErrors(t *testing.T) string {
	t.Helper()
	tasks, err := b.Inspector.ListArchivedTasks(b.Queue)
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%d archived tasks, error %v", len(tasks), err)
	}
	var all strings.Builder
	for _, task := range tasks {
		fmt.Fprintln(&all, task.LastErr)
	}
	return all.String()
}
