package main

import (
	"fmt"
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

// The numbers follow the order of the lines, whatever several workers do at once. What can't be a job is left out; a job that fails,
// or whose series is paused, stops it.
func TestEnqueueInOrder(t *testing.T) {
	t.Parallel()
	line := func(id, currency, series string) string {
		return fmt.Sprintf(`{"transaction_id":%q,"series":%q,"issued_at":"2026-01-01T00:00:00Z","currency":%q,"lines":[{"quantity":1,"unit_price":"1"}]}`+"\n", id, series, currency)
	}
	for _, door := range []string{"--durable", "--durable=false"} {
		t.Run(strings.Trim(door, "-"), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sandboxtest.Redis(t))
			s.must(t, "series", "open", "STOP")
			s.must(t, "series", "pause", "STOP")
			s.start(t, "worker")
			s.start(t, "worker")
			enqueue := func(lines string, wantCode int, args ...string) (stdout, stderr string) {
				t.Helper()
				code, stdout, stderr := s.run(t, lines, append([]string{"enqueue", "-", "--in-order", door, "--queue", s.queue}, args...)...)
				if code != wantCode {
					t.Fatalf("exit code %d, want %d: %s%s", code, wantCode, stdout, stderr)
				}
				return stdout, stderr
			}
			var lines strings.Builder
			const jobs = 120
			for i := range jobs {
				lines.WriteString(line(fmt.Sprintf("T%03d", i), "EUR", "INV"))
				if i == 60 {
					lines.WriteString("no job\n" + line("T010", "EUR", "INV"))
				}
			}
			stdout, stderr := enqueue(lines.String(), exitFailed)
			if !strings.Contains(stderr, "line 62: ") || !strings.Contains(stderr, "1 bad line was left out") || !strings.Contains(stdout, "121 jobs of 122 lines") {
				t.Errorf("it said\n%s%s", stdout, stderr)
			}
			if n := s.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = 'T' || lpad((number - 1)::text, 3, '0')"); n != jobs {
				t.Errorf("%d of %d invoices have their line's number", n, jobs)
			}

			// A job for a taken key conflicts: the line behind it isn't sent.
			conflict := strings.Replace(line("C1", "EUR", "INV"), `"issued_at"`, `"idempotency_key":"T001","issued_at"`, 1)
			_, stderr = enqueue(line("A1", "EUR", "INV")+conflict+line("A2", "EUR", "INV"), exitFailed)
			if !strings.Contains(stderr, "line 2: its job ") || !strings.Contains(stderr, " is conflict: ") || !strings.Contains(stderr, "--from-line 2") {
				t.Errorf("it said\n%s", stderr)
			}
			_, stderr = enqueue(line("A3", "EUR", "INV")+line("P1", "EUR", "STOP")+line("A4", "EUR", "INV"), exitFailed)
			if !strings.Contains(stderr, "line 2: series STOP is paused") {
				t.Errorf("it said\n%s", stderr)
			}
			if got := s.Text(t, "SELECT string_agg(transaction_id, ' ' ORDER BY number) FROM invoices WHERE number > $1", jobs); got != "A1 A3" {
				t.Errorf("behind them are invoiced: %s", got)
			}
		})
	}
}
