package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/migrations"
)

// The naive lock bills transactions twice, and invoicer doesn't, though one of its workers is killed with jobs in hand. Only
// what invoicer has stored is left.
func TestDemoKillsAWorker(t *testing.T) {
	t.Parallel()
	const transactions, copies = 300, 3
	s := newSite(t, sandboxtest.Redis(t))
	s.leavesRoles(t)
	code, stdout, stderr := s.run(t, "", "demo", "--transactions", "300", "--json")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var told demoJSON
	must(t, json.Unmarshal([]byte(stdout), &told))
	if n := told.Naive; n.Invoices <= transactions || n.BilledTwice == 0 {
		t.Errorf("the naive lock: %+v", n)
	}
	stored := s.Count(t, "SELECT count(*) FROM invoices")
	if n := told.Invoicer; n.Invoices != transactions || n.Invoices != stored || n.BilledTwice+n.Missing != 0 || told.Transactions != transactions {
		t.Errorf("invoicer: %+v of %d transactions, %d are stored", n, told.Transactions, stored)
	}
	if k := told.Killed; k.PID == 0 || k.InHand == 0 || k.Seconds <= 0 {
		t.Errorf("killed: %+v", k)
	}
	ended := 0
	for _, n := range told.Outcomes {
		ended += n
	}
	if told.Jobs != transactions*copies+5 || ended != told.Jobs || told.Outcomes[invoice.Created] != transactions {
		t.Errorf("%d jobs: %v", told.Jobs, told.Outcomes)
	}
	if !told.Audit.OK() {
		t.Errorf("the audit: %+v", told.Audit)
	}
	if owner := s.Text(t, "SELECT tableowner FROM pg_tables WHERE schemaname = current_schema AND tablename = 'invoices'"); owner != s.Schema+"_migrator" {
		t.Errorf("the tables are %s's", owner)
	}
	if n := s.Count(t, "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema AND table_name LIKE 'demo%'"); n != 0 {
		t.Errorf("%d tables of the demo are left", n)
	}
	queue := demoQueue + "-" + s.Text(t, "SELECT id::text FROM database_identity")[:8] + "-naive"
	if keys, err := s.rdb.Keys(t.Context(), "*"+queue+"*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("%d keys are left in Redis, such as %q, %v", len(keys), keys[:min(len(keys), 3)], err)
	}
}

// What it tells fits a terminal of 80 columns and 24 lines from the counts on, and has no line that is drawn over.
func TestDemoFitsAScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	s.leavesRoles(t)
	code, stdout, stderr := s.run(t, "", "demo", "--transactions", "300")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for line := range strings.Lines(stdout) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 || strings.ContainsAny(line, "\r\x1b") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	_, last, ok := strings.Cut(stdout, "Counted in Postgres")
	if n := strings.Count(last, "\n"); !ok || n > 23 { // and a line for the prompt
		t.Errorf("the last screen has %d lines:\n%s", n, stdout)
	}
	for _, want := range []string{"kill -9", "billed twice", "| also writes invoice ", "duplicate of INV", "checks passed", "Next: invoicer demo --serve"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q isn't in\n%s", want, stdout)
		}
	}
}

// A schema of the release before, with somebody's work in it, is what it was after a demo that refuses it. So is one in
// which there is nothing, if the demo can't run.
func TestDemoTouchesNothingBeforeItRefuses(t *testing.T) {
	t.Parallel()
	const anInvoice = `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
	currency, subtotal_minor, tax_minor, total_minor, issued_at)
VALUES ('INV', '', 1, 'INV-000001', 'invoice', 'T-1', 'T-1', 'job', 'v1:' || repeat('0', 64), 'GBP', 0, 0, 0, now())`
	locked := sandboxtest.PrivateRedis(t)
	rdb, err := openTestRedis(locked.URL)
	must(t, err)
	t.Cleanup(func() { rdb.Close() })
	must(t, rdb.ConfigSet(t.Context(), "requirepass", "sesame").Err())
	evicting := sandboxtest.PrivateRedis(t)
	small, err := openTestRedis(evicting.URL)
	must(t, err)
	t.Cleanup(func() { small.Close() })
	must(t, small.ConfigSet(t.Context(), "maxmemory-policy", "volatile-lru").Err())
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	must(t, os.WriteFile(bad, []byte("{\n"), 0o600))
	for name, test := range map[string]struct {
		holds   []string
		args    []string
		environ string
		says    string
	}{
		"over invoices": {
			holds: []string{`INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice')`, anInvoice},
			says:  "it holds 1 invoice already",
		},
		"over accepted jobs": {
			holds: []string{`SELECT accept('{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}')`},
			says:  "it holds 1 recorded job already",
		},
		"of a file that can't be read": {args: []string{"--input", bad}, says: "bad.jsonl line 1"},
		"beside a Redis that evicts":   {environ: "INVOICER_REDIS_URL=" + evicting.URL, says: "noeviction"},
		"without the right Redis":      {environ: "INVOICER_REDIS_URL=" + locked.URL, says: "redis at "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sharedSite(t)
			s.releaseBefore(t)
			for _, statement := range test.holds {
				s.change(t, statement)
			}
			before := s.applied(t)
			code, stdout, stderr := s.with(test.environ).run(t, "", append([]string{"demo", "--transactions", "10"}, test.args...)...)
			if code != exitFailed || stdout != "" || !strings.Contains(stderr, test.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, test.says)
			}
			if after := s.applied(t); after != before {
				t.Errorf("%d migrations are applied, and there were %d", after, before)
			}
		})
	}
}

// Somebody's tables keep their owner, also where the demo is forced on them.
func TestDemoLeavesTablesToTheirOwner(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	s.leavesRoles(t)
	owner := "SELECT tableowner FROM pg_tables WHERE schemaname = current_schema AND tablename = 'invoices'"
	before := s.Text(t, owner)
	s.must(t, "demo", "--force", "--transactions", "5")
	if after := s.Text(t, owner); after != before {
		t.Errorf("the tables were %s's, and are %s's", before, after)
	}
}

// applied counts the migrations of the schema.
func (s *site) applied(t *testing.T) (n int) {
	t.Helper()
	migrator, err := migrations.New(s.URL, s.Schema)
	must(t, err)
	list, err := migrator.Status(t.Context())
	must(t, err)
	for _, one := range list {
		if one.AppliedAt != nil {
			n++
		}
	}
	return n
}

// Where the port is taken that nobody asked for, the pages of a demo are served on another one; and Ctrl-C is no failure.
func TestDemoServesOnAFreePort(t *testing.T) {
	t.Parallel()
	const usual = "127.0.0.1:8080"
	if taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", usual); err == nil { // else somebody else has it
		defer taken.Close()
	}
	s := newSite(t, sandboxtest.Redis(t))
	s.leavesRoles(t)
	d := exec.Command("invoicer", "demo", "--serve", "--transactions", "20")
	d.Env = s.with("INVOICER_HTTP_ADDR=" + usual).environ
	dieWithParent(d)
	stdout, err := d.StdoutPipe()
	must(t, err)
	must(t, d.Start())
	t.Cleanup(func() { _ = d.Process.Kill() })
	url := ""
	lines := bufio.NewScanner(stdout)
	for url == "" && lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), "health "); ok {
			url = strings.TrimSpace(after)
		}
	}
	if url == "" || strings.Contains(url, usual) {
		t.Fatalf("health is at %q", url)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	answer.Body.Close()
	for table, role := range map[string]string{"invoices": "worker", "invoice_jobs": "producer"} {
		s.change(t, fmt.Sprintf(`CREATE FUNCTION %[1]s_by() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF current_setting('role') <> '%[2]s' THEN RAISE EXCEPTION 'written as %%, not as %[2]s', current_setting('role'); END IF; RETURN NEW; END $$;
CREATE TRIGGER a_role BEFORE INSERT ON %[1]s FOR EACH ROW EXECUTE FUNCTION %[1]s_by()`, table, s.Schema+"_"+role))
	}
	// Jobs go on to come in, by a producer's role and a worker's, and the last words are where to see that.
	before := s.Count(t, "SELECT count(*) FROM invoices")
	rig.Within(t, time.Minute, func() error {
		if s.Count(t, "SELECT count(*) FROM invoices") < before+2 {
			return errors.New("no more invoices")
		}
		return nil
	})
	page := ""
	for page == "" && lines.Scan() {
		page = strings.TrimSpace(lines.Text())
		if !strings.HasSuffix(page, "/") {
			page = ""
		}
	}
	if page+"readyz" != url {
		t.Errorf("the first page is at %q", page)
	}
	must(t, d.Process.Signal(os.Interrupt))
	_, err = io.Copy(io.Discard, stdout)
	must(t, err)
	must(t, d.Wait())
}
