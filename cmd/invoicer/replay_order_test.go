package main

import (
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

// The numbers of jobs that are replayed in order follow it, whatever several workers do at once. A job that fails again, or whose
// series is paused, stops it.
func TestReplayInOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	s.start(t, "worker")
	s.start(t, "worker")
	// plant puts failed jobs into the ledger. Those with higher numbers were issued earlier, and accepted in an order of their own.
	plant := func(prefix string, n int) {
		t.Helper()
		s.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason, accepted_at)
SELECT $1::text || '-' || n, $1 || n, $1 || n, $2, jsonb_build_object('transaction_id', $1 || n, 'currency', 'EUR', 'lines', '[{"quantity":1,"unit_price":"1"}]'::jsonb,
    'issued_at', to_char('2026-01-01'::timestamp - n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))::text,
    'failed', 'failed', 'planted', '2026-01-01'::timestamptz + n * 7 % 31 * interval '1 hour'
FROM generate_series(1, $3::int) AS n`, prefix, s.queue, n)
	}
	const jobs = 30
	plant("I", jobs)
	s.must(t, "replay", "--all", "--order", "issued_at")
	if n := s.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = 'I' || $1 - number", jobs+1); n != jobs {
		t.Errorf("by issued_at, %d of %d have the number of their time", n, jobs)
	}
	plant("A", jobs)
	s.must(t, "replay", "--all", "--order", "accepted_at")
	if n := s.Count(t, `SELECT count(*) FROM invoices JOIN (
    SELECT job_id, row_number() OVER (ORDER BY accepted_at) + $1 AS place FROM invoice_jobs WHERE job_id LIKE 'A-%') j USING (job_id)
WHERE number = place`, jobs); n != jobs {
		t.Errorf("by accepted_at, %d of %d have the number of their time", n, jobs)
	}

	// The second of three conflicts, and then is of a paused series.
	plant("B", 3)
	s.Exec(t, `UPDATE invoice_jobs SET payload = replace(payload, '"transaction_id": "B2"', '"transaction_id": "I1"') WHERE job_id = 'B-2'`)
	code, stdout, stderr := s.run(t, "", "replay", "--all", "--order", "issued_at")
	if code != exitFailed || !strings.Contains(stderr, "invoicer: job B-2: it is conflict: ") || !strings.Contains(stderr, "run the same command again for the rest") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	s.must(t, "series", "open", "STOP")
	s.must(t, "series", "pause", "STOP")
	s.Exec(t, `UPDATE invoice_jobs SET payload = replace(payload, '"transaction_id": "I1"', '"series": "STOP", "transaction_id": "B2"') WHERE job_id = 'B-2'`)
	code, stdout, stderr = s.run(t, "", "replay", "--all", "--order", "issued_at")
	if code != exitFailed || !strings.Contains(stderr, "invoicer: job B-2: series STOP is paused") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if got := s.Text(t, "SELECT string_agg(transaction_id, ' ' ORDER BY number) FROM invoices WHERE number > $1", 2*jobs); got != "B3" {
		t.Errorf("behind them are invoiced: %s", got)
	}
	s.must(t, "series", "resume", "STOP")
	s.must(t, "replay", "--all", "--order", "issued_at")
	if n := s.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = 'B1'"); n != 1 {
		t.Error("the last one isn't invoiced")
	}
}
