package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// beyondLoopback is the site with pages on another address than a loopback one.
func (s *site) beyondLoopback(t *testing.T, environ ...string) *site {
	t.Helper()
	return s.with(append(environ, "INVOICER_HTTP_ADDR="+ownAddress(t)+":0")...)
}

// token makes a token.
func (s *site) token(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.run(t, "", append([]string{"token", "make"}, args...)...)
	if code != exitOK {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	return strings.TrimSpace(stdout)
}

// awaitCode returns once a request is answered with the code, which takes at most five seconds.
func awaitCode(t *testing.T, want int, url string, change ...func(*http.Request)) {
	t.Helper()
	rig.Within(t, 5*time.Second, func() error {
		if code, _ := get(t, url, change...); code != want {
			return fmt.Errorf("%s is answered with %d, not %d", url, want, code)
		}
		return nil
	})
}

// A worker that was started without tokens takes those that are made later, and not those that are revoked.
func TestTokensCountWithoutARestart(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).beyondLoopback(t, "INVOICER_HTTP_INSECURE=true")
	w := s.start(t, "worker")
	url := w.pages(t)
	w.await(t, "only health checks are served, because there is no token")
	for path, want := range map[string]int{"/livez": 200, "/metrics": 403, "/monitor/": 403, "/": 403, "/login": 403} {
		if code, body := get(t, url+path); code != want {
			t.Errorf("%s without a token: %d %s", path, code, body)
		}
	}
	reader, operator, shop := s.token(t, "--role", "read", "--name", "r"), s.token(t, "--role", "operate", "--name", "o"), s.token(t, "--role", "enqueue", "--name", "e")
	awaitCode(t, http.StatusForbidden, url+"/metrics", bearer(shop)) // the last one is known
	for path, want := range map[string]int{"/metrics": 200, "/monitor/": 200, "/monitor/api/servers": 200} {
		if code, body := get(t, url+path, bearer(reader)); code != want {
			t.Errorf("%s by a reader: %d %s", path, code, body)
		}
	}
	pause := func(r *http.Request) { r.Method = http.MethodPost }
	for name, c := range map[string]struct {
		token string
		want  int
	}{"reader": {reader, 403}, "operator": {operator, 204}} {
		if code, body := get(t, url+"/monitor/api/queues/"+s.queue+":pause", bearer(c.token), pause); code != c.want {
			t.Errorf("a %s pauses the queue: %d %s", name, code, body)
		}
	}
	if code, body := get(t, url+"/monitor/", bearer(reader)); code != 200 || !strings.Contains(body, "READ_ONLY=\"true\"") {
		t.Errorf("asynqmon shows a reader buttons: %d %.600s", code, body)
	}
	if code, body := get(t, url+"/monitor/", bearer(operator)); code != 200 || strings.Contains(body, "READ_ONLY=\"true\"") {
		t.Errorf("asynqmon shows an operator no buttons: %d %.600s", code, body)
	}
	s.must(t, "token", "revoke", "r")
	awaitCode(t, http.StatusUnauthorized, url+"/metrics", bearer(reader))
	if code, _ := get(t, url+"/metrics", bearer(operator)); code != 200 {
		t.Errorf("another token: %d", code)
	}
	for _, secret := range []string{reader, operator, shop} {
		if w.said(secret) {
			t.Error("a token is in the log")
		}
	}
}

// A token that is limited to an issuer shows its data alone, by whatever way. A worker of the release before, which knows no limited
// tokens, doesn't take it for one of all issuers.
func TestTokenOfAnIssuer(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	s.OpenIssuers(t, "ACME-DE", "ACME-FR")
	s.change(t, `INSERT INTO invoice_jobs (issuer, job_id, transaction_id, idempotency_key, queue, state, outcome, reason)
SELECT issuer, 'job-' || issuer, 'T-' || issuer, 'T-' || issuer, 'default', 'failed', 'failed', 'planted' FROM issuers`)
	paris, all := s.token(t, "--role", "operate", "--name", "paris", "--issuer", "ACME-FR"), s.token(t, "--role", "read", "--name", "all")
	before := `SELECT count(*) FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) AND hash = sha256($1)`
	for secret, want := range map[string]int{paris: 0, all: 1, "ACME-FR" + paris: 0, "issuers:ACME-FR:" + paris: 0} {
		if got := s.Count(t, before, []byte(secret)); got != want {
			t.Errorf("the release before takes %d tokens for %.12s…, want %d", got, secret, want)
		}
	}

	url := s.beyondLoopback(t, "INVOICER_HTTP_INSECURE=true").start(t, "worker").pages(t)
	awaitCode(t, http.StatusOK, url+"/metrics", bearer(all))
	awaitCode(t, http.StatusOK, url+"/invoices", bearer(paris))
	for path, c := range map[string]struct {
		code  int
		shows string
	}{
		"/":                          {200, "<h1>Failed jobs</h1>"},
		"/failed":                    {200, "T-ACME-FR"},
		"/failed?issuer=ACME-DE":     {403, "may see the data of ACME-FR alone"},
		"/search?q=T-ACME-FR":        {200, "job-ACME-FR"},
		"/search?q=job-ACME-DE":      {404, "Nothing is known of"},
		"/queues":                    {403, "may see the data of ACME-FR alone"},
		"/metrics":                   {403, "limited to ACME-FR"},
		"/monitor/":                  {403, "limited to ACME-FR"},
		"/monitor/api/queues":        {403, "limited to ACME-FR"},
		"/live?of=%2Fworkers":        {403, "may see the data of ACME-FR alone"},
		"/invoices.json?issuer=none": {403, "may see the data of ACME-FR alone"},
	} {
		code, body := get(t, url+path, bearer(paris))
		if code != c.code || !strings.Contains(body, c.shows) || strings.Contains(strings.ReplaceAll(body, "job-ACME-DE", ""), "ACME-DE") {
			t.Errorf("%s: %d\n%s", path, code, body)
		}
	}
}

// A worker whose role may not read the tokens works, closed, and says what to grant. Once that is done, tokens count.
func TestWorkerThatMayNotReadTokens(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	token := s.token(t, "--role", "read", "--name", "r")
	limited, role := s.as(t)
	for _, statement := range []string{
		"GRANT USAGE ON SCHEMA " + s.Schema, "GRANT ALL ON ALL TABLES IN SCHEMA " + s.Schema, "GRANT ALL ON ALL SEQUENCES IN SCHEMA " + s.Schema,
		"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA " + s.Schema,
	} {
		s.change(t, statement+" TO "+role)
	}
	s.change(t, "REVOKE ALL ON tokens FROM "+role)
	w := limited.beyondLoopback(t, "INVOICER_HTTP_INSECURE=true").start(t, "worker")
	url := w.pages(t)
	grant := fmt.Sprintf("GRANT SELECT ON TABLE %s.tokens TO %s;", s.Schema, role)
	if line := w.await(t, "until the tokens can be read"); !strings.Contains(line, grant) {
		t.Errorf("it doesn't say %s: %s", grant, line)
	}
	w.awaitReadyz(t, http.StatusOK)
	if code, _ := get(t, url+"/metrics", bearer(token)); code != http.StatusUnauthorized {
		t.Errorf("a token: %d", code)
	}
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
	s.change(t, grant)
	awaitCode(t, http.StatusOK, url+"/metrics", bearer(token))
}

func TestTLSFilesAreNamed(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_HTTP_TLS_CERT=/nowhere/tls.crt", "INVOICER_HTTP_TLS_KEY=/nowhere/tls.key")
	code, _, stderr := s.run(t, "", "worker")
	if code != exitFailed || !strings.Contains(stderr, "http.tls_cert /nowhere/tls.crt and http.tls_key /nowhere/tls.key can't be used: open /nowhere/tls.crt: no such file or directory") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
