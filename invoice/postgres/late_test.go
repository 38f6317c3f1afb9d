package postgres_test

import (
	"errors"
	"testing"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
)

// Whoever waits for the counter looks for the transaction only when it has it: what was committed meanwhile is found, and
// not run into.
func TestWhoWaitedForTheCounterSeesWhatWasCommitted(t *testing.T) {
	t.Parallel()
	before := rig.NewGate(fault.Written)
	b := setup(t, planted(before.Hook))
	first := make(chan error, 1)
	go func() {
		_, err := b.generator.Generate(t.Context(), request("first", job(t, "T1")))
		first <- err
	}()
	<-before.Reached
	second := make(chan invoice.Result, 1)
	other := generator(t, b.open(t)) // in one store, the second would wait for the first before it came to the counter
	go func() {
		r, err := other.Generate(t.Context(), request("second", job(t, "T1")))
		if err != nil {
			t.Errorf("the second: %v", err)
		}
		second <- r
	}()
	b.AwaitBlocked(t)
	before.Open()
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
	if r := <-second; r.Outcome != invoice.Duplicate || r.Reason != invoice.AlreadyInvoiced {
		t.Errorf("the second: %s, %s; want a duplicate that found the invoice, instead of violating a constraint", r.Outcome, r.Reason)
	}
	b.gapless(t)
}

// Of a job that is done, nothing but its row may be left once old duplicate attempts are pruned.
func TestDoneStaysDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "maker", job(t, "T1"))
	for _, step := range []invoice.Outcome{invoice.Failed, invoice.Duplicate} {
		// The ledger has a row for it since it failed; for the maker there is none.
		e := end("other", step, made)
		if step == invoice.Failed {
			e.Invoice = nil
		}
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.DB.ExecContext(t.Context(), "DELETE FROM duplicate_attempts"); err != nil {
		t.Fatal(err)
	}
	for _, o := range []invoice.Outcome{invoice.Failed, invoice.Conflict, invoice.Invalid} {
		if err := b.store.Ledger.Record(t.Context(), end("other", o, nil)); !errors.Is(err, invoice.ErrEnded) {
			t.Errorf("%s: error %v, want ErrEnded", o, err)
		}
	}
	if got := b.Text(t, "SELECT concat_ws(' ', state, outcome, invoice_id IS NOT NULL) FROM invoice_jobs WHERE job_id = 'other'"); got != "done duplicate t" {
		t.Errorf("its row is %s", got)
	}
}

// A job's duplicate is being recorded while another worker, which takes the first for dead, records that the job failed: it
// has one end.
func TestDuplicateWaitsForAFailureOfTheSameJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "maker", job(t, "T1"))
	failing, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer failing.Rollback()            //nolint:errcheck // it is committed below
	for _, statement := range []string{ // as Record does
		"SELECT pg_advisory_xact_lock(hashtextextended('other', 0))",
		"INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, reason) VALUES ('other', 'T1', 'T1', 'q', 'failed', 'failed', 'r')",
	} {
		if _, err := failing.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	recorded := make(chan error, 1)
	go func() { recorded <- b.store.Ledger.Record(t.Context(), end("other", invoice.Duplicate, made)) }()
	b.AwaitBlocked(t)
	if err := failing.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-recorded; err != nil {
		t.Error(err)
	}
	if got := b.Text(t, "SELECT string_agg(state || ' ' || outcome, ',') FROM invoice_jobs"); got != "done duplicate" {
		t.Errorf("the ledger says %s beside the duplicate attempt", got)
	}
}
