package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// copied makes another schema with the same documents, and returns its name.
func (b *auditBundle) copied(t *testing.T) string {
	t.Helper()
	other := rig.NewDatabase(t)
	b.exec(t, "SET session_replication_role = replica")
	b.exec(t, "DELETE FROM "+other.Schema+".database_identity")
	for _, table := range []string{"database_identity", "invoices"} {
		b.exec(t, fmt.Sprintf("INSERT INTO %s.%s OVERRIDING SYSTEM VALUE SELECT * FROM %[2]s", other.Schema, table))
	}
	return other.Schema
}

func TestAuditAgainst(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	other := b.copied(t)
	against := []string{"--against", b.url, "--against-schema", other}
	code, out, errs := b.audit(t, against...)
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	wantLines(t, out, "ok only_here 2 0 every ", "ok erased 2 0 ", "here: schema "+b.schema+" at 20", "there: schema "+other+" at 20", "ok: both have the same documents")
	code, out, errs = b.audit(t, append(against, "--json")...)
	var same struct {
		OK          bool
		Differences []any
	}
	if err := json.Unmarshal([]byte(out), &same); err != nil || code != exitOK || errs != "" || !same.OK || same.Differences == nil || len(same.Differences) > 0 {
		t.Errorf("exit code %d, stderr %q, %v: %s", code, errs, err, out)
	}

	b.exec(t, `INSERT INTO invoices (id, series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, created_at)
OVERRIDING SYSTEM VALUE SELECT 100 + n, series, '', 1 + n, 'INV-' || n, kind, 'M' || n, 'M' || n, 'M' || n, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, created_at
FROM invoices, generate_series(1, 25) AS n WHERE invoices.id = 1`)
	b.exec(t, "UPDATE "+other+".invoices SET transaction_id = 'OTHER', tax_minor = tax_minor + 1, total_minor = total_minor + 1 WHERE transaction_id = 'T2'")
	code, out, errs = b.audit(t, against...)
	if code != exitFailed || errs != "" {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	wantLines(t, out,
		"DIFFERS only_here 27 26 ", "DIFFERS only_there 2 1 ", "DIFFERS numbers 27 1 ", "ok content 1 0",
		"only_here: 26 found", "INV-1 M1 2160.00 GBP 20", "and 6 more; --limit lists more of them, and --json all",
		"INV-CN-000001 T2 -0.25 GBP INV-CN-000001 OTHER -0.24 GBP",
		"DIFFERS: only_here, only_there, numbers",
	)
	if code, out, _ := b.audit(t, append(against, "--limit", "0")...); code != exitFailed || strings.Contains(out, "M1 ") || !strings.Contains(out, "and 26 more;") {
		t.Errorf("with --limit 0: exit code %d:\n%s", code, out)
	}

	var report struct {
		OK   *bool
		Here struct {
			Schema   string
			Invoices int
		}
		Checks []struct {
			Check  string
			Broken int
		}
		Differences []struct {
			Check, Problem string
			Here, There    *struct {
				Number        int
				TransactionID string `json:"transaction_id"`
				TotalMinor    int    `json:"total_minor"`
			}
		}
	}
	code, out, errs = b.audit(t, append(against, "--json")...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitFailed || errs != "" {
		t.Fatalf("exit code %d, stderr %q, %v: %s", code, errs, err, out)
	}
	if report.OK == nil || *report.OK || report.Here.Schema != b.schema || report.Here.Invoices != 27 || len(report.Differences) != 28 || len(report.Checks) != 7 {
		t.Errorf("report: %s", out)
	}
	found := make(map[string]int)
	for _, d := range report.Differences {
		found[d.Check]++
		if d.Check == "numbers" && (d.Here.TransactionID != "T2" || d.There.TransactionID != "OTHER" || d.There.TotalMinor != -24) {
			t.Errorf("%+v, %+v", d.Here, d.There)
		}
	}
	for _, c := range report.Checks {
		if found[c.Check] != c.Broken {
			t.Errorf("%s: %d counted, and %d listed", c.Check, c.Broken, found[c.Check])
		}
	}
	code, out, _ = b.audit(t, append(against, "-o", "csv")...)
	if lines := strings.Split(out, "\n"); code != exitFailed || len(lines) != 1+28+1 || !strings.HasPrefix(out, "check,problem,differs,issuer,here_series,") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestAuditAgainstSaysWhatIsCompared(t *testing.T) {
	t.Parallel()
	b := setupAudit(t)
	if code, _, errs := b.audit(t, "--against", b.url); code != exitOK || !strings.Contains(errs, "the very same database") {
		t.Errorf("with itself: exit code %d, stderr %q", code, errs)
	}
	if code, _, errs := b.audit(t, "--against", b.url, "--against-schema", rig.NewDatabase(t).Schema); code != exitFailed || !strings.Contains(errs, "two installations") {
		t.Errorf("with another installation: exit code %d, stderr %q", code, errs)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no other":    {[]string{"--against-schema", "x"}, exitUsage, "--against-schema goes with --against"},
		"seals":       {[]string{"--against", b.url, "--seals", "x"}, exitUsage, "--seals and --against don't go together"},
		"no URL":      {[]string{"--against", "secret"}, exitUsage, "--against: is not a URL"},
		"another URL": {[]string{"--against", "redis://x:secret@y/0"}, exitUsage, "--against: must start with postgres://"},
		"nobody":      {[]string{"--against", "postgres://x:secret@127.0.0.1:1/db", "--wait", "10ms"}, exitFailed, "--against: postgres at 127.0.0.1:1"},
		"no schema":   {[]string{"--against", b.url, "--against-schema", "absent"}, exitFailed, "schema absent has no invoices"},
		"a broken -o": {[]string{"--against", b.url, "-o", "xml"}, exitUsage, "must be"},
	} {
		if code, out, errs := b.audit(t, c.args...); code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "secret") || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", name, code, out, errs)
		}
	}
}

// A standby is a copy of its primary. What a login lacks on the other side is said of the other side.
func TestAuditAgainstAStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.primary.URL, "invoicer", sandboxtest.Redis(t))
	s.must(t, "series", "open", "INV")
	s.Exec(t, "CREATE ROLE stranger LOGIN")
	standby := rig.OpenDatabase(t, p.standby.URL, s.Schema)
	rig.Eventually(t, "all on the standby", func() bool { return standby.Is(t, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stranger')") })
	if out := s.must(t, "audit", "--against", p.standby.URL); !strings.Contains(out, ", a standby, 0 documents") {
		t.Errorf("audit --against: %s", out)
	}
	var report struct {
		SameCluster  bool `json:"same_cluster"`
		SameDatabase bool `json:"same_database"`
	}
	if err := json.Unmarshal([]byte(s.must(t, "audit", "--against", p.standby.URL, "--json")), &report); err != nil || !report.SameCluster || report.SameDatabase {
		t.Errorf("%v, %+v", err, report)
	}
	other, err := url.Parse(p.primary.URL)
	must(t, err)
	other.User = url.User("stranger")
	for _, want := range []string{"schema invoicer has no invoices that this role may see", "permission denied for table"} {
		if code, _, stderr := s.run(t, "", "audit", "--against", other.String()); code != exitFailed || !strings.Contains(stderr, "--against: postgres at "+other.Host) || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, %s; want %q", code, stderr, want)
		}
		s.Exec(t, "GRANT USAGE ON SCHEMA invoicer TO stranger")
	}
}
