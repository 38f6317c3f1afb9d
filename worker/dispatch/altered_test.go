package dispatch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/taskedit"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

// A job that the queue has given up on is recorded as it was accepted, whatever the queue says of it; and of a task whose
// job has ended, nothing is recorded.
func TestWhatTheQueueGaveUpIsRecordedAsAccepted(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]func(*taskedit.Task){
		"payload": func(task *taskedit.Task) {
			task.Payload = []byte(strings.ReplaceAll(string(task.Payload), `"T1"`, `"T9"`))
		},
		"garbage":            func(task *taskedit.Task) { task.Payload = []byte("\xff\x00") },
		"no header":          func(task *taskedit.Task) { clear(task.Headers) },
		"another header":     func(task *taskedit.Task) { task.Headers[client.JobIDHeader] = uuid.NewString() },
		"no header, garbage": func(task *taskedit.Task) { clear(task.Headers); task.Payload = nil },
	} {
		for _, ended := range []bool{false, true} {
			title := name
			if ended {
				title += ", of a job that has ended"
			}
			t.Run(title, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.accept(t, 1, 1)
				relayed(t, 1, b.relay(t))
				id := b.pending(t)[0]
				before := b.Text(t, "SELECT concat_ws(' ', job_id, transaction_id, idempotency_key, producer, queue, payload) FROM invoice_jobs")
				want := "failed"
				if ended {
					want = "dismissed"
					b.Exec(t, "UPDATE invoice_jobs SET state = 'dismissed', outcome = 'failed', reason = 'seen'")
				}
				if err := taskedit.Alter(t.Context(), b.Redis, b.Queue, id, alter); err != nil {
					t.Fatal(err)
				}
				if err := b.Inspector.ArchiveTask(b.Queue, id); err != nil {
					t.Fatal(err)
				}
				r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled = time.Hour })
				round(t, r)
				if !ended {
					told.await(t, dispatch.GivenUp)
				}
				told.none(t, dispatch.GivenUp)
				if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 1 {
					t.Errorf("%d rows in the ledger", n)
				}
				if got := b.Text(t, "SELECT state FROM invoice_jobs"); got != want {
					t.Errorf("the job is %s, want %s", got, want)
				}
				if after := b.Text(t, "SELECT concat_ws(' ', job_id, transaction_id, idempotency_key, producer, queue, payload) FROM invoice_jobs"); after != before {
					t.Errorf("it was %s and is %s", before, after)
				}
			})
		}
	}
}
