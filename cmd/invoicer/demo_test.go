package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/migrations"
)

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

// applied counts the migrations of the schema.
func (s *site) applied(t *testing.T) (n int) {
	t.Helper()
	migrator, err := migrations.New(s.databaseURL, s.schema)
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
	d := exec.Command("invoicer", "demo", "--serve", "--transactions", "20")
	d.Env = s.with("INVOICER_HTTP_ADDR=" + usual).environ
	dieWithParent(d)
	stdout, err := d.StdoutPipe()
	must(t, err)
	must(t, d.Start())
	t.Cleanup(func() { _ = d.Process.Kill() })
	url := ""
	for lines := bufio.NewScanner(stdout); url == "" && lines.Scan(); {
		if _, after, ok := strings.Cut(lines.Text(), "health at "); ok {
			url, _, _ = strings.Cut(after, ",")
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
	must(t, d.Process.Signal(os.Interrupt))
	_, err = io.Copy(io.Discard, stdout)
	must(t, err)
	must(t, d.Wait())
}
