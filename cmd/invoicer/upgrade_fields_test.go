package main

import (
	"strings"
	"testing"

	upgradetest "invoicer/internal/upgrade"
)

// TestHeavyFieldsThatTheReleaseBeforeDoesNotKnow has the release before work on jobs with a field that only this one knows: it makes no end of
// them, and others that come after them don't wait. This release invoices them.
func TestHeavyFieldsThatTheReleaseBeforeDoesNotKnow(t *testing.T) {
	if testing.Short() {
		t.Skip("it is a heavy one")
	}
	t.Parallel()
	before := upgradetest.Program(t)
	s := newSiteWithout(t)
	s.environ = append(s.environ, "INVOICER_WORKER_JOB_TIMEOUT=2s") // for so long a worker has such a job in hand
	s.must(t, "migrate", "up")
	old := s.startProgram(t, before, "worker")
	old.await(t, "worker started")
	debit := func(id string) string {
		return strings.Replace(payloadOf(id, "EUR"), "{", `{"version":2,"payment":{"means_code":"59","iban":"DE02120300000000202051","mandate":"M","creditor_id":"DE98ZZZ09999999999"},`, 1) + "\n"
	}
	s.runProgram(t, "invoicer", debit("direct"), "enqueue", "-", "--queue", s.queue)
	s.runProgram(t, "invoicer", debit("durable"), "enqueue", "-", "--queue", s.queue, "--durable")
	old.await(t, "left to workers of a newer release")
	s.runProgram(t, "invoicer", payloadOf("other", "EUR")+"\n", "enqueue", "-", "--queue", s.queue)
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices WHERE transaction_id = 'other'")
	if n := s.Count(t, "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_jobs WHERE state NOT IN ('accepted', 'enqueued'))"); n != 1 {
		t.Errorf("%d ends, want that of the other job", n)
	}
	s.start(t, "worker").await(t, "worker started")
	s.awaitCount(t, 3, "SELECT count(*) FROM invoices")
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state <> 'done'"); n != 0 {
		t.Errorf("%d jobs aren't done", n)
	}
	if code, stdout, stderr := s.run(t, "", "audit"); code != exitOK {
		t.Errorf("audit: exit code %d\n%s%s", code, stdout, stderr)
	}
}
