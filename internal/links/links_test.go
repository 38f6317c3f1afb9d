package links_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"invoicer/internal/links"
)

const (
	base        = "https://invoices.example"
	first       = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	replacement = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

func made(t testing.TB, at string, keys ...string) *links.Links {
	t.Helper()
	l, err := links.New(at, keys, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var noon = time.Date(2026, 12, 1, 12, 0, 0, 999, time.UTC)

func signed(t testing.TB, l *links.Links) string {
	t.Helper()
	address, until, err := l.Make(noon, "ACME-DE", "2026/ü-000001", "erp")
	if err != nil || !until.Equal(noon.Truncate(time.Second).Add(time.Hour)) {
		t.Fatalf("until %v: %v", until, err)
	}
	text, ok := strings.CutPrefix(address, base+links.Path)
	if !ok || strings.ContainsAny(text, "/?#%+= ") {
		t.Fatal(address)
	}
	return text
}

func TestLinksLeadWhereTheyWereMadeTo(t *testing.T) {
	t.Parallel()
	l := made(t, base, first)
	text := signed(t, l)
	got, err := l.Read(noon, text)
	if err != nil || got.Issuer != "ACME-DE" || got.Number != "2026/ü-000001" || got.For != "erp" {
		t.Errorf("%+v: %v", got, err)
	}
	if _, err := l.Read(noon.Truncate(time.Second).Add(time.Hour-1), text); err != nil {
		t.Errorf("just before its end: %v", err)
	}
	if got, err := l.Read(noon.Truncate(time.Second).Add(time.Hour), text); !errors.Is(err, links.ErrExpired) || got.Until.IsZero() {
		t.Errorf("at its end: %+v %v", got, err)
	}
	for name, other := range map[string]*links.Links{"another key": made(t, base, replacement), "another address": made(t, "https://staging.example", first)} {
		if got, err := other.Read(noon, text); !errors.Is(err, links.ErrForged) || got != (links.Link{}) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	both := made(t, base, replacement, first)
	for name, of := range map[string]*links.Links{"the key that is replaced": l, "the new one": made(t, base, replacement), "both": both} {
		if _, err := both.Read(noon, signed(t, of)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Read(noon, signed(t, both)); !errors.Is(err, links.ErrForged) {
		t.Errorf("signed with the new key: %v", err)
	}
}

// No text but the one that was made is read: none with a character changed, added or left out.
func TestForgedLinks(t *testing.T) {
	t.Parallel()
	l := made(t, base, first)
	text := signed(t, l)
	for i := range len(text) {
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~+/ \r\n\x00" {
			for _, forged := range []string{text[:i] + string(c) + text[i+1:], text[:i] + string(c) + text[i:], text[:i] + text[i+1:]} {
				if forged == text {
					continue
				}
				if got, err := l.Read(noon, forged); !errors.Is(err, links.ErrForged) {
					t.Fatalf("%q: %+v %v", forged, got, err)
				}
			}
		}
	}
	for _, forged := range []string{"", ".", text + "." + text, text + "."} {
		if got, err := l.Read(noon, forged); !errors.Is(err, links.ErrForged) {
			t.Errorf("%q: %+v %v", forged, got, err)
		}
	}
}

func TestLinksNeedAnAddressAndGoodKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base string
		keys []string
	}{{"", []string{first}}, {base, nil}, {base, []string{"whsec_AAAA"}}, {base, []string{first, "hunter2"}}} {
		if _, err := links.New(c.base, c.keys, time.Hour); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", c, err)
		}
	}
}
