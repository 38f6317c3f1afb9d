package postgres_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/uuid"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// accepted puts a job into the ledger, in a state that follows acceptance, and returns its id.
func (b *site) accepted(t *testing.T, payload, state string) string {
	t.Helper()
	id := uuid.NewString()
	if err := b.store.Ledger.Accept(t.Context(), id, "default", []byte(payload)); err != nil {
		t.Fatal(err)
	}
	switch state {
	case "failed", "dismissed":
		b.Exec(t, "UPDATE invoice_jobs SET state = $1, outcome = 'failed', reason = 'x', dispatch = 1 WHERE job_id = $2", state, id)
	default:
		b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', dispatch = 1 WHERE job_id = $1", id)
	}
	return id
}

func encoded(t *testing.T, j *invoice.Job) []byte {
	t.Helper()
	payload, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// ledger is all of the ledger, and of the attempts.
func (b *site) ledger(t *testing.T) string {
	t.Helper()
	return b.Text(t, `SELECT coalesce((SELECT jsonb_agg(to_jsonb(j) ORDER BY id) FROM invoice_jobs j), '[]')::text
|| coalesce((SELECT jsonb_agg(to_jsonb(d) ORDER BY id) FROM duplicate_attempts d), '[]')::text`)
}

// No end is recorded of an accepted job that isn't of what was accepted, and the error has that.
func TestNoEndIsRecordedOfAnAlteredJob(t *testing.T) {
	t.Parallel()
	const payload = `{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}`
	for _, state := range []string{"enqueued", "failed"} {
		for _, o := range []invoice.Outcome{invoice.Created, invoice.Duplicate, invoice.Conflict, invoice.Invalid, invoice.Failed} {
			t.Run(state+" "+string(o), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				jobID := b.accepted(t, payload, state)
				other := "maker"
				if o == invoice.Created {
					other = jobID
				}
				b.Exec(t, "ALTER TABLE invoice_jobs RENAME TO away") // so that the invoice doesn't end the row
				b.Exec(t, "CREATE TABLE invoice_jobs (LIKE away INCLUDING ALL)")
				made := b.create(t, other, job(t, "T2"))
				b.Exec(t, "DROP TABLE invoice_jobs")
				b.Exec(t, "ALTER TABLE away RENAME TO invoice_jobs")
				before := b.ledger(t)
				e := end(jobID, o, made)
				e.TransactionID, e.Payload = "T2", encoded(t, job(t, "T2"))
				var altered *ledger.AlteredError
				if err := b.store.Ledger.Record(t.Context(), e); !errors.As(err, &altered) || string(altered.Payload) != payload || altered.JobID != jobID {
					t.Fatalf("error %v", err)
				}
				if after := b.ledger(t); after != before {
					t.Errorf("before: %s\nafter: %s", before, after)
				}
			})
		}
	}
}

// A failure keeps what was accepted, whatever the queue says of key, producer and queue.
func TestAFailureLeavesWhatWasAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payload = `{"transaction_id":"T1","producer":"shop","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}`
	jobID := b.accepted(t, payload, "enqueued")
	e := end(jobID, invoice.Failed, nil)
	e.Payload, e.Producer, e.IdempotencyKey, e.Queue = []byte(payload), "somebody", "else", "elsewhere"
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := b.Text(t, "SELECT concat_ws(' ', state, outcome, idempotency_key, producer, queue, attempts) FROM invoice_jobs WHERE payload = $1", payload); got != "failed failed T1 shop default 3" {
		t.Errorf("the row is %s", got)
	}
}

// An accepted job that can be read by SQL alone ends as invalid, whatever could be made out of its payload.
func TestABadEndNeedsNoTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payload = `{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}`
	jobID := b.accepted(t, payload, "enqueued")
	e := end(jobID, invoice.Invalid, nil)
	e.Payload, e.TransactionID, e.IdempotencyKey = []byte(payload), "", ""
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := b.Text(t, "SELECT concat_ws(' ', job_id, state, transaction_id) FROM invoice_jobs"); got != jobID+" failed T1" {
		t.Errorf("the row is %s", got)
	}
}

// A good end names its invoice rightly in every part, and who made it.
func TestAGoodEndNamesItsInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "maker", job(t, "T1"))
	b.create(t, "other", job(t, "T2"))
	for name, c := range map[string]struct {
		jobID   string
		outcome invoice.Outcome
		change  func(*invoice.Ref)
	}{
		"another number":           {"second", invoice.Duplicate, func(i *invoice.Ref) { i.Number = "INV-000009" }},
		"another one's number":     {"second", invoice.Duplicate, func(i *invoice.Ref) { i.Number = "INV-000002" }},
		"another one's id":         {"second", invoice.Duplicate, func(i *invoice.Ref) { i.ID++ }},
		"a duplicate of itself":    {"maker", invoice.Duplicate, func(i *invoice.Ref) { i.JobID = "somebody" }},
		"created by somebody else": {"second", invoice.Created, func(i *invoice.Ref) { i.JobID = "second" }},
		"created, another number":  {"maker", invoice.Created, func(i *invoice.Ref) { i.Number = "INV-000009" }},
	} {
		forged := *made
		c.change(&forged)
		if err := b.store.Ledger.Record(t.Context(), end(c.jobID, c.outcome, &forged)); !errors.Is(err, invoice.ErrNotInvoiced) {
			t.Errorf("%s: error %v, want ErrNotInvoiced", name, err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts"); n != 0 {
		t.Errorf("%d duplicates were recorded", n)
	}
}

// Of those that are recorded together, each has its own answer.
func TestGoodEndsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "maker", job(t, "T1"))
	asked := job(t, "T1")
	right := b.accepted(t, string(encoded(t, asked)), "enqueued")
	wrong := b.accepted(t, string(encoded(t, asked)), "enqueued")
	gone := b.accepted(t, string(encoded(t, asked)), "dismissed")
	var ends []ledger.End
	for _, id := range []string{right, wrong, gone, "direct", "refused", "maker"} {
		e := end(id, invoice.Duplicate, made)
		e.Payload = encoded(t, asked)
		ends = append(ends, e)
	}
	ends[1].Payload = append(ends[1].Payload, ' ')
	ends[4].LedgerOnly = true
	ends[5].Outcome, ends[5].Reason = invoice.Created, ""
	errs := b.store.Ledger.RecordTogether(t.Context(), ends)
	var altered *ledger.AlteredError
	var dismissed *ledger.DismissedError
	if errs[0] != nil || !errors.As(errs[1], &altered) || !errors.As(errs[2], &dismissed) || errs[3] != nil || !errors.Is(errs[4], invoice.ErrNotAccepted) || errs[5] != nil {
		t.Errorf("errors %v", errs)
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts WHERE job_id IN ('direct', $1)", right); n != 2 || b.Count(t, "SELECT count(*) FROM duplicate_attempts") != 2 {
		t.Errorf("%d of the right ones are recorded", n)
	}
	if got := b.Text(t, "SELECT string_agg(state, ' ' ORDER BY id) FROM invoice_jobs"); got != "done enqueued dismissed" {
		t.Errorf("the ledger: %s", got)
	}
}

// Once a job is dismissed nothing is recorded of it, and a run that came before is what the dismissal sees.
func TestDismissedAndRestored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := job(t, "T1")
	jobID := b.accepted(t, string(encoded(t, asked)), "failed")
	by := ledger.Actor{Name: "ada", Note: "credited by hand"}
	if err := b.store.Ledger.Dismiss(t.Context(), jobID, by); err != nil {
		t.Fatal(err)
	}
	before := b.ledger(t)
	made := b.create(t, "maker", asked)
	for _, o := range []invoice.Outcome{invoice.Duplicate, invoice.Conflict, invoice.Invalid, invoice.Failed} {
		e := end(jobID, o, made)
		e.Payload = encoded(t, asked)
		var dismissed *ledger.DismissedError
		if err := b.store.Ledger.Record(t.Context(), e); !errors.As(err, &dismissed) || dismissed.JobID != jobID {
			t.Errorf("%s: error %v", o, err)
		}
	}
	r := request(jobID, asked)
	r.Payload = encoded(t, asked)
	var dismissed *ledger.DismissedError
	if _, err := b.generator.Generate(t.Context(), r); !errors.As(err, &dismissed) {
		t.Errorf("generate: error %v", err)
	}
	if after := b.ledger(t); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	if err := b.store.Ledger.Restore(t.Context(), jobID, ledger.Actor{Name: "grace"}); err != nil {
		t.Fatal(err)
	}
	var past []map[string]any
	history, err := b.store.Reports.History(t.Context(), jobID, 9)
	if err != nil {
		t.Fatal(err)
	}
	encodedHistory, err := json.Marshal(history)
	if err != nil || json.Unmarshal(encodedHistory, &past) != nil || len(past) != 2 ||
		past[0]["action"] != "restore" || past[0]["actor"] != "grace" || past[0]["came_to"] != "failed" || past[0]["note"] != nil ||
		past[1]["action"] != "dismiss" || past[1]["came_to"] != "dismissed" {
		t.Errorf("history %s", encodedHistory)
	}
	e := end(jobID, invoice.Duplicate, made)
	e.Payload = encoded(t, asked)
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// A dismissal waits for a run of the job that is about to commit, and then finds no failed job.
func TestADismissalWaitsForARunUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := job(t, "T1")
	jobID := b.accepted(t, string(encoded(t, asked)), "failed")
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it is committed
	if _, err := tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", jobID); err != nil {
		t.Fatal(err)
	}
	dismissed := make(chan error, 1)
	go func() { dismissed <- b.store.Ledger.Dismiss(t.Context(), jobID, ledger.Actor{Name: "ada", Note: "n"}) }()
	b.AwaitBlocked(t)
	if _, err := tx.ExecContext(t.Context(), "UPDATE invoice_jobs SET state = 'enqueued', outcome = NULL, reason = NULL"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-dismissed; err == nil || err.Error() != "job "+jobID+" is enqueued" {
		t.Errorf("error %v", err)
	}
}
