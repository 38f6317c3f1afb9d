package mail_test

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"net/netip"
	"strings"
	"testing"

	"invoicer/internal/mail"
	"invoicer/invoice/document"
)

// listenTLS starts a receiver that speaks TLS from the first byte.
func listenTLS(t *testing.T) *receiver {
	t.Helper()
	r := listen(t, nil)
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.TLSConfig)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	go func() { _ = r.Serve(l) }() // ends when the receiver does
	return r
}

func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address beside loopback")
	return netip.Addr{}
}

func prefixOf(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func decode64(t *testing.T, part *multipart.Part) []byte {
	t.Helper()
	content, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
	if err != nil || part.Header.Get("Content-Transfer-Encoding") != "base64" {
		t.Fatal(err, part.Header)
	}
	return content
}

func idOf(t *testing.T, message string) string {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get("Message-Id")
}

func offline(t testing.TB, change func(*mail.Options)) *mail.Mailer {
	t.Helper()
	o := mail.Options{Server: "mail.seller.test", From: "invoices@seller.test"}
	if change != nil {
		change(&o)
	}
	m, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Whatever names and numbers are, no field of theirs becomes a header or a recipient.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	const bad = "x\r\nBcc: thief@evil.test\r\n\r\nbody\n.\n\u202egnp.exe"
	m := offline(t, nil)
	l := letter()
	l.Facts.Number, l.Facts.Seller, l.Facts.Buyer, l.Facts.Reference, l.Facts.Due = bad, bad, bad, bad, bad
	l.Attachments[0].Name = bad
	text, err := m.Message(l)
	if err != nil {
		t.Fatal(err)
	}
	read, err := netmail.ReadMessage(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Header["Bcc"]) > 0 || len(read.Header["To"]) != 1 || strings.Contains(string(text), "\r\nBcc") || strings.Contains(string(text), "\nBcc") {
		t.Errorf("%v", read.Header)
	}
	for name, change := range map[string]func(*mail.Letter){
		"To: it has characters":         func(l *mail.Letter) { l.To = "a@b.test\r\nRCPT TO:<thief@evil.test>" },
		"To: there is more than one":    func(l *mail.Letter) { l.To = "a@b.test, thief@evil.test" },
		"To: it is no address":          func(l *mail.Letter) { l.To = "a@b.test> SIZE=1 <x" },
		"To: it is empty":               func(l *mail.Letter) { l.To = " " },
		"Key: it must":                  func(l *mail.Letter) { l.Key = "" },
		"is no media type":              func(l *mail.Letter) { l.Attachments[0].MediaType = "a/b\r\nBcc: thief@evil.test" },
		"Attachments: one has no name":  func(l *mail.Letter) { l.Attachments[0].Name = ".. " },
		"bytes, and 10000000 are allow": func(l *mail.Letter) { l.Attachments[0].Content = make([]byte, 7_500_000) },
	} {
		l := letter()
		change(l)
		if _, err := m.Message(l); err == nil || !strings.Contains(err.Error(), name) || !mail.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ada@example.test": "ada@example.test", " Ada <ada@EXAMPLE.test> ": "ada@example.test", "ada+invoices@example.test": "ada+invoices@example.test",
		"ada@bücher.test": "ada@xn--bcher-kva.test", `"a b"@example.test`: `"a b"@example.test`, "o'neil@example.test": "o'neil@example.test",
	} {
		if a, err := mail.ParseAddress(text); err != nil || a.String() != want {
			t.Errorf("%q is %q, %v", text, a, err)
		}
	}
	for _, text := range []string{
		"", "ada", "@example.test", "ada@", "ada@[192.0.2.1]", "ada@exa mple.test", "a@b.test;c@d.test", "ada@example..test", "ada@-x.test", "ada@example.test\n",
		strings.Repeat("a", 65) + "@example.test", "a@" + strings.Repeat("a.", 130) + "test", "ada\u202e@example.test", "\"a\rb\"@example.test", "ada@exam\u200bple.test",
	} {
		if a, err := mail.ParseAddress(text); err == nil {
			t.Errorf("%q is taken as %q", text, a)
		} else if len(text) > 4 && strings.Contains(err.Error(), text) {
			t.Errorf("the error tells the address: %v", err)
		}
	}
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	d := &document.Document{}
	if a := mail.AddressOf(d); a != "" {
		t.Error(a)
	}
	d.Buyer.Endpoint = &document.Identifier{Scheme: "0088", ID: "x@y"}
	if a := mail.AddressOf(d); a != "" {
		t.Error(a)
	}
	d.Buyer.Endpoint.Scheme = "EM"
	if a := mail.AddressOf(d); a != "x@y" {
		t.Error(a)
	}
	d.Buyer.Contact = &document.Contact{Name: "Ada"}
	if a := mail.AddressOf(d); a != "x@y" {
		t.Error(a)
	}
	d.Buyer.Contact.Email = " ada@example.test"
	if a := mail.AddressOf(d); a != "ada@example.test" {
		t.Error(a)
	}
}

// All that is wrong with the options is told at once, and no password.
func TestProblems(t *testing.T) {
	t.Parallel()
	o := mail.Options{
		Server: "ma il:99999", TLS: "ssl", Auth: "md5", Password: "secret stuff", From: "nobody", ReplyTo: "é@b.test", Envelope: "a@b@c", HELO: "a b", MaxSize: 5,
	}
	fields := make(map[string]bool)
	for _, p := range o.Problems() {
		fields[p.Field] = true
		if strings.Contains(p.Message, "secret") {
			t.Error(p)
		}
	}
	for _, field := range []string{"Server", "TLS", "Auth", "User", "From", "ReplyTo", "Envelope", "HELO", "MaxSize"} {
		if !fields[field] {
			t.Errorf("nothing is said of %s", field)
		}
	}
	if _, err := mail.New(o); err == nil || !strings.Contains(err.Error(), "MaxSize") {
		t.Error(err)
	}
	for server, want := range map[string]string{"mail.test": "mail.test:587", "mail.test:2525": "mail.test:2525", "[::1]:25": "[::1]:25", "::1": "[::1]:587"} {
		if m := offline(t, func(o *mail.Options) { o.Server = server }); m.Server() != want {
			t.Errorf("%s is %s", server, m.Server())
		}
	}
}

// Without a name in From, a letter is from the seller.
func TestSenderIsTheSeller(t *testing.T) {
	t.Parallel()
	text, err := offline(t, nil).Message(letter())
	if err != nil || !strings.Contains(string(text), "From: \"Lindqvist & Moreau\" <invoices@seller.test>\r\n") {
		t.Errorf("%v\n%.500s", err, text)
	}
}
