package worker_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// Each ended job has one line with its transaction, its id and how long it took; without the good ends, if so asked.
func TestOneLineForEachEnd(t *testing.T) {
	t.Parallel()
	for name, problems := range map[string]bool{"all": false, "problems": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			said := newBook()
			w := b.start(t, "w1", func(p *parts) {
				p.Logger = slog.New(slog.NewJSONHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
				p.LogProblems = problems
			})
			var want []string
			add := func(jobID, transaction string, o invoice.Outcome) {
				t.Helper()
				if e := w.ended(t); e.JobID != jobID || e.Outcome != o {
					t.Fatalf("job %s ended as %s, want %s as %s", e.JobID, e.Outcome, jobID, o)
				}
				if !problems || o != invoice.Created && o != invoice.Duplicate {
					want = append(want, fmt.Sprintln(jobID, transaction, o))
				}
			}
			add(b.enqueue(t, job("T1")), "T1", invoice.Created)
			add(b.enqueue(t, job("T1")), "T1", invoice.Duplicate)
			add(b.enqueue(t, job("T1", dearer)), "T1", invoice.Conflict)
			add(b.enqueueRaw(t, client.TaskType, []byte(`{"transaction_id":"T2"}`)), "T2", invoice.Invalid)
			w.Shutdown()

			var got []string
			for line := range strings.Lines(said.text()) {
				var l struct{ Msg, Job_ID, Transaction_ID, Outcome, Took string } //nolint:revive // as the fields are called
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if l.Outcome == "" {
					continue
				}
				got = append(got, fmt.Sprintln(l.Job_ID, l.Transaction_ID, l.Outcome))
				if took, err := time.ParseDuration(l.Took); err != nil || took <= 0 || l.Msg != "job ended" {
					t.Errorf("%s", line)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the log has\n%swant\n%s", got, want)
			}
		})
	}
}
