package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"invoicer/internal/openidtest"
	"invoicer/internal/rig"
	"invoicer/web"
)

// Whoever has no group with a role gets in nowhere, and is told so.
func TestGroupsThatGiveNoRole(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	d := openDoorTo(t, p, "127.0.0.1:0")
	for name, test := range map[string]struct {
		groups any
		want   string
	}{
		"others":          {[]string{"Staff", "ops2", "<b>\u202e", ""}, "<bdi>&lt;b&gt; </bdi>"},
		"none":            {[]string{}, "names no groups in the claim <code>groups</code>"},
		"no claim":        {nil, "names no groups in the claim <code>groups</code>"},
		"numbers":         {[]any{1, "ops"}, "names no groups in the claim"},
		"a mapping":       {map[string]any{"ops": true}, "names no groups in the claim"},
		"a list in text":  {"staff ops", "<bdi>staff ops</bdi>"},
		"very many":       {strings.Split(strings.Repeat("x,", 30)+"y", ","), "and more"},
		"in another case": {"OPS", "<bdi>OPS</bdi>"},
	} {
		p.Claim(map[string]any{"sub": "s", "preferred_username": "eve<i>", "groups": test.groups, "roles": []string{"ops"}, "_claim_names": map[string]string{}})
		b := d.browser(t)
		a := b.get(t, b.atProvider(t, "/jobs"))
		if a.code != http.StatusForbidden || !strings.Contains(a.body, "You are <strong><bdi>eve&lt;i&gt;</bdi></strong> at ") || !strings.Contains(a.body, "give you no role here") || !strings.Contains(a.body, test.want) {
			t.Errorf("%s: %d %s", name, a.code, a.body)
		}
		if cookies := b.Jar.Cookies(mustURL(t, d.url)); len(cookies) != 0 {
			t.Errorf("%s: cookies %v", name, cookies)
		}
	}
	p.Claim(map[string]any{"sub": "s", "groups": "ops"}) // one group, as some providers write it
	b := d.browser(t)
	if a := b.get(t, b.atProvider(t, "/jobs")); a.code != http.StatusSeeOther {
		t.Errorf("one group: %d %s", a.code, a.body)
	}
}

func TestNamesOfPeople(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	d := openDoorTo(t, p, "127.0.0.1:0")
	long := strings.Repeat("é", 65)
	for want, claims := range map[string]map[string]any{
		"Jürgen Groß (oidc)":   {"sub": "s1", "preferred_username": " Jürgen Groß ", "email": "j@x.example"},
		"local (oidc)":         {"sub": "s2", "preferred_username": "local"},
		"a@x.example (oidc)":   {"sub": "s3", "preferred_username": "", "email": "a@x.example"},
		"b@x.example (oidc)":   {"sub": "s4", "preferred_username": "x\u202ey", "email": "b@x.example", "email_verified": true},
		"s5 (oidc)":            {"sub": "s5", "email": "root@x.example", "email_verified": false},
		"s6 (oidc)":            {"sub": "s6", "email": "root@x.example", "email_verified": "false"},
		"s7 (oidc)":            {"sub": "s7", "preferred_username": long, "email": []string{"c@x.example"}},
		long[:128] + " (oidc)": {"sub": long, "preferred_username": "a\nb"},
	} {
		claims["groups"] = []string{"ops"}
		p.Claim(claims)
		b := d.browser(t)
		b.get(t, b.atProvider(t, "/jobs"))
		if a := b.get(t, "/jobs"); a.body != want {
			t.Errorf("%d %q, want %q", a.code, a.body, want)
		}
		if a := b.get(t, "/debug/pprof/"); a.code != http.StatusForbidden {
			t.Errorf("%q is local: %d", want, a.code)
		}
	}
}

// While the provider is away, tokens work, and once it is back, so does it, without a restart.
func TestOpenIDProviderThatIsAway(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	p.Down(true)
	d := openDoorTo(t, p, ownAddress(t))
	b := d.browser(t)
	a := b.get(t, "/login/oidc?next=/jobs")
	if a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "can&#39;t be reached. Please try again in a moment, or sign in with a token") {
		t.Errorf("beginning: %d %s", a.code, a.body)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", "", d.signIn(t, "secret-of-reader")); a.code != http.StatusOK {
		t.Errorf("a session of a token: %d", a.code)
	}
	p.Down(false)
	callback := b.atProvider(t, "/")
	rig.Eventually(t, "the log to say it", func() bool {
		log := d.log.String()
		return strings.Count(log, "the OpenID provider can't be used until it answers") == 1 && strings.Contains(log, "503 Service Unavailable") && strings.Contains(log, "the OpenID provider can be reached")
	})
	p.Down(true)
	if a := b.get(t, callback); a.code != http.StatusServiceUnavailable {
		t.Errorf("coming back while it is away: %d %s", a.code, a.body)
	}
	p.Down(false)
	if a := b.get(t, b.atProvider(t, "/")); a.code != http.StatusSeeOther {
		t.Errorf("once it is back: %d %s", a.code, a.body)
	}
}

// A session ends when it should, and what is kept open with it.
func TestSessionsOfPeopleEnd(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	d := openDoorTo(t, p, ownAddress(t), func(o *web.Options) { o.Access.OIDC.Session = 3 * time.Second })
	b := d.browser(t)
	b.Timeout = 20 * time.Second
	b.get(t, b.atProvider(t, "/"))
	begun := time.Now()
	if a := b.get(t, "/live"); a.code != http.StatusOK || a.body != "open\nover\n" || time.Since(begun) > 10*time.Second {
		t.Errorf("a page that stays open: %d %q after %s", a.code, a.body, time.Since(begun))
	}
	if a := b.get(t, "/jobs"); a.code != http.StatusSeeOther {
		t.Errorf("afterwards: %d", a.code)
	}
}

// Beyond loopback people come in only where their sessions don't cross the network readable, and other sites' pages can't act for them.
func TestPeopleAreHeldToWhatTokensAre(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	closed := openDoorTo(t, p, ownAddress(t), func(o *web.Options) { o.Access.Insecure = false })
	for _, path := range []string{"/", "/login", "/login/oidc", "/login/oidc/callback?code=x&state=y"} {
		if a := closed.ask(t, http.MethodGet, path, ""); a.code != http.StatusForbidden {
			t.Errorf("%s without TLS: %d", path, a.code)
		}
	}
	if !strings.Contains(closed.log.String(), "only health checks are served, because the address is not loopback and has no TLS") {
		t.Errorf("log: %s", closed.log)
	}
	p.As("bob", "ops")
	d := openDoorTo(t, p, ownAddress(t))
	b := d.browser(t)
	b.get(t, b.atProvider(t, "/"))
	cookie := cookieOf(b, t, "invoicer=")
	for _, site := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"} {
		if a := d.ask(t, http.MethodPost, "/act", "", cookie, site); a.code != http.StatusForbidden {
			t.Errorf("acting from %s: %d", site, a.code)
		}
	}
	back := mustURL(t, d.browser(t).atProvider(t, "//evil.example"))
	if a := d.ask(t, http.MethodPost, back.RequestURI(), "", cookie); a.code != http.StatusMethodNotAllowed {
		t.Errorf("coming back by POST: %d", a.code)
	}
	for next, want := range map[string]string{"//evil.example": "/", "/login/oidc": "/", "/login/oidc/callback": "/", "/" + strings.Repeat("x", 3000): "/", "/jobs?x=\"": "/jobs?x=\""} {
		if a := b.get(t, b.atProvider(t, next)); a.header.Get("Location") != want {
			t.Errorf("%.40q leads to %q, want %q", next, a.header.Get("Location"), want)
		}
	}
	for i := range 12 {
		want := http.StatusUnauthorized
		if i >= 10 {
			want = http.StatusTooManyRequests
		}
		if a := d.ask(t, http.MethodGet, fmt.Sprintf("/login/oidc/callback?state=%d&code=x", i), ""); a.code != want {
			t.Errorf("guess %d: %d, want %d", i, a.code, want)
		}
	}
	if a := b.get(t, b.atProvider(t, "/")); a.code != http.StatusSeeOther {
		t.Errorf("a person from the same address: %d", a.code)
	}
}
