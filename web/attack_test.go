package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"invoicer/web"
)

// raw sends bytes as they are, and returns the status code of the answer, or 0 if there is none.
func (d *door) raw(t *testing.T, request string) int {
	t.Helper()
	address, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, request); err != nil {
		return 0 // refused before it was read
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	a := d.ask(t, http.MethodGet, "/jobs?since=1h&x=%2F", "", html, "Sec-Fetch-Mode: navigate")
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.code != http.StatusSeeOther || to.Path != "/login" || to.Query().Get("next") != "/jobs?since=1h&x=%2F" {
		t.Fatalf("a browser without a session is answered with %d, and sent to %s", a.code, to)
	}
	a = d.ask(t, http.MethodGet, to.String(), "", html)
	if a.code != http.StatusOK || !strings.Contains(a.body, `<label for="token">`) || !strings.Contains(a.body, `value="/jobs?since=1h&amp;x=%2F"`) || strings.Contains(a.body, "<script") || strings.Contains(a.body, "style=") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if policy := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || a.header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("headers %v", a.header)
	}
	if a := d.ask(t, http.MethodGet, "/login/style.css", ""); a.code != http.StatusOK || a.header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("style: %d %v", a.code, a.header)
	}
	for secret, want := range map[string]int{"": 401, "wrong": 401, "secret-of-nobody": 401, "secret-of-shop": 403} {
		a := d.ask(t, http.MethodPost, "/login", url.Values{"token": {secret}, "next": {"/jobs"}}.Encode(), form)
		if a.code != want || a.header.Get("Set-Cookie") != "" || !strings.Contains(a.body, `role="alert"`) || secret != "" && strings.Contains(a.body, secret) {
			t.Errorf("signing in with %q: %d, %v, %s", secret, a.code, a.header, a.body)
		}
	}
	if a := d.ask(t, http.MethodPost, "/login?token=secret-of-reader", "next=/", form); a.code != http.StatusUnauthorized {
		t.Errorf("a token in the address, where logs would have it: %d", a.code)
	}
	a = d.ask(t, http.MethodPost, "/login", url.Values{"token": {" secret-of-reader\n"}, "next": {"/jobs?since=1h"}}.Encode(), form)
	if c := a.header.Get("Set-Cookie"); a.code != http.StatusSeeOther || a.header.Get("Location") != "/jobs?since=1h" || !strings.Contains(c, "; Path=/; HttpOnly; SameSite=Lax") || strings.Contains(c, "secret-of") {
		t.Fatalf("%d %v", a.code, a.header)
	}
	cookie := "Cookie: " + a.cookie()
	if a := d.ask(t, http.MethodGet, "/jobs", "", cookie); a.code != http.StatusOK || a.body != "reader" {
		t.Errorf("with a session: %d %s", a.code, a.body)
	}
	if a := d.ask(t, http.MethodPost, "/act", "", cookie); a.code != http.StatusForbidden {
		t.Errorf("a reader acts: %d", a.code)
	}
	if a := d.ask(t, http.MethodGet, "/login", "", cookie); !strings.Contains(a.body, "signed in as <strong>reader</strong>") || !strings.Contains(a.body, `action="/logout"`) {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := d.ask(t, http.MethodGet, "/logout", "", cookie); a.code != http.StatusMethodNotAllowed {
		t.Errorf("signing out by a link: %d", a.code)
	}
	a = d.ask(t, http.MethodPost, "/logout", "", cookie)
	if a.code != http.StatusSeeOther || a.header.Get("Location") != "/login" || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out: %d %v", a.code, a.header)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", cookie); a.code != http.StatusUnauthorized {
		t.Errorf("after signing out, the old cookie: %d", a.code)
	}
	if log := d.log.String(); !strings.Contains(log, `msg="signed in" token=reader`) || strings.Contains(log, "secret-of") {
		t.Errorf("log: %s", log)
	}
}

// Nobody signs in to a session that somebody else began for them, and signing in anew ends the session before.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	const planted = "Cookie: invoicer=planted-by-somebody-else"
	own := d.signIn(t, "secret-of-reader", planted)
	if own == planted {
		t.Error("the planted cookie is the session's")
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", planted); a.code != http.StatusUnauthorized {
		t.Errorf("the planted cookie: %d", a.code)
	}
	next := d.signIn(t, "secret-of-operator", own)
	if a := d.ask(t, http.MethodGet, "/jobs", "", own); next == own || a.code != http.StatusUnauthorized {
		t.Errorf("the session before: %d", a.code)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", next); a.body != "operator" {
		t.Errorf("the new session: %d %s", a.code, a.body)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	for next, want := range map[string]string{
		"": "/", "/jobs": "/jobs", "/jobs?a=b&c=//evil.example": "/jobs?a=b&c=//evil.example", "jobs": "/",
		"https://evil.example": "/", "//evil.example": "/", "///evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/", "/\t/evil.example": "/",
		"/\n//evil.example": "/", "javascript:alert(1)": "/", "https:evil.example": "/", "//user@evil.example/": "/", "/login": "/", "/login?next=/": "/", "/logout": "/", "/%zz": "/",
	} {
		a := d.ask(t, http.MethodPost, "/login", url.Values{"token": {"secret-of-reader"}, "next": {next}}.Encode(), form)
		if got := a.header.Get("Location"); a.code != http.StatusSeeOther || got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
		if a := d.ask(t, http.MethodGet, "/login?"+url.Values{"next": {next}}.Encode(), ""); strings.Contains(a.body, "evil.example") && want == "/" {
			t.Errorf("%q is in the form", next)
		}
	}
}

// A page of another site has its visitor's browser send requests with the session's cookie, or from the visitor's machine.
func TestOtherSitesCantAct(t *testing.T) {
	t.Parallel()
	away, local := openDoor(t, ownAddress(t), everyRole(), insecure), openDoor(t, "127.0.0.1:0", nil)
	cookie := away.signIn(t, "secret-of-operator")
	for _, site := range [][]string{
		{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"},
		{"Origin: https://evil.example"},
		{"Sec-Fetch-Site: cross-site"},
		{"Origin: null"},
		{"Origin: http://other.billing.example", "Sec-Fetch-Site: same-site"},
	} {
		for _, request := range []string{"POST /act", "POST /monitor/api/x", "DELETE /monitor/api/x", "PUT /act", "POST /login", "POST /logout"} {
			method, path, _ := strings.Cut(request, " ")
			if a := away.ask(t, method, path, "token=secret-of-reader", append(site, cookie, form)...); a.code != http.StatusForbidden {
				t.Errorf("%s from %q is answered with %d", request, site, a.code)
			}
			if a := local.ask(t, method, path, "", append(site, form)...); a.code != http.StatusForbidden {
				t.Errorf("%s on loopback from %q is answered with %d", request, site, a.code)
			}
		}
	}
	if away.reached[acts].Load()+local.reached[acts].Load() > 0 {
		t.Error("something was changed")
	}
	for _, site := range [][]string{{"Sec-Fetch-Site: same-origin"}, {"Origin: " + away.url}, nil} {
		if a := away.ask(t, http.MethodPost, "/act", "", append(site, cookie)...); a.code != http.StatusOK {
			t.Errorf("from its own page, %q: %d", site, a.code)
		}
	}
}

func TestNamesByWhichThePagesAreAskedFor(t *testing.T) {
	t.Parallel()
	hosts := func(o *web.Options) { o.Access.Hosts = []string{"Billing.Example.", "10.1.2.3", "[fd00::1]"} }
	anyName, listed, loopback := openDoor(t, ownAddress(t), everyRole(), insecure), openDoor(t, ownAddress(t), everyRole(), insecure, hosts), openDoor(t, "127.0.0.1:0", everyRole(), hosts)
	for host, ok := range map[string]bool{
		"billing.example": true, "BILLING.EXAMPLE:8443": true, "billing.example.": true, "billing.example.:80": true, "10.1.2.3": true, "10.1.2.3:8080": true,
		"[fd00::1]": true, "[FD00:0::1]:8080": true, "[fd00::1%25eth0]": true,
		"evil.example": false, "billing.example.evil.example": false, "xbilling.example": false, "billing.example..": false, "[fd00::2]": false, "10.1.2.33": false,
	} {
		if a := anyName.ask(t, http.MethodGet, "/", "", reader, "Host: "+host); a.code != http.StatusOK {
			t.Errorf("%q where any is allowed: %d", host, a.code)
		}
		want := http.StatusForbidden
		if ok {
			want = http.StatusOK
		}
		for name, d := range map[string]*door{"beyond loopback": listed, "on loopback": loopback} {
			if a := d.ask(t, http.MethodGet, "/", "", reader, "Host: "+host); a.code != want {
				t.Errorf("%q %s: %d, want %d", host, name, a.code, want)
			}
		}
		// A listed name isn't local: nobody acts by it without a token.
		if a := loopback.ask(t, http.MethodPost, "/act", "", "Host: "+host); ok && a.code != http.StatusUnauthorized {
			t.Errorf("%q on loopback without a token: %d", host, a.code)
		}
	}
	for host, want := range map[string]int{"localhost": 403, "127.0.0.1": 403, "": 403} {
		if a := listed.ask(t, http.MethodGet, "/", "", reader, "Host: "+host); a.code != want && host != "" {
			t.Errorf("%q beyond loopback: %d", host, a.code)
		}
	}
	for request, want := range map[string]int{
		"GET / HTTP/1.0\r\n\r\n": 403, "GET / HTTP/1.1\r\n\r\n": 400, "GET / HTTP/1.1\r\nHost: billing.example\r\nHost: evil.example\r\n\r\n": 400,
		"GET http://evil.example/ HTTP/1.1\r\nHost: billing.example\r\n\r\n": 403, "GET /livez HTTP/1.0\r\n\r\n": 200,
	} {
		if code := listed.raw(t, request); code != want {
			t.Errorf("%q is answered with %d, want %d", request, code, want)
		}
		if code := loopback.raw(t, request); code != want {
			t.Errorf("%q on loopback is answered with %d, want %d", request, code, want)
		}
	}
}

// No header makes somebody local who isn't.
func TestForgedHeadersMakeNobodyLocal(t *testing.T) {
	t.Parallel()
	doors := []*door{openDoor(t, ownAddress(t), everyRole(), insecure), openDoor(t, "0.0.0.0:0", everyRole(), insecure)}
	for _, headers := range [][]string{
		{"X-Forwarded-For: 127.0.0.1"},
		{"X-Real-IP: 127.0.0.1"},
		{"Forwarded: for=127.0.0.1"},
		{"Host: localhost"},
		{"Host: 127.0.0.1"},
		{"Host: [::1]"},
		{"X-Forwarded-Host: localhost", "Host: localhost"},
		{"X-Original-URL: /livez"},
		{"X-Rewrite-URL: /livez"},
		{"X-HTTP-Method-Override: GET"},
		{"Cookie: invoicer=local"},
		{"Authorization: Bearer local"},
		{"Authorization: Bearer "},
		{"Authorization: bearer"},
		{"Authorization: Basic bG9jYWw6bG9jYWw="},
		{reader, "Authorization: Bearer wrong"},
	} {
		for _, d := range doors {
			if a := d.ask(t, http.MethodGet, "/jobs", "", headers...); a.code != http.StatusUnauthorized {
				t.Errorf("%q is answered with %d", headers, a.code)
			}
		}
	}
	loopback := openDoor(t, "127.0.0.1:0", everyRole())
	if code := loopback.raw(t, "GET /jobs HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); code != http.StatusUnauthorized {
		t.Errorf("nginx as it comes, on the same machine: %d", code)
	}
	if doors[0].reached[reads].Load()+doors[1].reached[reads].Load() > 0 {
		t.Error("a page was shown")
	}
}

// Whatever a path is written like, it leads to no page without a token, and to no change with one that may only read.
func TestPathsThatLeadAround(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	for _, path := range []string{
		"//monitor/", "/./monitor/", "/livez/../monitor/", "/livez/..%2fmonitor/", "/%2e%2e/monitor/", "/livez%2f..%2fmonitor/", "/monitor/%2e%2e/jobs", "/MONITOR/", "/monitor;/livez",
		"/livez/", "/livez//", "/livez%00", "/login/../jobs", "/login%2f..%2fjobs", "/login/style.css/../../jobs", "/jobs%3f/livez", "/%6dobs", "/metrics%2f", "http://x/livez/../jobs", "/\\jobs", "*",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "GEt"} {
			for _, token := range []string{"", reader + "\r\n"} {
				_ = d.raw(t, method+" "+path+" HTTP/1.1\r\nHost: billing.example\r\nConnection: close\r\nX-HTTP-Method-Override: POST\r\n"+token+"\r\n")
				if token == "" && d.reached[reads].Load() > 0 {
					t.Fatalf("%s %s leads to a page without a token", method, path)
				}
			}
			d.reached[reads].Store(0) // with a token, pages may be shown
		}
	}
	if d.reached[acts].Load()+d.reached[enqueues].Load() > 0 {
		t.Error("something was changed by somebody who may only read")
	}
	if code := d.raw(t, "POST /act HTTP/1.1\r\nHost: billing.example\r\nConnection: close\r\nContent-Length: 0\r\n"+operator+"\r\n\r\n"); code != http.StatusOK || d.reached[acts].Load() != 1 {
		t.Errorf("an operator: %d", code)
	}
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	if a := d.ask(t, http.MethodPost, "/login", "token=secret-of-reader&x="+strings.Repeat("x", 5<<10), form); a.code != http.StatusRequestEntityTooLarge || a.header.Get("Set-Cookie") != "" {
		t.Errorf("signing in with 5 KiB: %d", a.code)
	}
	if a := d.ask(t, http.MethodPost, "/act", strings.Repeat("x", 1<<20), operator); a.code != http.StatusOK {
		t.Errorf("acting with 1 MiB: %d", a.code)
	}
	if a := d.ask(t, http.MethodPost, "/act", strings.Repeat("x", 1<<20+1), operator); a.code != http.StatusBadRequest {
		t.Errorf("acting with more: %d", a.code)
	}
	for _, body := range []string{"token=%zz", "token", "&&&=;", "\x00\xff"} {
		if a := d.ask(t, http.MethodPost, "/login", body, form); a.code != http.StatusBadRequest && a.code != http.StatusUnauthorized {
			t.Errorf("signing in with %q: %d", body, a.code)
		}
	}
	multipart := "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nsecret-of-reader\r\n--b--\r\n"
	if a := d.ask(t, http.MethodPost, "/login", multipart, "Content-Type: multipart/form-data; boundary=b"); a.code != http.StatusUnauthorized {
		t.Errorf("signing in with a form that isn't ours: %d", a.code)
	}
}

// A form that never ends is cut off.
func TestFormsThatNeverEnd(t *testing.T) {
	t.Parallel()
	d := openDoor(t, ownAddress(t), everyRole(), insecure)
	begun := time.Now()
	code := d.raw(t, "POST /login HTTP/1.1\r\nHost: x\r\n"+form+"\r\nContent-Length: 2000\r\n\r\ntoken=secret-of-")
	if took := time.Since(begun); code == http.StatusSeeOther || took > 20*time.Second {
		t.Errorf("%d after %s", code, took)
	}
}

// Guessing is refused after a while, by sign-in and by header, and keeps nobody out who has a token.
func TestGuessingKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "127.0.0.1:0", everyRole(), func(o *web.Options) { o.Access.Hosts = []string{"billing.example"} })
	const host = "Host: billing.example"
	elsewhere := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext(ctx, network, address)
	}}
	for i := range 25 {
		want := http.StatusUnauthorized
		if i >= 10 {
			want = http.StatusTooManyRequests
		}
		guess := fmt.Sprintf("guess-%d", i)
		var a answer
		if i%2 == 0 {
			a = d.ask(t, http.MethodGet, "/jobs", "", host, "Authorization: Bearer "+guess)
		} else {
			a = d.ask(t, http.MethodPost, "/login", "token="+guess, host, form)
		}
		if a.code != want || (a.header.Get("Retry-After") != "") != (i >= 10) {
			t.Errorf("guess %d is answered with %d, want %d", i, a.code, want)
		}
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", host, reader); a.code != http.StatusOK {
		t.Errorf("a token from the same address: %d", a.code)
	}
	cookie := d.signIn(t, "secret-of-reader", host)
	if a := d.ask(t, http.MethodGet, "/jobs", "", host, cookie); a.code != http.StatusOK {
		t.Errorf("a session from the same address: %d", a.code)
	}
	if a := askWith(t, elsewhere, http.MethodGet, d.url+"/jobs", "", host, "Authorization: Bearer wrong"); a.code != http.StatusUnauthorized {
		t.Errorf("the first mistake of another address: %d", a.code)
	}
	if n := strings.Count(d.log.String(), "sign-in"); n != 2 {
		t.Errorf("%d lines about failed sign-ins, want 2:\n%s", n, d.log)
	}
}

// However many connections somebody opens, and whatever they send or don't, health and pages are answered at once meanwhile, and the
// process has no more to remember than the connections that it keeps.
func TestTenThousandConnections(t *testing.T) { //nolint:paralleltest // it counts the goroutines of the process
	d := openDoor(t, "127.0.0.1:0", nil)
	address := strings.TrimPrefix(d.url, "http://")
	const connections, kept, room = 10_000, 500, 64 // kept by the client, which may open less than 10,000 files; room is openDoor's
	before := runtime.NumGoroutine()
	var slowest time.Duration
	held := make([]net.Conn, kept)
	for i := range connections {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if old := held[i%kept]; old != nil {
			old.Close()
		}
		held[i%kept] = c
		sent := []string{"", "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", "POST /act HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{", "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"}[i%4]
		_, _ = io.WriteString(c, sent) // it may be closed already
		if i%1000 == 999 {
			for _, path := range []string{"/livez", "/jobs"} {
				begun := time.Now()
				if a := d.ask(t, http.MethodGet, path, ""); a.code != http.StatusOK {
					t.Errorf("%s after %d connections: %d", path, i+1, a.code)
				}
				slowest = max(slowest, time.Since(begun))
			}
			if more := runtime.NumGoroutine() - before; more > 3*room {
				t.Errorf("%d goroutines more after %d connections", more, i+1)
			}
		}
	}
	for _, c := range held {
		c.Close()
	}
	if slowest > 5*time.Second {
		t.Errorf("the slowest answer took %s", slowest)
	}
	t.Logf("the slowest answer took %s", slowest)
}
