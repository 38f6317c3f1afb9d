package main

import (
	"strings"
	"testing"
)

// A wrong invoice, its cancellation and the corrected one, sent all at once as people send them: the corrected one is made after the
// other two, and the three are tied together. One whose credit note is missing is refused, and made by replay once that is there.
func TestWrongInvoiceIsCancelledAndReplaced(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	line := func(id, price, more string) string {
		return `{"version":2,"transaction_id":"` + id + `","issued_at":"2026-01-30T10:00:00Z","currency":"EUR","lines":[{"quantity":1,"unit_price":"` + price + `"}]` + more + "}\n"
	}
	run := func(stdin string, args ...string) string {
		t.Helper()
		code, stdout, stderr := s.run(t, stdin, args...)
		if code != 0 {
			t.Fatalf("%s: exit code %d, %s%s", strings.Join(args, " "), code, stdout, stderr)
		}
		return strings.Join(strings.Fields(stdout), " ")
	}
	run("", "settings", "set", "replaces", "must_credit")
	s.start(t, "worker")
	run(line("ord-9", "100", "")+line("ord-9-storno", "-100", `,"credits_transaction_id":"ord-9"`)+line("ord-9:2", "90", `,"replaces_transaction_id":"ord-9"`)+
		line("ord-8", "100", ""), "enqueue", "-", "--durable", "--queue", s.queue)
	s.awaitEnds(t, 4)
	if status := run("", "status", "ord-9", "-o", "wide"); !strings.Contains(status, "credited by") || !strings.Contains(status, "ord-9-storno -100.00 EUR") ||
		!strings.Contains(status, "replaced by") || !strings.Contains(status, "ord-9:2 90.00 EUR") || !strings.Contains(status, "left of it: 0.00 EUR") {
		t.Error(status)
	}
	if status := run("", "status", "ord-9:2", "-o", "wide"); !strings.Contains(status, "replaces") || !strings.Contains(status, "ord-9 100.00 EUR") {
		t.Error(status)
	}

	run(line("ord-8:2", "90", `,"replaces_transaction_id":"ord-8"`), "enqueue", "-", "--durable", "--queue", s.queue)
	s.awaitEnds(t, 5)
	const left = "names transaction_id ord-8, of which 100.00 EUR of 100.00 are left"
	if reason := s.Text(t, "SELECT reason FROM invoice_jobs WHERE transaction_id = 'ord-8:2' AND outcome = 'invalid'"); !strings.Contains(reason, left) {
		t.Error(reason)
	}
	if forecast := run("", "replay", "--all", "--dry-run", "-o", "wide"); !strings.Contains(forecast, left) {
		t.Error(forecast)
	}
	run(line("ord-8-storno", "-100", `,"credits_transaction_id":"ord-8"`), "enqueue", "-", "--durable", "--queue", s.queue)
	s.awaitEnds(t, 6)
	if forecast := run("", "replay", "--all"); !strings.Contains(forecast, "1 would create") {
		t.Error(forecast)
	}
	s.awaitEnds(t, 6)
	if n := s.Count(t, "SELECT count(*) FROM invoices WHERE terms ->> 'replaces_transaction_id' IS NOT NULL"); n != 2 {
		t.Errorf("%d corrected invoices, want 2", n)
	}
	run("", "audit")
}
