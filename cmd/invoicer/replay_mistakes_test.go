package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestReplayMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, says string }{
		{"replay", "no failed jobs are selected: give --all, or one or more of --job, --transaction, --outcome, --reason, --since, --until, --queue, --producer, --series"},
		{"replay --limit 5", "no failed jobs are selected"},
		{"replay --all --queue bulk", "--all and the flags that select some jobs don't go together"},
		{"replay --reason=", `--reason "": must not be empty`},
		{"replay --job= --job a", `--job "": must not be empty`},
		{"replay --outcome created", `--outcome "created": must be conflict, invalid or failed`},
		{"replay --since yesterday", `--since "yesterday": must be a time such as`},
		{"replay --since 1h --until 2h", "--since is later than --until"},
		{"replay --all --limit 0", "--limit 0: must be 1 or more"},
		{"replay --all --rate 0", "--rate 0: must be more than 0"},
		{"replay --all --by=", `--by "": give a name, or leave the flag out`},
		{"replay histroy", "'invoicer replay' takes no argument"},
		{"replay history --limit 0", "--limit 0: must be 1 to 1000000"},
		{"dismiss a", "--reason is missing"},
		{"dismiss --reason x", "'invoicer dismiss' lacks its argument: the job's id"},
		{"status T1 --job a", "--job a and the transaction \"T1\" don't go together"},
		{"status --job=", `--job "": is not a job id`},
	} {
		code, stdout, stderr := runCommand(t, nil, strings.Fields(test.args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "invoicer: "+test.says) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", test.args, code, stdout, stderr)
		}
	}
}

// --rate spaces the jobs out, and a signal ends it between two of them.
func TestReplayIsStopped(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	for i := range 3 {
		s.fail(t, fmt.Sprint(i), fmt.Sprint("T", i), "failed", "planted", "", s.queue, payloadOf(fmt.Sprint("T", i), "GBP"), "1 hour")
	}
	p := s.start(t, "replay", "--all", "--rate", "0.001")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'")
	p.signal(t, 2)
	if code := p.exit(t); code != exitFailed || !strings.Contains(p.stderr(), "stopped by a signal\ninvoicer: the replayed jobs stay replayed") || p.stdout.String() != "1 job was replayed (forecast: 1 would create)\n" {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, p.stdout.String(), p.stderr())
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'"); n != 2 {
		t.Errorf("%d jobs are left", n)
	}
}

func TestStatusOfFailedJobs(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.fail(t, "early", "T1", "failed", "planted", "", s.queue, payloadOf("T1", "GBP"), "1 hour")
	s.fail(t, "nameless", "", "invalid", "payload is not valid JSON", "", s.queue, "nonsense", "1 hour")
	s.start(t, "worker")
	s.enqueue(t, "T1")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	s.change(t, "UPDATE invoice_jobs SET outcome = 'conflict', reason = 'other content', updated_at = now(), job_id = 'late' WHERE job_id = 'nameless' RETURNING job_id")
	s.change(t, "UPDATE invoice_jobs SET transaction_id = 'T1', idempotency_key = 'T1' WHERE job_id = 'late'")
	s.fail(t, "nameless", "", "invalid", "payload is not valid JSON", "", s.queue, "nonsense", "1 hour")
	s.must(t, "dismiss", "late", "--reason", "TICKET-9", "--by", "ada")

	stdout := s.must(t, "status", "T1")
	for _, want := range []string{"early planted; invoiced since as INV-000001", "dismiss ada conflict late TICKET-9"} {
		if !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) {
			t.Errorf("%q isn't in\n%s", want, stdout)
		}
	}
	if strings.Count(stdout, "invoiced since") != 1 {
		t.Errorf("a conflict isn't invoiced since:\n%s", stdout)
	}
	type report struct {
		TransactionID *string `json:"transaction_id"`
		Invoice       *struct {
			Number string `json:"invoice_number"`
		} `json:"invoice"`
		Jobs []struct {
			JobID         string  `json:"job_id"`
			InvoicedSince *string `json:"invoiced_since"`
			Actions       []struct{ Action, Actor, Note string }
		} `json:"jobs"`
	}
	ask := func(args ...string) (r report) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.must(t, append([]string{"status", "--json"}, args...)...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := ask("T1")
	slices.Reverse(r.Jobs)
	if len(r.Jobs) != 2 || r.Jobs[0].InvoicedSince == nil || *r.Jobs[0].InvoicedSince != "INV-000001" || r.Jobs[1].InvoicedSince != nil || len(r.Jobs[1].Actions) != 1 || r.Jobs[1].Actions[0].Note != "TICKET-9" {
		t.Errorf("report %+v", r)
	}
	if r := ask("--job", "nameless"); r.TransactionID != nil || r.Invoice != nil || len(r.Jobs) != 1 || r.Jobs[0].JobID != "nameless" {
		t.Errorf("of the nameless job: %+v", r)
	}
	if r := ask("--job", "early"); r.TransactionID == nil || *r.TransactionID != "T1" || r.Invoice == nil || len(r.Jobs) != 1 {
		t.Errorf("of a failed job: %+v", r)
	}
	maker := s.Text(t, "SELECT job_id FROM invoices")
	if r := ask("--job", maker); r.Invoice == nil || *r.TransactionID != "T1" || len(r.Jobs) != 0 {
		t.Errorf("of the job that made the invoice: %+v", r)
	}
	if stdout := s.must(t, "status", "--job", "nameless"); !strings.Contains(stdout, "payload is not valid JSON") || strings.Contains(stdout, "has no invoice") {
		t.Errorf("says\n%s", stdout)
	}
	if code, stdout, stderr := s.run(t, "", "status", "--job", "z"); code != exitFailed || stdout != "" || !strings.Contains(stderr, "nothing is known of job z") {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}
