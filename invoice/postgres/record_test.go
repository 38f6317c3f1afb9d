package postgres_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// end is a job's end as a worker would report it.
func end(jobID string, o invoice.Outcome, made *invoice.Ref) ledger.End {
	e := ledger.End{
		JobID: jobID, Outcome: o, Invoice: made, TransactionID: "T1", IdempotencyKey: "K", Producer: "checkout",
		Worker: "w1", Queue: "default", Payload: []byte(`{"transaction_id":"T1"}`), Attempts: 3,
	}
	switch o {
	case invoice.Duplicate:
		e.Reason = invoice.LostRace
	case invoice.Created:
	default:
		e.Detail = "currency: XYZ is not known"
	}
	return e
}

func TestRecordDuplicateOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "first", job(t, "T1"))
	for range 3 {
		if err := b.store.Ledger.Record(t.Context(), end("second", invoice.Duplicate, made)); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts WHERE job_id = 'second' AND invoice_id = $1 AND reason = 'lost_race' AND producer = 'checkout' AND worker = 'w1'", made.ID); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d ledger rows for a job that was never accepted there", n)
	}
}

// After a restore, an invoice that Redis remembers may be gone, or its id may belong to another one.
func TestRecordAgainstAnInvoiceThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "first", job(t, "T1"))
	gone, foreign, changed := *made, *made, *made
	gone.ID++
	foreign.TransactionID = "T2"
	changed.Fingerprint = "v1:0"
	for name, i := range map[string]*invoice.Ref{"gone": &gone, "another transaction's": &foreign, "other content": &changed} {
		for _, o := range []invoice.Outcome{invoice.Duplicate, invoice.Created} {
			if err := b.store.Ledger.Record(t.Context(), end("second", o, i)); !errors.Is(err, invoice.ErrNotInvoiced) {
				t.Errorf("%s, %s: error %v, want ErrNotInvoiced", name, o, err)
			}
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts"); n != 0 {
		t.Errorf("%d duplicates of nothing", n)
	}
}

func TestRecordFailed(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string][]byte{
		"text": []byte(`{"transaction_id":"T1"}`), "bytes that are no text": {0xff, 0xfe, '{'}, "U+0000": []byte("{\x00}"), "nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			e := end("job", invoice.Invalid, nil)
			e.Payload, e.Detail = payload, "bad \x00 \xff detail"
			for range 2 {
				if err := b.store.Ledger.Record(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			var state, outcome, reason string
			var stored []byte
			row := b.DB.QueryRowContext(t.Context(), "SELECT state, outcome, reason, coalesce(convert_to(payload, 'UTF8'), payload_raw) FROM invoice_jobs WHERE job_id = 'job' AND attempts = 3")
			if err := row.Scan(&state, &outcome, &reason, &stored); err != nil {
				t.Fatal(err)
			}
			if state != "failed" || outcome != "invalid" || reason != "bad \uFFFD \uFFFD detail" || !bytes.Equal(stored, payload) {
				t.Errorf("%s %s %q %x", state, outcome, reason, stored)
			}
		})
	}
}

// A job that failed and is tried again ends as what it came to, and an end is never taken back by a late report.
func TestRecordFollowsTheJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	state := func(jobID string) string {
		return b.Text(t, "SELECT concat_ws(' ', state, outcome, invoice_id IS NOT NULL) FROM invoice_jobs WHERE job_id = $1", jobID)
	}
	record := func(jobID string, o invoice.Outcome, made *invoice.Ref) {
		t.Helper()
		if err := b.store.Ledger.Record(t.Context(), end(jobID, o, made)); err != nil {
			t.Fatal(err)
		}
	}
	record("maker", invoice.Failed, nil)
	record("other", invoice.Failed, nil)
	made := b.create(t, "maker", job(t, "T1"))
	if got := state("maker"); got != "done created t" {
		t.Errorf("the maker's row after its invoice: %s", got)
	}
	record("other", invoice.Duplicate, made)
	if got := state("other"); got != "done duplicate t" {
		t.Errorf("the other's row after its duplicate: %s", got)
	}
	for _, jobID := range []string{"maker", "other"} {
		before := state(jobID)
		if err := b.store.Ledger.Record(t.Context(), end(jobID, invoice.Failed, nil)); !errors.Is(err, invoice.ErrEnded) {
			t.Errorf("a late report of %s: error %v, want ErrEnded", jobID, err)
		}
		if got := state(jobID); got != before {
			t.Errorf("%s went from %s to %s by a late report", jobID, before, got)
		}
	}
}

// What an older dispatch reports late about a job that was replayed since, or dismissed, changes nothing and is no second
// end.
func TestLateFailureOfAnOlderDispatch(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"accepted", "dismissed"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.store.Ledger.Record(t.Context(), end("late", invoice.Failed, nil)); err != nil {
				t.Fatal(err)
			}
			change := "UPDATE invoice_jobs SET state = 'dismissed'"
			if state == "accepted" {
				change = "UPDATE invoice_jobs SET state = 'accepted', outcome = NULL, reason = NULL, dispatch = dispatch + 1"
			}
			if _, err := b.DB.ExecContext(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			err := b.store.Ledger.Record(t.Context(), end("late", invoice.Failed, nil))
			if dismissed := new(ledger.DismissedError); errors.As(err, &dismissed) != (state == "dismissed") || err != nil && state == "accepted" {
				t.Errorf("a late report: %v", err)
			}
			if got := b.Text(t, "SELECT string_agg(state, ' ') FROM invoice_jobs"); got != state {
				t.Errorf("the ledger holds %s, want %s", got, state)
			}
		})
	}
}

// Of a job that came straight from the queue the ledger has no row, and its good end must count all the same.
func TestNoBadEndAfterAGoodOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "maker", job(t, "T1"))
	if err := b.store.Ledger.Record(t.Context(), end("other", invoice.Duplicate, made)); err != nil {
		t.Fatal(err)
	}
	for _, jobID := range []string{"maker", "other"} {
		for _, o := range []invoice.Outcome{invoice.Failed, invoice.Conflict, invoice.Invalid} {
			if err := b.store.Ledger.Record(t.Context(), end(jobID, o, nil)); !errors.Is(err, invoice.ErrEnded) {
				t.Errorf("%s of %s: error %v, want ErrEnded", o, jobID, err)
			}
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs have a second end", n)
	}
}

// A database that is being restored or migrated answers, and its answers are no fault of the job.
func TestMissingTablesAreAnOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, statement := range []string{"ALTER TABLE invoice_series RENAME TO restoring", "ALTER TABLE duplicate_attempts RENAME TO restoring_too"} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.generator.Generate(t.Context(), request("job", job(t, "T1"))); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("insert: error %v, want ErrUnavailable", err)
	}
	if err := b.store.Ledger.Record(t.Context(), end("job", invoice.Failed, nil)); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("record: error %v, want ErrUnavailable", err)
	}
	gone := b.open(t, func(o *postgres.Options) { o.URL = strings.Replace(o.URL, "/invoicer?", "/no_such_database?", 1) })
	if err := gone.Ping(t.Context()); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("no such database: error %v, want ErrUnavailable", err)
	}
}
