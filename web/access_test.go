package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"invoicer/web"
	"invoicer/web/access"
)

var healthPaths = []string{"/livez", "/healthz", "/readyz"}

// allElse are paths that are never open to everybody, with their methods.
var allElse = []string{
	"GET /", "GET /jobs", "POST /jobs", "POST /act", "GET /live", "GET /metrics", "GET /monitor/", "GET /monitor", "POST /monitor/api/x", "DELETE /monitor/api/x",
	"GET /debug/pprof/", "GET /nothing", "PUT /", "OPTIONS /", "POST /logout", "HEAD /", "HEAD /metrics",
}

func TestTokensOpenWhatTheirRolesAllow(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	for _, test := range []struct {
		request                          string
		nobody, reader, operator, jobsOf int
	}{
		{"GET /", 401, 200, 200, 403},
		{"HEAD /", 401, 200, 200, 403},
		{"GET /jobs", 401, 200, 200, 403},
		{"POST /jobs", 401, 403, 403, 200},
		{"POST /act", 401, 403, 200, 403},
		{"GET /metrics", 401, 200, 200, 403},
		{"GET /monitor/", 401, 200, 200, 403},
		{"POST /monitor/api/x", 401, 403, 200, 403},
		{"DELETE /monitor/api/x", 401, 403, 200, 403},
		{"GET /debug/pprof/", 401, 403, 403, 403},
		{"GET /nothing", 401, 404, 404, 404},
		{"GET /act", 401, 405, 405, 405},
		{"GET /readyz", 200, 200, 200, 200},
		{"GET /livez", 200, 200, 200, 200},
	} {
		method, path, _ := strings.Cut(test.request, " ")
		for name, c := range map[string]struct {
			headers []string
			want    int
		}{
			"nobody": {nil, test.nobody}, "reader": {[]string{reader}, test.reader}, "operator": {[]string{operator}, test.operator}, "shop": {[]string{shop}, test.jobsOf},
		} {
			a := d.ask(t, method, path, "", c.headers...)
			if a.code != c.want {
				t.Errorf("%s by %s is answered with %d, want %d", test.request, name, a.code, c.want)
			}
			if challenged := a.header.Get("WWW-Authenticate") != ""; challenged != (a.code == 401) {
				t.Errorf("%s by %s: WWW-Authenticate is %q", test.request, name, a.header.Get("WWW-Authenticate"))
			}
			if path == "/jobs" && a.code == 200 && a.body != name {
				t.Errorf("%s by %s is a request of %q", test.request, name, a.body)
			}
		}
	}
}

// A token that is limited to issuers opens nothing but what keeps to them, itself and by a session.
func TestLimitedTokens(t *testing.T) {
	t.Parallel()
	limited := token(4, "paris", access.Operate, access.Enqueue)
	limited.Issuers, limited.Hash = access.Issuers{"ACME-FR"}, access.HashOf("secret-of-paris", true)
	d := openDoor(t, ownAddress(t), append(everyRole(), limited), insecure)
	const paris = "Authorization: Bearer secret-of-paris"
	for _, header := range []string{paris, d.signIn(t, "secret-of-paris")} {
		for request, want := range map[string]int{
			"GET /": 403, "GET /jobs": 403, "POST /jobs": 403, "POST /act": 403, "GET /metrics": 403, "GET /monitor/": 403,
			"GET /monitor/api/queues": 403, "POST /monitor/api/x": 403, "GET /debug/pprof/": 403, "GET /within": 200, "GET /readyz": 200, "GET /login": 200,
		} {
			method, path, _ := strings.Cut(request, " ")
			a := d.ask(t, method, path, "", header)
			if a.code != want || want == 403 && path != "/debug/pprof/" && !strings.Contains(a.body, "limited to ACME-FR") {
				t.Errorf("%s is answered with %d: %s", request, a.code, a.body)
			}
		}
	}
	if n := d.reached[acts].Load() + d.reached[enqueues].Load(); n != 0 {
		t.Errorf("%d requests have reached what they may not", n)
	}
	if a := d.ask(t, http.MethodGet, "/within", "", operator); a.code != http.StatusOK {
		t.Errorf("a token of all issuers: %d", a.code)
	}
}

func TestAloneOnTheMachineNoTokenIsNeeded(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "127.0.0.1:0", everyRole())
	for request, want := range map[string]int{
		"GET /": 200, "GET /metrics": 200, "GET /monitor/": 200, "POST /monitor/api/x": 200, "POST /act": 200, "GET /debug/pprof/": 200, "GET /login": 200, "POST /jobs": 200,
	} {
		method, path, _ := strings.Cut(request, " ")
		if a := d.ask(t, method, path, ""); a.code != want {
			t.Errorf("%s is answered with %d, want %d", request, a.code, want)
		}
	}
	// A token that is shown counts, so that a program notices that its own is void or has another role.
	for header, want := range map[string]int{reader: 403, operator: 200, "Authorization: Bearer wrong": 401, "Authorization: Basic dTpw": 200} {
		if a := d.ask(t, http.MethodPost, "/act", "", header); a.code != want {
			t.Errorf("with %s: %d, want %d", header, a.code, want)
		}
	}
	if log := d.log.String(); strings.Contains(log, "only health") {
		t.Errorf("it says that something isn't served: %s", log)
	}
}

// Beyond loopback nothing but health is open without a token, and the log says so at start. Tokens count as soon as there are any.
func TestClosedUntilThereIsAToken(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), nil, insecure)
	if log := d.log.String(); !strings.Contains(log, "only health checks are served, because there is no token: make one with 'invoicer token make'") || !strings.Contains(log, "without TLS, as http.insecure allows") {
		t.Errorf("the log doesn't say what is served: %s", log)
	}
	d.refusesAllElse(t, http.StatusForbidden, "GET /login", "POST /login")
	d.set(everyRole(), nil)
	d.within5s(t, http.StatusOK, http.MethodGet, "/metrics", reader)
	d.refusesAllElse(t, http.StatusUnauthorized)
	d.set(nil, nil)
	d.within5s(t, http.StatusUnauthorized, http.MethodGet, "/metrics", reader)
}

func TestClosedWithoutTLS(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"another address": ownAddress(t), "all addresses": "0.0.0.0:0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, address, everyRole())
			if log := d.log.String(); !strings.Contains(log, "only health checks are served, because the address is not loopback and has no TLS") {
				t.Errorf("the log doesn't say so: %s", log)
			}
			d.refusesAllElse(t, http.StatusForbidden, "GET /login", "POST /login")
			if a := d.ask(t, http.MethodGet, "/metrics", "", operator); a.code != http.StatusForbidden {
				t.Errorf("with a token: %d", a.code)
			}
		})
	}
}

func (d *door) refusesAllElse(t *testing.T, want int, more ...string) {
	t.Helper()
	for _, path := range healthPaths {
		if a := d.ask(t, http.MethodGet, path, "", "Host: whatever"); a.code != http.StatusOK {
			t.Errorf("%s is answered with %d", path, a.code)
		}
	}
	before := d.reached[reads].Load()
	for _, request := range append(allElse, more...) {
		method, path, _ := strings.Cut(request, " ")
		if a := d.ask(t, method, path, ""); a.code != want && (request != "POST /logout" || a.code != http.StatusSeeOther) {
			t.Errorf("%s is answered with %d, want %d", request, a.code, want)
		}
	}
	if d.reached[reads].Load() != before || d.reached[acts].Load() != 0 {
		t.Error("a handler was reached")
	}
}

func TestOpenMetricsOpenNothingElse(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), nil, func(o *web.Options) { o.Access.OpenMetrics = true })
	if a := d.ask(t, http.MethodGet, "/metrics", ""); a.code != http.StatusOK {
		t.Errorf("metrics: %d", a.code)
	}
	for _, path := range []string{"/", "/metrics/", "/metrics/../jobs", "/monitor/"} {
		if a := d.ask(t, http.MethodGet, path, ""); a.code != http.StatusForbidden {
			t.Errorf("%s: %d", path, a.code)
		}
	}
	if !strings.Contains(d.log.String(), "only health checks and metrics are served, because the address") {
		t.Errorf("log: %s", d.log)
	}
}

// What is open can be read by anybody, under any name, and by nobody in the clear.
func TestWhatIsOpen(t *testing.T) {
	t.Parallel()
	change := func(o *web.Options) {
		o.Access.Open = "/links/"
		o.Routes = append(o.Routes, web.Route{Pattern: "/links/{link}", Within: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s, for %q", r.PathValue("link"), access.Of(r).Name)
		})})
	}
	for name, d := range map[string]*door{"on loopback": openDoor(t, "127.0.0.1:0", everyRole(), change), "beyond, without a token": openDoor(t, ownAddress(t), nil, change, insecure)} {
		for _, headers := range [][]string{nil, {"Host: invoices.example"}, {"Authorization: Bearer none"}, {"Sec-Fetch-Site: cross-site"}, {operator}} {
			if a := d.ask(t, http.MethodGet, "/links/x", "", headers...); a.code != http.StatusOK || a.body != `x, for ""` {
				t.Errorf("%s, %v: %d %s", name, headers, a.code, a.body)
			}
		}
		for _, request := range []string{"POST /links/x", "DELETE /links/x", "GET /jobs", "GET /links", "GET /links/../jobs", "GET /links/%2e%2e/jobs", "GET /x/links/x"} {
			method, path, _ := strings.Cut(request, " ")
			if a := d.ask(t, method, path, "", "Host: invoices.example"); a.code < 300 {
				t.Errorf("%s, %s: %d %s", name, request, a.code, a.body)
			}
		}
	}
	if a := openDoor(t, ownAddress(t), everyRole(), change).ask(t, http.MethodGet, "/links/x", ""); a.code != http.StatusForbidden {
		t.Errorf("without TLS: %d %s", a.code, a.body)
	}
}

// While tokens can't be read, those that were read last go on working, and expire all the same.
func TestTokensCountWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	short := token(4, "short", access.Read)
	short.Until = time.Now().Add(4 * time.Second)
	d := openDoor(t, ownAddress(t), append(everyRole(), short), insecure)
	const shorts = "Authorization: Bearer secret-of-short"
	if a := d.ask(t, http.MethodGet, "/", "", shorts); a.code != http.StatusOK {
		t.Fatalf("a token that will expire: %d", a.code)
	}
	d.set(nil, errAway)
	time.Sleep(time.Until(short.Until)) // at least one reading has failed by then
	if a := d.ask(t, http.MethodGet, "/", "", shorts); a.code != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", a.code)
	}
	if a := d.ask(t, http.MethodGet, "/", "", reader); a.code != http.StatusOK {
		t.Errorf("a token from before: %d", a.code)
	}
	if n := strings.Count(d.log.String(), "the tokens can't be read"); n != 1 {
		t.Errorf("the log says %d times that tokens can't be read:\n%s", n, d.log)
	}
	d.set(nil, nil)
	d.within5s(t, http.StatusUnauthorized, http.MethodGet, "/", reader)
	if !strings.Contains(d.log.String(), "the tokens can be read again") {
		t.Errorf("log: %s", d.log)
	}
}

func TestClosedWhileTokensWereNeverRead(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), nil, insecure, func(o *web.Options) {
		o.Access.Tokens = func(context.Context) ([]access.Token, error) { return nil, errAway }
	})
	if !strings.Contains(d.log.String(), "only health checks are served, except on loopback, until the tokens can be read") {
		t.Errorf("log: %s", d.log)
	}
	d.refusesAllElse(t, http.StatusForbidden)
}

// What was opened with a token ends with it: sessions, and pages that are kept open.
func TestRevocationEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	cookie := d.signIn(t, "secret-of-reader")
	if a := d.ask(t, http.MethodGet, "/jobs", "", cookie); a.code != http.StatusOK || a.body != "reader" {
		t.Fatalf("with a session: %d %s", a.code, a.body)
	}
	open := make(map[string]*bufio.Reader)
	for name, header := range map[string]string{"session": cookie, "token": reader, "other token": operator} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		key, value, _ := strings.Cut(header, ": ")
		r.Header.Set(key, value)
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		open[name] = bufio.NewReader(response.Body)
		if line, err := open[name].ReadString('\n'); line != "open\n" || err != nil {
			t.Fatalf("%s: %q, %v", name, line, err)
		}
	}
	begun := time.Now()
	d.set(everyRole()[1:], nil)
	for _, name := range []string{"session", "token"} {
		if rest, err := io.ReadAll(open[name]); string(rest) != "over\n" || err != nil {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("open pages ended after %s", took)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", cookie); a.code != http.StatusUnauthorized {
		t.Errorf("with the session of a revoked token: %d", a.code)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", cookie, html); a.code != http.StatusSeeOther || a.header.Get("Location") != "/login?next=%2Fjobs" {
		t.Errorf("a browser with the session of a revoked token: %d to %s", a.code, a.header.Get("Location"))
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", operator); a.code != http.StatusOK {
		t.Errorf("another token: %d", a.code)
	}
}
