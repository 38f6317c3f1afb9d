package web_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"invoicer/internal/openidtest"
	"invoicer/web"
	"invoicer/web/access"
)

// openDoorTo opens pages that people sign in to with the provider. Its group staff may read, and its group ops may operate.
func openDoorTo(t *testing.T, p *openidtest.Provider, address string, change ...func(*web.Options)) *door {
	t.Helper()
	base := "http://" + freePort(t, address)
	p.Allow(base + "/login/oidc/callback")
	d := openDoor(t, strings.TrimPrefix(base, "http://"), everyRole(), append([]func(*web.Options){insecure, func(o *web.Options) {
		o.Access.OIDC = &access.OIDC{
			Issuer: p.URL, ClientID: openidtest.ClientID, ClientSecret: openidtest.ClientSecret, BaseURL: base, GroupsClaim: "groups",
			Scopes: []string{"profile"}, Read: []string{"staff"}, Operate: []string{"ops"}, Session: time.Hour,
		}
	}}, change...)...)
	return d
}

// A browser follows redirects and keeps cookies, until it comes back from the provider.
type browser struct {
	*http.Client
	door *door
}

func (d *door) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{
		Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), d.url) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}, d}
}

// get asks for an address, or a path of the door's.
func (b *browser) get(t *testing.T, address string) answer {
	t.Helper()
	return b.do(t, http.MethodGet, address)
}

func (b *browser) do(t *testing.T, method, address string) answer {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.door.url + address
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	response, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

// atProvider begins to sign in, and returns where the provider sends the browser back to.
func (b *browser) atProvider(t *testing.T, next string) (callback string) {
	t.Helper()
	begin := "/login/oidc?next=" + url.QueryEscape(next)
	a := b.get(t, begin)
	for end := time.Now().Add(30 * time.Second); a.code == http.StatusServiceUnavailable && time.Now().Before(end); a = b.get(t, begin) {
		time.Sleep(20 * time.Millisecond) // the provider isn't discovered yet
	}
	back := a.header.Get("Location")
	if a.code != http.StatusFound || !strings.HasPrefix(back, b.door.url+"/login/oidc/callback?") {
		t.Fatalf("beginning to sign in ends with %d %s %s", a.code, back, a.body)
	}
	return back
}

func TestSignInWithAnOpenIDProvider(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	d := openDoorTo(t, p, ownAddress(t), func(o *web.Options) { o.Access.Tokens = nil })
	if log := d.log.String(); strings.Contains(log, "only health") {
		t.Errorf("it says that nothing is served: %s", log)
	}
	if a := d.ask(t, http.MethodGet, "/jobs", ""); a.code != http.StatusUnauthorized {
		t.Errorf("a program without a token: %d", a.code)
	}
	b := d.browser(t)
	a := b.get(t, "/jobs?since=1h&x=%2F")
	if a.code != http.StatusSeeOther || a.header.Get("Location") != "/login?next=%2Fjobs%3Fsince%3D1h%26x%3D%252F" {
		t.Fatalf("without a session: %d to %s", a.code, a.header.Get("Location"))
	}
	a = b.get(t, a.header.Get("Location"))
	host := strings.TrimPrefix(p.URL, "http://")
	if link := `href="` + d.url + `/login/oidc?next=%2fjobs%3fsince%3d1h%26x%3d%252F">Sign in at ` + host + "</a>"; !strings.Contains(a.body, link) || !strings.Contains(a.body, `<label for="token">`) {
		t.Errorf("no %s in %s", link, a.body)
	}
	callback := b.atProvider(t, "/jobs?since=1h&x=%2F")
	a = b.get(t, callback)
	if a.code != http.StatusSeeOther || a.header.Get("Location") != "/jobs?since=1h&x=%2F" {
		t.Fatalf("coming back: %d to %s, %s", a.code, a.header.Get("Location"), a.body)
	}
	for _, cookie := range a.header.Values("Set-Cookie") {
		if !strings.Contains(cookie, "; HttpOnly; SameSite=Lax") || !strings.Contains(cookie, "; Path=/;") {
			t.Errorf("cookie %s", cookie)
		}
	}
	for request, want := range map[string]int{"GET /jobs": 200, "POST /act": 403, "GET /monitor/": 200, "POST /monitor/api/x": 403, "POST /jobs": 403, "GET /debug/pprof/": 403} {
		method, path, _ := strings.Cut(request, " ")
		if a := b.do(t, method, path); a.code != want || request == "GET /jobs" && a.body != "ada (oidc)" {
			t.Errorf("%s by a reader: %d %s, want %d", request, a.code, a.body, want)
		}
	}
	if a := b.get(t, "/login"); !strings.Contains(a.body, "signed in as <strong>ada (oidc)</strong>") {
		t.Errorf("who one is: %s", a.body)
	}

	p.As("bob", "other", "ops")
	before := b.Jar.Cookies(mustURL(t, d.url))
	if a := b.get(t, b.atProvider(t, "/")); a.code != http.StatusSeeOther {
		t.Fatalf("signing in again: %d %s", a.code, a.body)
	}
	for request, want := range map[string]int{"GET /jobs": 200, "POST /act": 200, "POST /monitor/api/x": 200, "POST /jobs": 403} {
		method, path, _ := strings.Cut(request, " ")
		if a := b.do(t, method, path); a.code != want || request == "GET /jobs" && a.body != "bob (oidc)" {
			t.Errorf("%s by an operator: %d %s, want %d", request, a.code, a.body, want)
		}
	}
	for _, old := range before {
		if a := d.ask(t, http.MethodGet, "/jobs", "", "Cookie: "+old.Name+"="+old.Value); a.code != http.StatusUnauthorized {
			t.Errorf("the session before, %s: %d", old.Name, a.code)
		}
	}

	a = b.do(t, http.MethodPost, "/logout")
	if a = b.get(t, a.header.Get("Location")); !strings.Contains(a.body, "You are signed out of invoicer, but not of "+host) {
		t.Errorf("signing out: %d %s", a.code, a.body)
	}
	if a := b.do(t, http.MethodPost, "/act"); a.code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", a.code)
	}
	if log := d.log.String(); !strings.Contains(log, `msg="signed in with the OpenID provider" name="bob (oidc)" subject=subject-of-bob`) || strings.Contains(log, openidtest.ClientSecret) {
		t.Errorf("log: %s", log)
	}
}

// Whatever is wrong with what comes back from the provider, nobody is signed in.
func TestOpenIDProviderThatProvesNothing(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	d := openDoorTo(t, p, "127.0.0.1:0")
	as := func(claims map[string]any) func() {
		all := map[string]any{"sub": "s", "preferred_username": "mallory", "groups": []string{"ops"}}
		for name, value := range claims {
			all[name] = value
		}
		return func() { p.Claim(all) }
	}
	signed := func(sign func(claims map[string]any) string) func() {
		return func() { as(nil)(); p.Sign(sign) }
	}
	elsewhere := openidtest.New(t)
	for name, lie := range map[string]func(){
		"another nonce":           as(map[string]any{"nonce": "of-another-attempt-to-sign-in"}),
		"no nonce":                as(map[string]any{"nonce": nil}),
		"another audience":        as(map[string]any{"aud": "another"}),
		"no audience":             as(map[string]any{"aud": nil}),
		"another party":           as(map[string]any{"aud": []string{"another", openidtest.ClientID}, "azp": "another"}),
		"another issuer":          as(map[string]any{"iss": elsewhere.URL}),
		"expired":                 as(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}),
		"without an end":          as(map[string]any{"exp": nil}),
		"not yet valid":           as(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"nobody":                  as(map[string]any{"sub": nil}),
		"a name that is no text":  as(map[string]any{"sub": "\x1b[31m"}),
		"no ID token":             signed(func(map[string]any) string { return "" }),
		"no signature":            signed(func(c map[string]any) string { return openidtest.Unsigned(map[string]any{"alg": "none"}, c) + "." }),
		"half an ID token":        signed(func(c map[string]any) string { return openidtest.Unsigned(map[string]any{"alg": "RS256"}, c) }),
		"another's key":           signed(func(c map[string]any) string { return elsewhere.Signed(c) }),
		"signed with our secret":  signed(signedBySecret),
		"claims changed later on": signed(func(c map[string]any) string { return changed(t, p.Signed(c)) }),
	} {
		lie()
		b := d.browser(t)
		a := b.get(t, b.atProvider(t, "/jobs"))
		if (a.code != http.StatusUnauthorized && a.code != http.StatusTooManyRequests) || a.header.Get("Set-Cookie") != "" || !strings.Contains(a.body, `role="alert"`) {
			t.Errorf("%s: %d %v %s", name, a.code, a.header, a.body)
		}
		if len(b.Jar.Cookies(mustURL(t, d.url))) > 1 {
			t.Errorf("%s: a session", name)
		}
	}
	if log := d.log.String(); strings.Count(log, "a sign-in with the OpenID provider has failed") != 10 || !strings.Contains(log, "so many sign-ins fail") || strings.ContainsRune(log, '\x1b') {
		t.Errorf("log: %s", log)
	}
	p.As("ada", "staff")
	b := d.browser(t)
	if a := b.get(t, b.atProvider(t, "/")); a.code != http.StatusSeeOther {
		t.Errorf("somebody who isn't lied about, after all this: %d %s", a.code, a.body)
	}
	p.Rotate(t)
	if a := b.get(t, b.atProvider(t, "/")); a.code != http.StatusSeeOther {
		t.Errorf("after the provider has changed its key: %d %s", a.code, a.body)
	}
}

func signedBySecret(claims map[string]any) string {
	text := openidtest.Unsigned(map[string]any{"alg": "HS256"}, claims)
	mac := hmac.New(sha256.New, []byte(openidtest.ClientSecret))
	_, _ = mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// changed returns an ID token that says something else than what was signed.
func changed(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), "mallory", "ada", 1)))
	return strings.Join(parts, ".")
}

// A sign-in is finished once, and by the browser that began it: nobody is signed in as somebody else by a link.
func TestOnlyTheBrowserThatBeganFinishes(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	d := openDoorTo(t, p, "127.0.0.1:0")
	attacker, victim := d.browser(t), d.browser(t)
	link := attacker.atProvider(t, "/")
	refused := func(what string, a answer) {
		t.Helper()
		if a.code != http.StatusUnauthorized || strings.Contains(a.header.Get("Set-Cookie"), "invoicer=") {
			t.Errorf("%s: %d, %v", what, a.code, a.header)
		}
	}
	refused("a link to somebody who has begun nothing", victim.get(t, link))
	own := victim.atProvider(t, "/")
	refused("a link to somebody who has begun", victim.get(t, link))
	state := mustURL(t, own).Query().Get("state")
	stolen := strings.Replace(link, mustURL(t, link).Query().Get("state"), state, 1)
	if before := p.Redeemed(); before != 0 {
		t.Errorf("%d codes were redeemed", before)
	}
	for what, query := range map[string]string{
		"nothing": "", "a code without a state": "code=x", "an empty state": "state=&code=x", "two states": "state=x&state=" + state + "&code=y",
	} {
		refused(what, victim.get(t, "/login/oidc/callback?"+query))
	}
	cookie := "Cookie: "
	for _, c := range victim.Jar.Cookies(mustURL(t, d.url)) {
		cookie += c.Name + "=" + c.Value
	}
	refused("a cookie that was changed", d.ask(t, http.MethodGet, strings.TrimPrefix(own, d.url), "", cookie[:len(cookie)-4]+"AAAA"))
	refused("the code of somebody else", victim.get(t, stolen)) // the provider refuses it: it belongs to another challenge
	refused("an attempt that has failed", victim.get(t, own))

	own = victim.atProvider(t, "/")
	if a := victim.get(t, own); a.code != http.StatusSeeOther {
		t.Fatalf("one's own: %d %s", a.code, a.body)
	}
	redeemed := p.Redeemed()
	refused("the same once more", victim.get(t, own))
	cookie = cookieOf(victim, t, "invoicer=")
	if a := d.ask(t, http.MethodGet, "/jobs", "", cookie); a.body != "ada (oidc)" {
		t.Errorf("the session: %d %s", a.code, a.body)
	}
	kept := d.browser(t)
	own = kept.atProvider(t, "/")
	begun := cookieOf(kept, t, "invoicer-signin=")
	if a := d.ask(t, http.MethodGet, strings.TrimPrefix(own, d.url), "", begun); a.code != http.StatusSeeOther {
		t.Errorf("a browser that keeps its cookie: %d %s", a.code, a.body)
	}
	if a := d.ask(t, http.MethodGet, strings.TrimPrefix(own, d.url), "", begun); a.code != http.StatusUnauthorized && a.code != http.StatusTooManyRequests {
		t.Errorf("the same once more with the cookie: %d", a.code)
	}
	if p.Redeemed() != redeemed+1 {
		t.Error("a code of an attempt that is over was taken to the provider")
	}
	declined := d.browser(t)
	own = declined.atProvider(t, "/")
	a := declined.get(t, "/login/oidc/callback?error=access_denied%1b[31m<script>&state="+mustURL(t, own).Query().Get("state"))
	if a.code < 401 || a.code > 429 || strings.Contains(a.body, "<script>") {
		t.Errorf("somebody who declines: %d %s", a.code, a.body)
	}
}

func cookieOf(b *browser, t *testing.T, prefix string) string {
	t.Helper()
	for _, c := range b.Jar.Cookies(mustURL(t, b.door.url)) {
		if pair := c.Name + "=" + c.Value; strings.HasPrefix(pair, prefix) {
			return "Cookie: " + pair
		}
	}
	t.Fatalf("no cookie %s", prefix)
	return ""
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
