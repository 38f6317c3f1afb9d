// Package links makes and reads links to documents: whoever has one may have the document that it names, until it expires.
package links

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrForged says that a text is no link that one of the keys has signed for this address.
	ErrForged = errors.New("this is no link that was made here, or its key was replaced")
	// ErrExpired says that a link led to its document, and doesn't any more.
	ErrExpired = errors.New("the link has expired")
)

// Path is the path of a link, before the text that names and signs what it leads to.
const Path = "/v1/links/"

// A Link names the document that it leads to.
type Link struct {
	Issuer string    `json:"i,omitempty"` // "" for the one without a name
	Number string    `json:"n"`           // of the invoice
	For    string    `json:"f"`           // whom it was made for, which goes on record when it is followed
	Until  time.Time `json:"-"`           // when it expires, in whole seconds

	Expires int64 `json:"e"` // Until in seconds since 1970; Make sets it
}

// Links makes and reads links. It is safe for concurrent use.
type Links struct {
	base     string
	keys     [][]byte
	lifetime time.Duration
}

// New returns what makes links that begin with base (scheme and host, without a / at the end), are signed with the first key, and expire after
// lifetime. Links that were signed with any of the keys are read. A key is whsec_ and base64, as secrets of endpoints are.
func New(base string, keys []string, lifetime time.Duration) (*Links, error) {
	l := &Links{base: base, lifetime: lifetime}
	for _, key := range keys {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
		if err != nil || len(secret) < 24 {
			return nil, errors.New("links: a key is not whsec_ and at least 24 bytes in base64")
		}
		l.keys = append(l.keys, secret)
	}
	if base == "" || len(l.keys) == 0 {
		return nil, errors.New("links: an address and a key are required")
	}
	return l, nil
}

// Make returns a link to an invoice's document, and when it expires.
func (l *Links) Make(now time.Time, issuer, number, whom string) (address string, until time.Time, err error) {
	until = now.Add(l.lifetime).Truncate(time.Second).UTC()
	text, err := json.Marshal(Link{Issuer: issuer, Number: number, For: whom, Expires: until.Unix()})
	if err != nil {
		return "", until, fmt.Errorf("a link to %s: %w", number, err)
	}
	return l.base + Path + encoding().EncodeToString(text) + "." + encoding().EncodeToString(l.sign(l.keys[0], text)), until, nil
}

// Read returns what a link leads to, of which signed is what follows [Path]. The error is [ErrForged], or [ErrExpired], and then the link is
// there, too.
func (l *Links) Read(now time.Time, signed string) (Link, error) {
	var link Link
	named, mac, _ := strings.Cut(signed, ".")
	text, err := encoding().DecodeString(named)
	if err != nil || strings.ContainsAny(signed, "\r\n") { // which the encoding passes over
		return link, ErrForged
	}
	signature, err := encoding().DecodeString(mac)
	if err != nil || !l.signed(text, signature) || json.Unmarshal(text, &link) != nil {
		return Link{}, ErrForged
	}
	link.Until = time.Unix(link.Expires, 0).UTC()
	if !now.Before(link.Until) {
		return link, ErrExpired
	}
	return link, nil
}

// encoding is strict, so that no second text reads as the same link.
func encoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

func (l *Links) signed(text, signature []byte) bool {
	right := false
	for _, key := range l.keys {
		right = hmac.Equal(l.sign(key, text), signature) || right
	}
	return right
}

// sign covers the address, too: another installation may have the same keys, and has other invoices under the same numbers.
func (l *Links) sign(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("a link to a document of invoicer\x00" + l.base + "\x00"))
	mac.Write(text)
	return mac.Sum(nil)
}
