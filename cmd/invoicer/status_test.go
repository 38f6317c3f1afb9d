package main

import (
	"encoding/json"
	"strings"
	"testing"

	"invoicer/internal/report"
	"invoicer/internal/sandbox/sandboxtest"
)

const aFailedJob = `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, reason, producer, attempts, updated_at)
VALUES ('job-5', 'T1', 'K1', 'bulk', 'failed', 'conflict', 'currency differs', 'nightly-cron', 3, '2020-01-02T03:04:05Z')`

func (b *auditBundle) status(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runCommand(t, []string{"INVOICER_DATABASE_URL=" + b.url, "INVOICER_DATABASE_SCHEMA=" + b.schema}, append([]string{"status"}, args...)...)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	b.exec(t, aFailedJob)
	for id, want := range map[string]struct{ lines, not []string }{
		"T1": {
			lines: []string{
				"invoice_number kind total tax lines issued_at created_at job_id",
				"INV-000001 invoice 2160.00 GBP 360.00 GBP 1 2011-01-02 03:04:05.000Z ",
				"attempted_at reason producer worker job_id",
				"updated_at state outcome invoice attempts queue producer job_id reason",
				"2020-01-02 03:04:05.000Z failed conflict - 3 bulk nightly-cron job-5 currency differs",
			},
			not: []string{"credits_transaction_id", "idempotency_key"},
		},
		"T2": {
			lines: []string{"INV-CN-000001 credit_note -0.25 GBP 0.00 GBP 1 2011-01-02 03:04:05.000Z "},
			not:   []string{"duplicate attempts", "jobs"},
		},
		"T3": {lines: []string{"transaction T3 has no invoice", "jobs"}, not: []string{"duplicate attempts", "invoice_number"}},
	} {
		code, out, errs := b.status(t, id)
		if code != exitOK || errs != "" && id != "T3" { // which waits, and nobody answers under Redis's usual address
			t.Errorf("%s: exit code %d, stderr %q", id, code, errs)
		}
		wantLines(t, out, want.lines...)
		for _, text := range want.not {
			if strings.Contains(out, text) {
				t.Errorf("%s: %q is in\n%s", id, text, out)
			}
		}
	}
	if _, out, _ := b.status(t, "T1"); !strings.Contains(out, "already_invoiced") || !strings.Contains(out, "  w1      job-2\n") {
		t.Errorf("the duplicate attempt isn't in\n%s", out)
	}
}

func TestStatusForMachines(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	b.exec(t, aFailedJob)
	code, out, errs := b.status(t, "T1", "--json")
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	var found report.Records
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	if i := found.Invoice; i == nil || i.InvoiceNumber != "INV-000001" || i.TotalMinor != 216000 || i.Lines != 1 {
		t.Errorf("invoice %+v", found.Invoice)
	}
	if d := found.DuplicateAttempts; len(d) != 1 || d[0].JobID != "job-2" || d[0].Reason != "already_invoiced" {
		t.Errorf("duplicate attempts %+v", d)
	}
	if j := found.Jobs; len(j) != 1 || j[0].JobID != "job-5" || *j[0].Outcome != "conflict" {
		t.Errorf("jobs %+v", j)
	}

	code, out, errs = b.status(t, "T9", "--json")
	want := "{\n  \"transaction_id\": \"T9\",\n  \"invoice\": null,\n  \"imports\": [],\n  \"family\": {\n    \"credits\": [],\n    \"credited_by\": [],\n    \"left_minor\": null,\n    \"more\": false,\n    \"replaces\": [],\n    \"replaced_by\": []\n  },\n  \"duplicate_attempts\": [],\n  \"jobs\": [],\n  \"asked\": \"T9\",\n  \"matches\": [],\n"
	if !strings.HasPrefix(out, want) || code != exitFailed {
		t.Errorf("exit code %d, stdout %s", code, out)
	}
	if !strings.Contains(errs, "invoicer: nothing is known of T9: ") {
		t.Errorf("stderr %q", errs)
	}
}

func TestStatusShowsTheNewest(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	b.exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker)
SELECT 'again-' || n, 'T1', 'T1', id, 'lost_race', 'w' || n FROM invoices, generate_series(1, 25) n WHERE transaction_id = 'T1' ORDER BY n`)
	for _, test := range []struct {
		args  []string
		shown int
		more  string
	}{
		{nil, 20, "invoicer: only the newest 20 are shown; --limit shows more\n"},
		{[]string{"--limit", "25"}, 25, "invoicer: only the newest 25 are shown; --limit shows more\n"},
		{[]string{"--limit", "26"}, 26, ""},
		{[]string{"--limit", "26", "--json"}, 26, ""},
	} {
		code, out, errs := b.status(t, append([]string{"T1"}, test.args...)...)
		if code != exitOK || errs != test.more {
			t.Errorf("%v: exit code %d, stderr %q", test.args, code, errs)
		}
		// Each is a row, and an event. The invoice's own job is an event as well.
		if n := strings.Count(out, "again-") + strings.Count(out, "job-2"); n != 2*test.shown || !strings.Contains(out, "again-25") {
			t.Errorf("%v: shows %d, want the newest %d", test.args, n, test.shown)
		}
	}
}

func TestStatusMistakes(t *testing.T) {
	t.Parallel()
	url, schema := sandboxtest.Schema(t)
	for _, test := range []struct {
		url  string
		args []string
		code int
		says string
	}{
		{url, nil, exitUsage, "'invoicer status' lacks its argument: the id of a transaction or a job, a key or an invoice's number"},
		{url, []string{""}, exitUsage, `"" is not an id: it must be 1 to 255 bytes of `},
		{url, []string{"\xff"}, exitUsage, `"\xff" is not an id: it must be `},
		{url, []string{"T1", "--limit", "0"}, exitUsage, "--limit 0: must be 1 to 1000000"},
		{url, []string{"T1"}, exitFailed, `schema "` + schema + "\" is not migrated: run `invoicer migrate up`"},
		{"postgres://u:sesame@127.0.0.1:1/x", []string{"T1", "--wait", "1ms"}, exitFailed, "postgres at 127.0.0.1:1/x does not answer"},
	} {
		code, out, errs := runCommand(t, []string{"INVOICER_DATABASE_URL=" + test.url, "INVOICER_DATABASE_SCHEMA=" + schema}, append([]string{"status"}, test.args...)...)
		if code != test.code || !strings.Contains(errs, "invoicer: "+test.says) || out != "" {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, want %d and %q", test.args, code, out, errs, test.code, test.says)
		}
		if strings.Contains(errs, "sesame") {
			t.Errorf("the password is in %q", errs)
		}
	}
}
