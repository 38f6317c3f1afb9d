package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
)

// change runs a statement in the site's schema.
func (s *site) change(t *testing.T, statement string, args ...any) {
	t.Helper()
	s.Exec(t, statement, args...)
}

// breakInvoices makes every write of an invoice fail, until mendInvoices.
func (s *site) breakInvoices(t *testing.T) {
	t.Helper()
	s.change(t, `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted'; END $$`)
	s.change(t, `CREATE TRIGGER broken BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION broken()`)
}

func (s *site) mendInvoices(t *testing.T) {
	t.Helper()
	s.change(t, `DROP TRIGGER broken ON invoices`)
}

// awaitIdle returns once no job of the ledger waits any more.
func (s *site) awaitIdle(t *testing.T) {
	t.Helper()
	s.awaitCount(t, 0, "SELECT count(*) FROM invoice_jobs WHERE state IN ('accepted', 'enqueued')")
}

func (s *site) awaitCount(t *testing.T, want int, query string, args ...any) {
	t.Helper()
	rig.Within(t, 2*time.Minute, func() error {
		if got := s.Count(t, query, args...); got != want {
			return fmt.Errorf("%s: %d, want %d", query, got, want)
		}
		return nil
	})
}

// awaitArchived returns once so many tasks are in the queue's archive, which comes after their jobs' ends.
func (s *site) awaitArchived(t *testing.T, want int) (tasks []*asynq.TaskInfo) {
	t.Helper()
	rig.Await(t, func() (err error) {
		if tasks, err = s.inspector.ListArchivedTasks(s.queue); err == nil && len(tasks) != want {
			err = fmt.Errorf("%d archived tasks, of which %d are there", want, len(tasks))
		}
		return err
	})
	return tasks
}

// must runs the program, which must end well, and returns what it says.
func (s *site) must(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.run(t, "", args...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d, stdout %s, stderr %s", args, code, stdout, stderr)
	}
	return stdout
}

func payloadOf(transactionID, currency string) string {
	return fmt.Sprintf(`{"transaction_id":%q,"issued_at":"2010-12-01T08:26:00Z","currency":%q,"lines":[{"quantity":1,"unit_price":"2.55"}]}`, transactionID, currency)
}

// fail puts a failed job on record, as a worker would.
func (s *site) fail(t *testing.T, jobID, transactionID, outcome, reason, producer, queue string, payload any, ago string) {
	t.Helper()
	s.change(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, producer, queue, payload, state, outcome, reason, attempts, updated_at)
VALUES ($1, nullif($2, ''), nullif($2, ''), nullif($5, ''), $6, $7, 'failed', $3, $4, 1, now() - $8::interval)`,
		jobID, transactionID, outcome, reason, producer, queue, payload, ago)
}

type replayedJobs struct {
	Jobs []struct {
		JobID         string   `json:"job_id"`
		TransactionID *string  `json:"transaction_id"`
		Outcome       string   `json:"outcome"`
		Forecast      string   `json:"forecast"`
		InvoiceNumber *string  `json:"invoice_number"`
		Differs       []string `json:"differs"`
		Problems      []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"problems"`
		Replayed bool `json:"replayed"`
	} `json:"jobs"`
	replayTotals
}

func (s *site) replayJSON(t *testing.T, args ...string) replayedJobs {
	t.Helper()
	var told replayedJobs
	stdout := s.must(t, append([]string{"replay", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &told); err != nil {
		t.Fatalf("%v: %v in %s", args, err, stdout)
	}
	return told
}
