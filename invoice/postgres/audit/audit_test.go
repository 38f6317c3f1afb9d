package audit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres/audit"
)

func TestClean(t *testing.T) {
	t.Parallel()
	b := setup(t)
	report := b.audit(t)
	if found := broken(report); !report.OK() || len(found) > 0 {
		t.Fatalf("broken: %v", found)
	}
	examined := make(map[string]int64)
	for _, check := range report.Checks {
		examined[check.Name] = check.Examined
	}
	want := map[string]int64{
		"constraints": examined["constraints"], "triggers": 180,
		"issuers": 11, "transactions": 5, "keys": 5, "numbers": 7, "reserved": 7, "invoice_numbers": 5, "counters": 7, "kinds": 7,
		"series": 9, "dates": 7, "ledger": 7, "duplicates": 2, "ends": 14, "imports": 5,
		"lines": 7, "sums": 10, "fingerprints": 5, "chain": 5, "accepted": 2, "erased": 0, "documents": 0, "handovers": 0,
	}
	if diff := cmp.Diff(want, examined); diff != "" {
		t.Errorf("rows examined (-want +got):\n%s", diff)
	}

	created, duplicate, conflict, invalid := "created", "duplicate", "conflict", "invalid"
	if diff := cmp.Diff([]audit.JobTally{
		{State: "accepted", Jobs: 1},
		{State: "dismissed", Outcome: &invalid, Jobs: 1},
		{State: "done", Outcome: &created, Jobs: 1},
		{State: "done", Outcome: &duplicate, Jobs: 1},
		{State: "enqueued", Jobs: 1},
		{State: "failed", Outcome: &conflict, Jobs: 1},
		{State: "failed", Outcome: &invalid, Jobs: 1},
	}, report.Jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	tallies, err := b.store.Reports.Tallies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tallies, report.Totals); diff != "" || len(tallies) != 3 {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if report.DuplicateAttempts != 2 {
		t.Errorf("%d duplicate attempts, want 2", report.DuplicateAttempts)
	}
}

func TestWaitingJobsAreListedOldestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	report := b.audit(t)
	if len(report.Waiting) != 2 {
		t.Fatalf("waiting: %+v", report.Waiting)
	}
	first, second := report.Waiting[0], report.Waiting[1]
	if first.JobID != "job-11" || second.JobID != "job-12" || *first.TransactionID != "T11" {
		t.Errorf("waiting: %+v", report.Waiting)
	}
	if age := first.Age(); age < time.Hour || age > time.Hour+time.Minute {
		t.Errorf("job-11 is %s old, want an hour", age)
	}
	if age := second.Age(); age < 0 || age > time.Minute {
		t.Errorf("job-12 is %s old, want seconds", age)
	}

	if first.Why != "no worker is running" {
		t.Errorf("job-11 waits because %q", first.Why)
	}
	b.exec(t, "INSERT INTO ledger_queues (queue, holder, expires_at) VALUES ('elsewhere', 'w', now() + interval '1 minute')")
	if why := b.audit(t).Waiting[0].Why; why != "no worker takes jobs from this queue" {
		t.Errorf("with a worker on another queue, job-11 waits because %q", why)
	}
	b.exec(t, "INSERT INTO ledger_queues (queue, holder, expires_at) SELECT DISTINCT queue, 'w', now() + interval '1 minute' FROM invoice_jobs")
	if why := b.audit(t).Waiting[0].Why; why != "a worker is about to put it into its queue, or Redis is away" {
		t.Errorf("with a worker on its queue, job-11 waits because %q", why)
	}

	limited, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Limit: 1})
	if err != nil || len(limited.Waiting) != 1 || limited.Waiting[0].JobID != "job-11" {
		t.Errorf("waiting with limit 1: %+v, %v", limited, err)
	}
	none, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Limit: -1})
	if err != nil || len(none.Waiting) != 0 {
		t.Errorf("waiting with limit -1: %+v, %v", none, err)
	}
}

// TestOneSnapshot writes at every point of the audit. What is half there at one check and whole at the next would be
// found as a violation; nothing of it is seen.
func TestOneSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.audit(t)
	written := 0
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Progress: func(check string, done, total int64) {
		id := "during-" + check
		payload := `{"transaction_id":"` + id + `","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":1,"unit_price":5,"tax_percent":"20"}]}`
		b.create(t, id, payload)
		b.ask(t, id+"-again", payload, invoice.Duplicate)
		b.record(t, ledger.End{JobID: id + "-bad", Outcome: invoice.Failed, Detail: "given up", Queue: "default"})
		written++
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Errorf("broken: %v", broken(report))
	}
	for i := range report.Checks {
		if got, want := report.Checks[i].Examined, before.Checks[i].Examined; got != want {
			t.Errorf("%s: %d rows examined, %d before", report.Checks[i].Name, got, want)
		}
	}
	if diff := cmp.Diff(before.Totals, report.Totals); diff != "" {
		t.Errorf("totals (-before +during):\n%s", diff)
	}
	if diff := cmp.Diff(before.Jobs, report.Jobs); diff != "" {
		t.Errorf("jobs (-before +during):\n%s", diff)
	}
	after := b.audit(t)
	if !after.OK() {
		t.Errorf("broken afterwards: %v", broken(after))
	}
	invoices := slices.IndexFunc(after.Checks, func(c audit.Check) bool { return c.Name == "transactions" })
	if got := after.Checks[invoices].Examined - before.Checks[invoices].Examined; got != int64(written) || written < len(report.Checks)-4 {
		t.Errorf("%d invoices written in %d calls of Progress", got, written)
	}
}

// TestStructureStandsStill: a snapshot doesn't cover definitions, so nobody may change them during the audit.
func TestStructureStandsStill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "SET lock_timeout = '1ms'")
	var once sync.Once
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Progress: func(string, int64, int64) {
		once.Do(func() {
			_, err := b.conn.Exec(t.Context(), "ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key")
			if err == nil {
				t.Error("a constraint was dropped during the audit")
			}
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Errorf("broken: %v", broken(report))
	}
}

func TestNewerSchema(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	_, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema})
	var newer *audit.NewerSchemaError
	if !errors.As(err, &newer) || newer.Current != 99999 || newer.Schema != b.Schema {
		t.Errorf("error %v, want a NewerSchemaError", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := audit.Run(ctx, audit.Options{URL: b.URL, Schema: b.Schema, Progress: func(string, int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
