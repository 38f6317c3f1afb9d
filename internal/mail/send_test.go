package mail_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"invoicer/internal/mail"
)

func letter() *mail.Letter {
	return &mail.Letter{
		To: "Stadtbibliothek Nordhausen <eingang@bibliothek.test>", Language: "de", Key: "invoice 1 to eingang@bibliothek.test",
		Facts: mail.Facts{
			Number: "INV-000001", Date: "30. November 2026", Seller: "Lindqvist & Moreau", Buyer: "Stadtbibliothek", Total: "4.711,00 €",
			Payable: "3.711,00 €", Due: "30. Dezember 2026", Reference: "INV-000001",
		},
		Attachments: []mail.Attachment{
			{Name: "INV-000001.pdf", MediaType: "application/pdf", Content: bytes.Repeat([]byte("%PDF-1.7\r\n.\r\n"), 100)},
			{Name: "Größe/Übersicht.xml", MediaType: "application/xml", Content: []byte("<Invoice/>")},
		},
	}
}

func send(t *testing.T, m *mail.Mailer, l *mail.Letter) (mail.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	return m.Send(ctx, l)
}

// What was sent is what comes out at the other side, read by another library.
func TestSend(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{mail.StartTLS, mail.ImplicitTLS} {
		for _, auth := range []string{mail.AuthAuto, mail.AuthLogin, mail.AuthPlain} {
			t.Run(mode+" "+auth, func(t *testing.T) {
				t.Parallel()
				r := listen(t, nil)
				o := r.options()
				if mode == mail.ImplicitTLS {
					r = listenTLS(t)
					o = r.options()
				}
				o.TLS, o.Auth, o.ReplyTo, o.Envelope = mode, auth, "answers@seller.test", "bounces@seller.test"
				o.Now = func() time.Time { return time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC) }
				m, err := mail.New(o)
				if err != nil {
					t.Fatal(err)
				}
				receipt, err := send(t, m, letter())
				if err != nil {
					t.Fatal(err)
				}
				got := r.got()
				if len(got) != 1 || got[0].from != "bounces@seller.test" || got[0].to != "eingang@bibliothek.test" || got[0].utf8 {
					t.Fatalf("taken: %+v", got)
				}
				if receipt.Answer == "" || receipt.MessageID != m.MessageID(letter().Key) {
					t.Errorf("receipt %+v", receipt)
				}
				compare(t, got[0].message, receipt.MessageID)
				if p := r.passwords(); len(p) != 1 || p[0] != password {
					t.Errorf("passwords %q", p)
				}
			})
		}
	}
}

func compare(t *testing.T, text, id string) {
	t.Helper()
	for n, line := range strings.Split(text, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") || strings.IndexFunc(line, func(r rune) bool { return r > 126 }) >= 0 {
			t.Errorf("line %d isn't of plain mail: %q", n, line)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	decoder := new(mime.WordDecoder)
	for name, want := range map[string]string{
		"From": `"Lindqvist & Moreau" <invoices@seller.test>`, "To": `"Stadtbibliothek Nordhausen" <eingang@bibliothek.test>`,
		"Reply-To": "<answers@seller.test>", "Subject": "Rechnung INV-000001 von Lindqvist & Moreau", "Message-Id": id,
		"Date": "Tue, 01 Dec 2026 09:00:00 +0000", "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "OOF, AutoReply", "Mime-Version": "1.0",
	} {
		if got, err := decoder.DecodeHeader(m.Header.Get(name)); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	body, err := parts.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	words, err := io.ReadAll(quotedprintable.NewReader(body))
	if err != nil || body.Header.Get("Content-Type") != "text/plain; charset=UTF-8" {
		t.Fatal(err, body.Header)
	}
	want := "Guten Tag,\r\n\r\nanbei erhalten Sie unsere Rechnung INV-000001 vom 30. November 2026 über 4.711,00 €.\r\n\r\n" +
		"Bitte zahlen Sie 3.711,00 € bis zum 30. Dezember 2026 und geben Sie als Verwendungszweck INV-000001 an.\r\n\r\n" +
		"Mit freundlichen Grüßen\r\nLindqvist & Moreau"
	if strings.TrimSpace(string(words)) != want {
		t.Errorf("body %q, want %q", words, want)
	}
	for n, a := range letter().Attachments {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		how, named, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || how != "attachment" || named["filename"] != []string{"INV-000001.pdf", "Größe-Übersicht.xml"}[n] {
			t.Errorf("attachment %d: %q %v", n, part.Header, err)
		}
		if kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind != a.MediaType {
			t.Errorf("attachment %d is %s", n, kind)
		}
		content := decode64(t, part)
		if !bytes.Equal(content, a.Content) {
			t.Errorf("attachment %d has %d bytes, not the %d that were sent", n, len(content), len(a.Content))
		}
	}
	if _, err := parts.NextRawPart(); !errors.Is(err, io.EOF) {
		t.Errorf("there is more: %v", err)
	}
}

// Each refusal says where it came from, whether it is for good, and nothing of the address.
func TestRefused(t *testing.T) {
	t.Parallel()
	const about = "<eingang@bibliothek.test>: "
	cases := map[string]struct {
		at        mail.Stage
		code      int
		enhanced  smtp.EnhancedCode
		said      string
		permanent bool
		words     string
	}{
		"sender":       {mail.AtSender, 550, smtp.EnhancedCode{5, 7, 1}, "sender not allowed", false, "refused the sender with 550 5.7.1"},
		"sender later": {mail.AtSender, 451, smtp.EnhancedCode{4, 7, 1}, "try later", false, "451 4.7.1"},
		"unknown":      {mail.AtRecipient, 550, smtp.EnhancedCode{5, 1, 1}, about + "user unknown", true, "refused the address with 550 5.1.1: there is no such mailbox"},
		"full":         {mail.AtRecipient, 452, smtp.EnhancedCode{4, 2, 2}, about + "over quota", false, "452 4.2.2: the mailbox is full"},
		"grey":         {mail.AtRecipient, 451, smtp.EnhancedCode{4, 7, 1}, "greylisted", false, "451 4.7.1"},
		"relay":        {mail.AtRecipient, 554, smtp.EnhancedCode{5, 7, 1}, about + "Relay access denied", false, "the server doesn't relay for us"},
		"no relay":     {mail.AtRecipient, 550, smtp.NoEnhancedCode, "relay not permitted", false, "the server doesn't relay for us"},
		"relay table":  {mail.AtRecipient, 550, smtp.EnhancedCode{5, 1, 1}, about + "User unknown in relay recipient table", true, "there is no such mailbox"},
		"relay's name": {mail.AtRecipient, 550, smtp.EnhancedCode{5, 7, 1}, "relay3.example: not allowed, see relay.example", true, "it isn't allowed"},
		"closed":       {mail.AtRecipient, 550, smtp.EnhancedCode{5, 2, 1}, "relay3.example says: relaying denied", true, "the mailbox is closed"},
		"syntax":       {mail.AtRecipient, 501, smtp.EnhancedCode{5, 1, 3}, "bad recipient address syntax", true, "501 5.1.3: it is no address"},
		"arguments":    {mail.AtRecipient, 501, smtp.EnhancedCode{5, 5, 4}, "bad arguments", false, "501 5.5.4"},
		"late sender":  {mail.AtRecipient, 550, smtp.EnhancedCode{5, 1, 8}, "sender's domain not found", false, "550 5.1.8"},
		"end relay":    {mail.AtEnd, 550, smtp.EnhancedCode{5, 1, 1}, "relay3.example: no such user, relay access denied", true, "there is no such mailbox"},
		"signing in":   {mail.AtRecipient, 530, smtp.EnhancedCode{5, 7, 0}, "authentication required", false, "530 5.7.0"},
		"no code":      {mail.AtRecipient, 550, smtp.NoEnhancedCode, about + "no", true, "refused the address with 550"},
		"spam":         {mail.AtEnd, 554, smtp.EnhancedCode{5, 7, 1}, "looks like spam", true, "refused the message with 554 5.7.1"},
		"disk":         {mail.AtEnd, 452, smtp.EnhancedCode{4, 3, 1}, "no space", false, "452 4.3.1"},
		"going down":   {mail.AtEnd, 421, smtp.EnhancedCode{4, 3, 2}, "shutting down", false, "421 4.3.2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, func(r *receiver) {
				answer := func(*smtp.Conn) error {
					return &smtp.SMTPError{Code: c.code, EnhancedCode: c.enhanced, Message: c.said}
				}
				switch c.at {
				case mail.AtSender:
					r.onMail = answer
				case mail.AtRecipient:
					r.onRcpt = answer
				case mail.AtEnd:
					r.onEnd = answer
				}
			})
			_, err := send(t, r.mailer(t, nil), letter())
			refused, ok := errors.AsType[*mail.RefusedError](err)
			if !ok {
				t.Fatalf("%T %v", err, err)
			}
			enhanced := fmt.Sprintf("%d.%d.%d", c.enhanced[0], c.enhanced[1], c.enhanced[2])
			if c.enhanced == smtp.NoEnhancedCode {
				enhanced = ""
			}
			text := strings.ReplaceAll(c.said, "eingang@bibliothek.test", "address")
			if refused.Stage != c.at || refused.Code != c.code || refused.Enhanced != enhanced || refused.Text != text || refused.Permanent != c.permanent {
				t.Errorf("%+v", refused)
			}
			if mail.IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "eingang") {
				t.Error(err)
			}
		})
	}
}

// A server without STARTTLS, or one from which somebody has taken it out, learns no password and no letter; nor does one with another's certificate.
func TestNothingIsSaidWithoutTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server func(*receiver)
		sender func(*mail.Options)
		words  string
	}{
		"stripped":      {func(r *receiver) { r.TLSConfig, r.AllowInsecureAuth = nil, true }, nil, "doesn't offer STARTTLS"},
		"unknown":       {nil, func(o *mail.Options) { o.RootCAs = x509.NewCertPool() }, "whom this machine doesn't trust"},
		"other machine": {func(r *receiver) { r.TLSConfig, r.roots = certificate(t, "127.0.0.9") }, nil, "isn't who it claims to be"},
		"not TLS":       {nil, func(o *mail.Options) { o.TLS = mail.ImplicitTLS }, "STARTTLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, c.server)
			m := r.mailer(t, c.sender)
			_, err := send(t, m, letter())
			if err == nil || !strings.Contains(err.Error(), c.words) || mail.IsPermanent(err) || strings.Contains(err.Error(), password) {
				t.Errorf("%v", err)
			}
			if len(r.passwords()) > 0 || len(r.got()) > 0 {
				t.Errorf("said: %q, %d letters", r.passwords(), len(r.got()))
			}
		})
	}
}

// Without TLS, a server on this machine alone is spoken to, or one in a network that is allowed.
func TestPlain(t *testing.T) {
	t.Parallel()
	r := listen(t, func(r *receiver) { r.TLSConfig, r.AllowInsecureAuth = nil, true })
	if _, err := send(t, r.mailer(t, func(o *mail.Options) { o.TLS = mail.NoTLS }), letter()); err != nil {
		t.Error(err)
	}
	own := ownAddress(t)
	l, err := net.Listen("tcp", net.JoinHostPort(own.String(), "0"))
	if err != nil {
		t.Skip("no other address than loopback:", err)
	}
	go func() { _ = r.Serve(l) }()
	o := r.options()
	o.TLS, o.Server = mail.NoTLS, l.Addr().String()
	if problems := o.Problems(); len(problems) != 1 || problems[0].Field != "TLS" {
		t.Errorf("%v", problems)
	}
	o.Plain = append(o.Plain, prefixOf(own))
	m, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send(t, m, letter()); err != nil {
		t.Error(err)
	}
	// A name is looked up by each connection, and what it leads to counts.
	o.Server, o.Plain = "mail.seller.test:25", nil
	if m, err = mail.New(o); err != nil {
		t.Fatal(err)
	}
	m.LeadTo(l.Addr().String())
	said := len(r.passwords())
	if _, err := send(t, m, letter()); err == nil || !strings.Contains(err.Error(), "isn't on this machine") || len(r.passwords()) > said {
		t.Error(err)
	}
}

// A wrong password is for an operator to mend: no letter is refused for good.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	r := listen(t, nil)
	m := r.mailer(t, func(o *mail.Options) { o.Password = "wrong" })
	for _, err := range []error{m.Probe(t.Context()), func() error { _, err := send(t, m, letter()); return err }()} {
		refused, ok := errors.AsType[*mail.RefusedError](err)
		if !ok || refused.Stage != mail.AtAuth || refused.Code != 535 || refused.Permanent || strings.Contains(err.Error(), "wrong password") {
			t.Errorf("%T %v", err, err)
		}
	}
	if err := r.mailer(t, nil).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := r.mailer(t, func(o *mail.Options) { o.Auth = mail.AuthSCRAM }).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "offers none of the ways") {
		t.Error(err)
	}
	if len(r.got()) > 0 {
		t.Error("a probe sends no letter")
	}
}

// What the server has said that it won't take isn't sent.
func TestWhatTheServerCannotTake(t *testing.T) {
	t.Parallel()
	r := listen(t, func(r *receiver) { r.MaxMessageBytes = 50_000 })
	m := r.mailer(t, nil)
	l := letter()
	l.Attachments[0].Content = make([]byte, 60_000)
	if _, err := send(t, m, l); !mail.IsPermanent(err) || !strings.Contains(err.Error(), "50000 are what the server takes") {
		t.Error(err)
	}
	l = letter()
	l.To = "Zoë <zoë@bücher.test>"
	if _, err := send(t, m, l); !mail.IsPermanent(err) || !strings.Contains(err.Error(), "SMTPUTF8") {
		t.Error(err)
	}
	l.To = "zoe@bücher.test"
	if _, err := send(t, m, l); err != nil {
		t.Error(err)
	}
	if got := r.got(); len(got) != 1 || got[0].to != "zoe@xn--bcher-kva.test" {
		t.Errorf("%+v", got)
	}
	r = listen(t, func(r *receiver) { r.EnableSMTPUTF8 = true })
	m = r.mailer(t, nil)
	l.To = "zoë@bücher.test"
	for _, to := range []string{l.To, "zoe@example.test"} {
		l.To = to
		if _, err := send(t, m, l); err != nil {
			t.Error(err)
		}
	}
	if got := r.got(); len(got) != 2 || got[0].to != "zoë@xn--bcher-kva.test" || !got[0].utf8 || got[1].utf8 {
		t.Errorf("%+v", got)
	}
}

// Many at once, from one Mailer.
func TestMany(t *testing.T) {
	t.Parallel()
	const letters, at = 100, 10
	r := listen(t, nil)
	m := r.mailer(t, nil)
	var group sync.WaitGroup
	for n := range at {
		group.Go(func() {
			for k := range letters / at {
				l := letter()
				l.Key = fmt.Sprint(n, "/", k)
				if _, err := send(t, m, l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	ids := make(map[string]bool)
	for _, one := range r.got() {
		ids[idOf(t, one.message)] = true
	}
	if len(ids) != letters || len(r.got()) != letters {
		t.Errorf("%d letters, %d ids", len(r.got()), len(ids))
	}
}

// A server that doesn't relay for us has nothing against the letter; one whose answer merely has the word in it may have.
func TestRelaying(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"554 5.7.1 <a@b.example>: Relay access denied":                                      true,
		"550 5.7.1 <a@b.example>... Relaying denied. Proper authentication required.":       true,
		"550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain":                 true,
		"550 5.7.64 TenantAttribution; Relay Access Denied [VE1EUR01.protection.example]":   true,
		"550 5.7.1 Invalid credentials for relay [192.0.2.7]. The IP address doesn't match": true,
		"550 relay not permitted":                                        true,
		"550 Relaying to b.example is not allowed":                       true,
		"550 We do not relay.":                                           true,
		"550 We don't relay":                                             true,
		"550 This system is not configured to relay mail from 192.0.2.7": true,
		"513 Relaying denied.":                                           true,
		"550 relay.b.example says: no such user":                         false,
		"550 5.7.1 relay3.b.example: not allowed":                        false,
		"550 5.7.1 Message is not relay.b.example policy":                false,
		"550 5.7.1 blocked by the relay service for spam":                false,
		"550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in relay recipient table": false,
		"550 5.4.1 Recipient address rejected: relay access denied":                                  false,
	} {
		refused := mail.Refused(mail.AtRecipient, text)
		if refused.Permanent == want || strings.Contains(refused.Error(), "relay for us") != want {
			t.Errorf("%s: %+v %v", text, refused, refused)
		}
	}
}
