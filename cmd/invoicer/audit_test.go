package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/invoice/postgres/audit"
)

// An auditBundle is a schema of its own that holds an invoice, its duplicate, a credit note and a waiting job.
type auditBundle struct {
	url, schema string
	conn        *pgx.Conn
}

func setupAudit(t *testing.T) *auditBundle {
	t.Helper()
	d := rig.NewDatabase(t)
	b := &auditBundle{url: d.URL, schema: d.Schema}
	store, err := postgres.Open(postgres.Options{URL: b.url, Schema: b.schema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	generator := invoice.NewGenerator(store.Invoices, numbering)
	for _, j := range []struct{ id, payload string }{
		{"job-1", `{"transaction_id":"T1","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":1200,"unit_price":"1.5","tax_percent":20}]}`},
		{"job-2", `{"transaction_id":"T1","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":1200,"unit_price":"1.5","tax_percent":20}]}`},
		{"job-3", `{"transaction_id":"T2","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":-1,"unit_price":"0.25"}]}`},
	} {
		job, err := invoice.Decode([]byte(j.payload))
		if err != nil {
			t.Fatal(err)
		}
		result, err := generator.Generate(t.Context(), invoice.NewRequest(j.id, 1, job))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Ledger.Record(t.Context(), ledger.End{
			JobID: j.id, Outcome: result.Outcome, Invoice: result.Invoice, Reason: result.Reason,
			TransactionID: job.TransactionID, IdempotencyKey: job.IdempotencyKey, Worker: "w1", Queue: "default", Attempts: 1,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if b.conn, err = pgx.Connect(t.Context(), b.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close(t.Context()) })
	b.exec(t, "SET search_path = "+b.schema)
	b.exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, accepted_at)
VALUES ('job-4', 'T3', 'T3', 'bulk', 'enqueued', now() - interval '90 minutes')`)
	return b
}

func (b *auditBundle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := b.conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// audit runs the command.
func (b *auditBundle) audit(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runCommand(t, []string{"INVOICER_DATABASE_URL=" + b.url, "INVOICER_DATABASE_SCHEMA=" + b.schema}, append([]string{"audit"}, args...)...)
}

func runCommand(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environ, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// wantLines wants lines that consist of these words, whatever blanks are between them.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	var plain strings.Builder
	for line := range strings.Lines(text) {
		plain.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	for _, line := range lines {
		if !strings.Contains("\n"+plain.String(), "\n"+line) {
			t.Errorf("no line begins with %q in\n%s", line, text)
		}
	}
}

func TestAuditPasses(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	code, out, errs := b.audit(t)
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	out = regexp.MustCompile(`1h30m\d+s`).ReplaceAllString(out, "1h30m0s") // an audit may begin seconds after its rows were made
	wantLines(t, out,
		"ok 1 transactions 2 no transaction_id of an issuer has a second invoice",
		"ok 3 numbers 4 ",
		"ok 7 fingerprints 2 ",
		"invoice GBP 1 2160.00",
		"credit_note GBP 1 -0.25",
		"together GBP 2 2159.75",
		"duplicate attempts: 1",
		"jobs in the ledger: 1 enqueued",
		"1 waiting, which is no fault",
		"1h30m0s enqueued T3 bulk 0 no worker is running job-4",
		"ok: all 24 checks of schema "+b.schema+" at 20",
	)
}

func TestAuditFindsBrokenPromises(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	b.exec(t, `ALTER TABLE invoice_lines DISABLE TRIGGER invoice_lines_immutable;
UPDATE invoice_lines SET net_minor = net_minor + 1;
UPDATE duplicate_attempts SET invoice_id = (SELECT id FROM invoices WHERE transaction_id = 'T2')`)

	code, out, _ := b.audit(t, "--limit", "1")
	if code != exitAudit {
		t.Errorf("exit code %d, want %d", code, exitAudit)
	}
	wantLines(t, out,
		"BROKEN 7 lines 2 ",
		"ok 7 sums 3 ",
		"triggers: 1 found",
		"invoice_lines: trigger is switched off: trigger=invoice_lines_immutable ",
		"lines: 2 found",
		"invoice_lines: net_minor is not what quantity, price and discount come to: invoice_id=1 invoice_number=INV-000001 position=1 net_minor=180001 computed=180000",
		"and 1 more; --limit lists more of them",
		"duplicates: 1 found",
		"BROKEN: 4 of 24 checks of schema "+b.schema+" at 20",
	)

	code, out, errs := b.audit(t, "--json")
	if code != exitAudit || errs != "" {
		t.Errorf("exit code %d, want %d; stderr %q", code, exitAudit, errs)
	}
	var report struct {
		OK     *bool `json:"ok"`
		Checks []struct {
			Check    string `json:"check"`
			Promises []int  `json:"promises"`
			Broken   int    `json:"broken"`
			Findings []struct {
				Problem string         `json:"problem"`
				Table   string         `json:"table"`
				Row     map[string]any `json:"row"`
			} `json:"findings"`
		} `json:"checks"`
		Totals []struct {
			TotalMinor string `json:"total_minor"`
		} `json:"totals"`
		Waiting []struct {
			JobID      string `json:"job_id"`
			AgeSeconds int    `json:"age_seconds"`
		} `json:"waiting"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.OK == nil || *report.OK || len(report.Totals) != 2 || len(report.Waiting) != 1 || report.Waiting[0].AgeSeconds < 5400 {
		t.Errorf("report: %s", out)
	}
	found := make(map[string]any)
	for _, check := range report.Checks {
		for _, f := range check.Findings {
			found[check.Check] = f.Row["invoice_number"]
		}
	}
	if len(found) != 4 || found["lines"] != "INV-CN-000001" || found["chain"] != "INV-CN-000001" || found["duplicates"] != "INV-CN-000001" {
		t.Errorf("findings: %v", found)
	}
}

func TestAuditListsNothingWithLimit0(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	b.exec(t, `ALTER TABLE invoices DISABLE TRIGGER invoices_gapless`)
	code, out, _ := b.audit(t, "--limit", "0")
	if code != exitAudit || strings.Contains(out, "invoices_gapless") || strings.Contains(out, "job-4") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	wantLines(t, out, "triggers: 1 found", "and 1 more;", "1 waiting, which is no fault; the oldest 0:")
}

func TestAuditOfNothing(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	b := &auditBundle{url: d.URL, schema: d.Schema}
	code, out, _ := b.audit(t)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	wantLines(t, out, "no invoices", "jobs in the ledger: none", "ok: all 24 checks ")
}

func TestAuditNeedsTheSchema(t *testing.T) {
	t.Parallel()
	url, schema := sandboxtest.Schema(t)
	code, out, errs := (&auditBundle{url: url, schema: schema}).audit(t)
	if code != exitFailed || out != "" || !strings.Contains(errs, "run `invoicer migrate up`") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}

	b := setupAudit(t)
	b.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	code, out, errs = b.audit(t)
	if code != exitFailed || out != "" || !strings.Contains(errs, "audit it with the newer release") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
}

func TestMajorUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ minor, currency, want string }{
		{"0", "GBP", "0.00"},
		{"-5", "GBP", "-0.05"},
		{"974774793", "GBP", "9747747.93"},
		{"500", "JPY", "500"},
		{"-1", "BHD", "-0.001"},
		{"92233720368547758070", "GBP", "922337203685477580.70"},
	} {
		if got := majorUnits(c.minor, c.currency); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.minor, c.currency, got, c.want)
		}
	}
}

func TestFieldValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "NULL"}, {int64(3), "3"}, {"T1", "T1"}, {"", `""`}, {"a b", `"a b"`}, {"\x1b[2J", `"\x1b[2J"`}, {`say "x"`, `"say \"x\""`},
	} {
		if got := fieldValue(c.value); got != c.want {
			t.Errorf("%v: %s, want %s", c.value, got, c.want)
		}
	}
}

func TestAuditIsContinued(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	file := filepath.Join(t.TempDir(), "audit.state")
	enough := errors.New("enough")
	var at time.Time
	_, err := audit.Run(t.Context(), audit.Options{URL: b.url, Schema: b.schema, Limit: 20, Reached: func(s *audit.State) error {
		at = s.TakenAt
		return errors.Join(stateFile(file).write(s), enough)
	}})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if code, _, stderr := b.audit(t, "--resume", file, "--limit", "3"); code != exitFailed || !strings.Contains(stderr, "was of another --limit: remove the file, or name another") {
		t.Errorf("with another limit: exit code %d, stderr %q", code, stderr)
	}
	code, stdout, stderr := b.audit(t, "--resume", file)
	if code != exitOK || !strings.Contains(stderr, "the audit of "+instant(at)+" goes on where it was broken off\n") || !strings.Contains(stdout, "This audit was broken off, and continued at ") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := os.WriteFile(file, []byte("no state"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := b.audit(t, "--resume", file); code != exitFailed || !strings.Contains(stderr, "has no state of an audit") {
		t.Errorf("with another file: exit code %d, stderr %q", code, stderr)
	}
}
