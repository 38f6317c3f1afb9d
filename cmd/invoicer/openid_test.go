package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"invoicer/internal/openidtest"
	"invoicer/internal/rig"
)

// withProvider is the site with pages beyond loopback that people sign in to with the provider. Its group staff may read, and ops operate.
func (s *site) withProvider(t *testing.T, p *openidtest.Provider) (_ *site, base string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ownAddress(t)+":0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	base = "http://" + address
	p.Allow(base + "/login/oidc/callback")
	return s.with("INVOICER_HTTP_ADDR="+address, "INVOICER_HTTP_INSECURE=true", "INVOICER_HTTP_OIDC_ISSUER="+p.URL, "INVOICER_HTTP_OIDC_CLIENT_ID="+openidtest.ClientID,
		"INVOICER_HTTP_OIDC_CLIENT_SECRET="+openidtest.ClientSecret, "INVOICER_HTTP_OIDC_BASE_URL="+base, "INVOICER_HTTP_OIDC_READ=staff", "INVOICER_HTTP_OIDC_OPERATE=ops"), base
}

// signsIn returns a client of somebody who has signed in with the provider, and what the page that they wanted shows.
func signsIn(t *testing.T, base, path string) (client *http.Client, page string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client = &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	rig.Within(t, time.Minute, func() error { // the provider is discovered within seconds
		response, err := client.Get(base + "/login/oidc?next=" + url.QueryEscape(path))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if page = string(body); response.StatusCode == http.StatusServiceUnavailable {
			return errors.New(page)
		}
		return err
	})
	return client, page
}

// People sign in to the pages with an OpenID provider, may do what their groups may, and are on record by their names.
func TestPeopleSignInWithAnOpenIDProvider(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	s, base := sharedSite(t).withProvider(t, p)
	s.enqueue(t, "T1")
	w := s.start(t, "serve")
	w.pages(t)
	w.awaitReadyz(t, http.StatusOK)
	for path, want := range map[string]int{"/livez": 200, "/": 401, "/metrics": 401, "/login": 200} {
		if code, body := get(t, base+path); code != want {
			t.Errorf("%s without a session: %d %s", path, code, body)
		}
	}
	pause := func(client *http.Client) (int, string) {
		response, err := client.PostForm(base+"/queues", url.Values{"queue": {s.queue}, "do": {"pause"}, "by": {"somebody else"}})
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	reader, page := signsIn(t, base, "/queues")
	if !strings.Contains(page, "ada (oidc)") || !strings.Contains(page, s.queue) || strings.Contains(page, "Pause or resume a queue") {
		t.Errorf("a reader sees %s", page)
	}
	if code, body := pause(reader); code != http.StatusForbidden || !strings.Contains(body, "that needs the role operate") {
		t.Errorf("a reader pauses a queue: %d %s", code, body)
	}
	p.As("bob", "ops")
	operator, _ := signsIn(t, base, "/queues")
	if code, body := pause(operator); code != http.StatusOK {
		t.Errorf("an operator pauses a queue: %d %s", code, body)
	}
	if history := s.must(t, "history"); !strings.Contains(history, "bob (oidc)") || strings.Contains(history, "ada") || strings.Contains(history, "somebody else") {
		t.Errorf("on record is %s", history)
	}
	p.As("eve", "guests")
	if _, page := signsIn(t, base, "/queues"); !strings.Contains(page, "your groups give you no role here") {
		t.Errorf("a guest sees %s", page)
	}
	if w.said(openidtest.ClientSecret) {
		t.Error("our password at the provider is in the log")
	}
}

// A worker starts without its provider, and lets tokens in.
func TestWorkerWhoseOpenIDProviderIsAway(t *testing.T) {
	t.Parallel()
	p := openidtest.New(t)
	p.Down(true)
	s, base := sharedSite(t).withProvider(t, p)
	token := s.token(t, "--role", "read", "--name", "r")
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	if line := w.await(t, "the OpenID provider can't be used until it answers: tokens go on working"); !strings.Contains(line, "503 Service Unavailable") {
		t.Error(line)
	}
	awaitCode(t, http.StatusOK, base+"/metrics", bearer(token))
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
}
