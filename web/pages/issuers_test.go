package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"invoicer/internal/inquiry"
	"invoicer/locking"
)

// Of an id that several issuers have, a page asks whose is meant. What it then shows, and frees, is that one's alone.
func TestStoriesOfIssuers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.OpenIssuers(t, "ACME-DE", "ACME-FR")
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, transaction_id, idempotency_key, queue, state, outcome, reason)
SELECT issuer, 'job' || issuer, 'T/1', 'T/1', 'default', 'failed', 'failed', 'planted' FROM (VALUES (''), ('ACME-DE'), ('ACME-FR')) AS all_of (issuer)`)
	_, page := s.get(t, "/search?q=T/1")
	for _, link := range []string{`href="/search?q=T%2F1&amp;issuer="`, `href="/search?q=T%2F1&amp;issuer=ACME-DE"`, `href="/search?q=T%2F1&amp;issuer=ACME-FR"`} {
		if !strings.Contains(page, link) {
			t.Errorf("no %s:\n%s", link, page)
		}
	}
	if _, page = s.get(t, "/search?q=T%2F1&issuer=ACME-DE"); !strings.Contains(page, "jobACME-DE") || !strings.Contains(page, "Issuer <strong>ACME-DE</strong>") || strings.Contains(page, "ACME-FR") {
		t.Errorf("of ACME-DE:\n%s", page)
	}
	if _, page = s.get(t, "/search?q=T%2F1&issuer="); !strings.Contains(page, "<bdi>job</bdi>") || strings.Contains(page, "ACME") {
		t.Errorf("of the one without a name:\n%s", page)
	}
	if code, _ := s.get(t, "/search?q=T1&issuer=acme%22"); code != http.StatusBadRequest {
		t.Errorf("no issuer's code: %d", code)
	}

	locker, err := locking.New(s.redis, locking.Options{Prefix: inquiry.LockPrefix(s.Text(t, "SELECT id FROM database_identity"))})
	if err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{"ACME-DE", "ACME-FR"} {
		if _, err := locker.Within(issuer).Acquire(t.Context(), "T2", locking.Holder{ID: "job-1", Worker: "w1"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, page = s.get(t, "/search?q=T2&issuer=ACME-FR"); !strings.Contains(page, `<input type="hidden" name="issuer" value="ACME-FR">`) {
		t.Errorf("no form:\n%s", page)
	}
	form := url.Values{"issuer": {"ACME-FR"}, "transaction": {"T2"}, "job": {"job-1"}, "worker": {"w1"}, "by": {"ada"}}
	s.post(t, "/locks", form)
	if _, _, err := locker.Within("ACME-FR").Holder(t.Context(), "T2"); err == nil {
		t.Error("the lock isn't free")
	}
	if _, _, err := locker.Within("ACME-DE").Holder(t.Context(), "T2"); err != nil {
		t.Errorf("the other issuer's lock: %v", err)
	}
}

// Lists name the issuer, and are filtered by it, where one was opened; until then nothing of it is shown.
func TestListsOfIssuers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/failed", "/invoices", "/series"} {
		if _, page := s.get(t, path); strings.Contains(page, "ssuer") {
			t.Errorf("%s without issuers:\n%s", path, page)
		}
	}
	s.OpenIssuers(t, "ACME-DE", "ACME-FR")
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, transaction_id, idempotency_key, queue, state, outcome, reason)
SELECT issuer, 'job' || issuer, 'T-' || issuer, 'T1', 'default', 'failed', 'failed', 'planted' FROM (VALUES (''), ('ACME-DE'), ('ACME-FR')) AS all_of (issuer)`)
	s.Exec(t, `INSERT INTO invoice_series (issuer, series, period, kind) SELECT issuer, 'INV', '', 'invoice' FROM issuers`)
	s.Exec(t, `INSERT INTO invoices (issuer, series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT issuer, 'INV', '', 1, 'INV-1', 'invoice', 'I-' || issuer, 'T1', 'J', 'v1:' || repeat('0', 64), 'EUR', 100, 0, 100, now() FROM issuers`)
	s.Exec(t, "UPDATE invoice_series SET last_number = 1")
	for path, all := range map[string]struct{ shows, not string }{
		"/failed?issuer=ACME-DE":       {"T-ACME-DE", "T-ACME-FR"},
		"/failed?issuer=none":          {"job matches", "T-ACME"},
		"/invoices?issuer=ACME-DE":     {`href="/search?q=I-ACME-DE&amp;issuer=ACME-DE"`, "I-ACME-FR"},
		"/invoices.csv?issuer=ACME-FR": {",J,1.00,,,,[],ACME-FR", "ACME-DE"},
		"/series":                      {`href="/search?q=INV-1&amp;issuer=ACME-FR"`, ""},
		"/invoices":                    {`<option value="none">without a name</option>`, ""},
	} {
		if code, page := s.get(t, path); code != http.StatusOK || !strings.Contains(page, all.shows) || all.not != "" && strings.Contains(page, all.not) {
			t.Errorf("%s: %d\n%s", path, code, page)
		}
	}
	if _, page := s.get(t, "/series"); !strings.Contains(page, "<td>ACME-DE/INV</td>") || !strings.Contains(page, `<a href="/invoices?issuer=ACME-FR">`) {
		t.Errorf("the series:\n%s", page)
	}
	for _, path := range []string{"/failed?issuer=acme", "/invoices?issuer=acme"} {
		if code, _ := s.get(t, path); code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, code)
		}
	}
}
