package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPrune(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	for _, id := range []string{"T1", "T2", "T3"} { // each twice: a created job, and a duplicate
		for range 2 {
			s.Text(t, "SELECT accept($1, $2)", payloadOf(id, "GBP"), s.queue)
			s.awaitIdle(t)
		}
	}
	s.enqueue(t, "T1") // a duplicate without a row in the ledger
	s.awaitCount(t, 4, "SELECT count(*) FROM duplicate_attempts")
	for _, id := range []string{"failed-old", "dismissed-old", "failed-new"} {
		s.fail(t, id, "T9", "conflict", "other content", "", s.queue, payloadOf("T9", "GBP"), "1 hour")
	}
	s.change(t, "UPDATE invoice_jobs SET payload = NULL, payload_raw = 'x' WHERE job_id = 'failed-old'")
	s.must(t, "dismiss", "dismissed-old", "--reason", "x")
	_ = w.Process.Kill()
	<-w.ended
	s.Text(t, "SELECT accept($1, $2)", payloadOf("T8", "GBP"), s.queue)
	s.change(t, "INSERT INTO invoice_job_actions (job_id, action, actor, dispatch, outcome, reason) SELECT job_id, 'replay', 'ada', 0, 'failed', 'x' FROM invoice_jobs WHERE state = 'done'")
	// T1's rows, the failed ones and the accepted one are old; T2's attempt is, but not its jobs; T3's are new.
	s.change(t, "UPDATE invoice_jobs SET updated_at = now() - interval '400 days', accepted_at = now() - interval '400 days' WHERE transaction_id IN ('T1', 'T8') OR job_id LIKE '%-old'")
	s.change(t, "UPDATE duplicate_attempts SET attempted_at = now() - interval '400 days' WHERE transaction_id IN ('T1', 'T2')")

	s.change(t, `INSERT INTO job_attempts (job_id, dispatch, attempt, worker, reason, failed_at)
SELECT job_id, 1, 1, 'w', 'x', now() - interval '400 days' FROM invoice_jobs WHERE transaction_id = 'T1' AND state = 'done' OR state = 'failed'
UNION ALL VALUES ('direct-old', 0, 1, 'w', 'x', now() - interval '400 days'), ('direct-new', 0, 1, 'w', 'x', now())`)

	s.change(t, `INSERT INTO api_requests (token, key, content, job_id, queue, status, created_at)
SELECT 'checkout', sha256(age::bytea), sha256('x'), 'j', 'q', 'inserted', now() - age::interval FROM unnest(ARRAY['31 days', '29 days']) AS age`)

	s.change(t, `INSERT INTO replays (id, filter, actor, state, created_at, ended_at)
SELECT gen_random_uuid(), '{}', 'ada', CASE WHEN ended IS NULL THEN 'waiting' ELSE 'finished' END, now() - interval '40 days', now() - ended::interval FROM unnest(ARRAY['31 days', '29 days', NULL]) AS ended`)

	rows := "SELECT string_agg(j::text, '|' ORDER BY id) || (SELECT string_agg(d::text, '|' ORDER BY id) FROM duplicate_attempts d) || (SELECT count(*) FROM invoice_job_actions) FROM invoice_jobs j"
	before := s.Text(t, rows)
	want := pruneSummary{DryRun: true, DoneJobs: 2, Duplicates: 2, Attempts: 3, FailedPayloads: 2, Requests: 2, Complete: true}
	prune := func(args ...string) (got pruneSummary) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.must(t, append([]string{"prune", "--json"}, args...)...)), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := prune("--dry-run"); got != want {
		t.Errorf("a dry run counts %+v, want %+v", got, want)
	}
	if after := s.Text(t, rows); after != before {
		t.Errorf("a dry run made of\n%s\n%s", before, after)
	}
	if stdout := s.must(t, "prune"); stdout != "2 done jobs older than 90d deleted\n2 duplicate attempts older than 365d deleted\n3 failed attempts older than 90d deleted\n2 payloads of failed jobs older than 90d deleted\n2 requests by HTTP older than 30d deleted\n0 events older than 30d deleted\n0 counts of producers' jobs older than 28d deleted\n" {
		t.Errorf("says %s", stdout)
	}
	s.must(t, "audit")
	if got := prune(); got != (pruneSummary{Complete: true}) {
		t.Errorf("the second time %+v", got)
	}
	for what, is := range map[string]struct {
		want  int
		query string
	}{
		"invoices":                  {3, "SELECT count(*) FROM invoices"},
		"lines":                     {3, "SELECT count(*) FROM invoice_lines"},
		"done jobs":                 {4, "SELECT count(*) FROM invoice_jobs WHERE state = 'done' AND transaction_id IN ('T2', 'T3')"},
		"jobs":                      {8, "SELECT count(*) FROM invoice_jobs"},
		"waiting jobs":              {1, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted' AND payload IS NOT NULL"},
		"attempts":                  {2, "SELECT count(*) FROM duplicate_attempts WHERE transaction_id IN ('T2', 'T3')"},
		"actions":                   {5, "SELECT count(*) FROM invoice_job_actions"}, // of 4 done jobs and the dismissed one
		"failed attempts":           {1, "SELECT count(*) FROM job_attempts WHERE job_id LIKE 'direct%'"},
		"payloads of failed jobs":   {1, "SELECT count(*) FROM invoice_jobs WHERE state IN ('failed', 'dismissed') AND coalesce(payload, payload_raw::text) IS NOT NULL"},
		"reasons after all of that": {3, "SELECT count(*) FROM invoice_jobs WHERE state IN ('failed', 'dismissed') AND reason = 'other content'"},
	} {
		if got := s.Count(t, is.query); got != is.want {
			t.Errorf("%d %s are left, want %d", got, what, is.want)
		}
	}

	// What has lost its payload can't be sent again, and says so.
	dry := s.must(t, "replay", "--job", "failed-old", "--dry-run")
	if !strings.Contains(dry, "still invalid: payload is not kept any more") {
		t.Errorf("says %s", dry)
	}
	s.must(t, "replay", "--job", "failed-old")
	if got := s.Text(t, "SELECT state FROM invoice_jobs WHERE job_id = 'failed-old'"); got != "failed" {
		t.Errorf("it is %s", got)
	}
	// With a shorter retention the rest goes, an attempt never before its job.
	if got := prune("--retention-duplicates", "1h", "--retention-jobs", "1h"); got.Duplicates != 0 || got.DoneJobs != 0 {
		t.Errorf("nothing else is older than an hour, but %+v", got)
	}
	s.must(t, "audit")
}

// More rows than one step looks at, most of them to be kept.
func TestPruneInSteps(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.change(t, `INSERT INTO invoice_jobs (job_id, queue, payload, state, outcome, reason, updated_at)
SELECT 'job-' || n, 'default', 'nonsense', 'failed', 'invalid', 'payload is not valid JSON', now() - CASE WHEN n % 3 = 0 THEN interval '91 days' ELSE interval '89 days' END
FROM generate_series(1, $1) n`, 2*pruneBatch+7)
	want := (2*pruneBatch + 7) / 3
	for _, args := range [][]string{{"--dry-run"}, nil} {
		var got pruneSummary
		if err := json.Unmarshal([]byte(s.must(t, append([]string{"prune", "--json"}, args...)...)), &got); err != nil || got.FailedPayloads != want {
			t.Errorf("%v: %+v, %v; want %d", args, got, err, want)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE payload IS NULL"); n != want {
		t.Errorf("%d payloads are gone, want %d", n, want)
	}
}
