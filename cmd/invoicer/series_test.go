package main

import (
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

// While a series is paused, its jobs wait without using up retries, those of the ledger there; the others go on. After it is resumed
// they are all invoiced, in one row of numbers.
func TestJobsOfAPausedSeriesWait(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	jobs := func(series, prefix string, n int) string {
		var lines strings.Builder
		for i := range n {
			lines.WriteString(`{"transaction_id":"` + prefix + string(rune('A'+i)) + `","series":"` + series + `","issued_at":"2026-01-01T00:00:00Z","currency":"EUR","lines":[{"quantity":1,"unit_price":"1"}]}` + "\n")
		}
		return lines.String()
	}
	ok := func(stdin string, args ...string) string {
		t.Helper()
		code, stdout, stderr := s.run(t, stdin, args...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr)
		}
		return stdout
	}
	ok("", "series", "open", "STOP", "--first", "7")
	ok("", "series", "pause", "STOP")
	s.start(t, "worker")
	ok(jobs("STOP", "s", 10), "enqueue", "-", "--durable", "--queue", s.queue)
	ok(jobs("STOP", "d", 1), "enqueue", "-", "--queue", s.queue)
	ok(jobs("GO", "g", 10), "enqueue", "-", "--durable", "--queue", s.queue)
	s.awaitCount(t, 10, "SELECT count(*) FROM invoices WHERE series = 'GO'")
	s.awaitCount(t, 10, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted' AND paused_series = 'STOP' AND attempts = 0")
	if n := s.Count(t, "SELECT count(*) FROM invoices WHERE series = 'STOP'"); n != 0 {
		t.Errorf("%d invoices of a paused series", n)
	}
	if out := ok("", "status", "sA"); !strings.Contains(out, "series STOP is paused") {
		t.Errorf("status doesn't say why the job waits:\n%s", out)
	}
	ok("", "series", "resume", "STOP")
	s.awaitCount(t, 11, "SELECT count(*) FROM invoices WHERE series = 'STOP'")
	if got := s.Text(t, "SELECT min(invoice_number) || ' ' || max(invoice_number) FROM invoices WHERE series = 'STOP'"); got != "STOP-000007 STOP-000017" {
		t.Errorf("%s", got)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE paused_series IS NOT NULL OR state <> 'done'"); n != 0 {
		t.Errorf("%d jobs still wait", n)
	}
	ok("", "audit")
}
