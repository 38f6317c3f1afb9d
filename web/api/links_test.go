package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"invoicer/internal/links"
	"invoicer/web/api"
)

const (
	linksBase = "https://invoices.example"
	linksKey  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

func newLinks(t *testing.T, lifetime time.Duration) *links.Links {
	t.Helper()
	l, err := links.New(linksBase, []string{linksKey}, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// link returns the path of a link to an invoice's document.
func link(t *testing.T, l *links.Links, issuer, number string) string {
	t.Helper()
	address, _, err := l.Make(time.Now(), issuer, number, "erp")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(address, linksBase)
}

// A link leads whoever has it to the document of its invoice, and to nothing else. Whom it was made for goes on record.
func TestLinks(t *testing.T) {
	t.Parallel()
	l := newLinks(t, time.Hour)
	s := setup(t, func(o *api.Options) { o.Links = l })
	s.OpenIssuers(t, "ACME-DE")
	s.invoiced(t, "T1", `"version":2`, `"language":"de"`)
	s.invoiced(t, "T1", `"version":2`, `"language":"de"`, `"issuer":"ACME-DE"`)
	get := func(path string, headers ...string) reply {
		return s.ask(t, "", http.MethodGet, path, nil, headers...)
	}
	path := link(t, l, "", "INV-000001")
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	page := get(path, "Accept", browser, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if page.StatusCode != http.StatusOK || !bytes.HasPrefix(page.body, []byte("%PDF-1.7")) || page.Header.Get("Content-Language") != "de" {
		t.Fatalf("%d %.80q %v", page.StatusCode, page.body, page.Header)
	}
	for name, want := range map[string]string{"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if own := s.document(t, "operator", "?issuer=none"); !bytes.Equal(own.body, page.body) {
		t.Errorf("another document by its number: %d", own.StatusCode)
	}
	for _, c := range []struct{ path, wants, begins string }{
		{path, "application/xml", "<?xml"}, {path + "?format=cii", "", "<?xml"}, {path + "?format=facturx", "", "%PDF-1.7"},
	} {
		var headers []string
		if c.wants != "" {
			headers = []string{"Accept", c.wants}
		}
		if r := get(c.path, headers...); r.StatusCode != http.StatusOK || !strings.HasPrefix(string(r.body), c.begins) {
			t.Errorf("%s: %d %.80q", c.path, r.StatusCode, r.body)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM actions WHERE action = 'see personal data' AND subject = 'INV-000001' AND actor = 'link' AND note = 'posted to erp'"); n != 4 {
		t.Errorf("%d of 4 looks are on record", n)
	}

	looks := s.Count(t, "SELECT count(*) FROM actions")
	other, err := links.New("https://staging.example", []string{linksKey}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _, err := other.Make(time.Now(), "", "INV-000001", "erp")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path   string
		status int
	}{
		"expired":               {link(t, newLinks(t, -time.Minute), "", "INV-000001"), http.StatusGone},
		"without an invoice":    {link(t, l, "", "INV-000009"), http.StatusNotFound},
		"of another issuer":     {link(t, l, "ACME-FR", "INV-000001"), http.StatusNotFound},
		"of another address":    {strings.TrimPrefix(foreign, "https://staging.example"), http.StatusNotFound},
		"cut":                   {path[:len(path)-1], http.StatusNotFound},
		"without its signature": {path[:strings.LastIndex(path, ".")], http.StatusNotFound},
		"nothing":               {links.Path + "x", http.StatusNotFound},
	} {
		if r := get(c.path); r.StatusCode != c.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", name, r)
		}
	}
	into[api.ProblemError](t, s.ask(t, "", http.MethodPost, path, []byte("{}")), http.StatusUnauthorized)
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != looks {
		t.Errorf("%d looks at nothing are on record", n-looks)
	}
	for _, token := range []string{"no such token", "reader"} { // none is looked at
		if r := s.ask(t, token, http.MethodGet, path, nil); r.StatusCode != http.StatusOK {
			t.Errorf("with the token %q: %s", token, fmt.Sprint(r.StatusCode))
		}
	}

	without := serve(t, s.Rig)
	if p := into[api.ProblemError](t, without.ask(t, "", http.MethodGet, path, nil), http.StatusNotFound); !strings.Contains(p.Detail, "documents.links.url") {
		t.Error(p.Detail)
	}
}
