package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"

	"invoicer/internal/rig"
)

// A mailbox is an SMTP server that keeps what it is sent. It refuses the addresses of refused.example, and doesn't answer the first letter.
type mailbox struct {
	mu      sync.Mutex
	letters []letter
	held    chan struct{}
}

type letter struct{ to, id, text string }

func (m *mailbox) got() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.letters)
}

// letterbox is a session with it.
type letterbox struct {
	*mailbox

	to string
}

func (*letterbox) Mail(string, *smtp.MailOptions) error { return nil }
func (*letterbox) Reset()                               {}
func (*letterbox) Logout() error                        { return nil }

func (l *letterbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if l.to = to; strings.HasSuffix(to, "@refused.example") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	}
	return nil
}

func (l *letterbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	read, err := mail.ReadMessage(strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.letters = append(l.letters, letter{l.to, read.Header.Get("Message-Id"), string(text)})
	first := len(l.letters) == 1
	l.mu.Unlock()
	if first {
		<-l.held
		return errors.New("too late")
	}
	return nil
}

// listenForMail starts one, and returns its address.
func listenForMail(t *testing.T) (*mailbox, string) {
	t.Helper()
	m := &mailbox{held: make(chan struct{})}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &letterbox{mailbox: m}, nil }))
	server.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) }) // it ends with Close
	t.Cleanup(func() {
		close(m.held)
		_ = server.Close() // all connections are gone
		served.Wait()
	})
	return m, l.Addr().String()
}

// Real processes: a worker is killed after the server has a letter, and before it says so. Each invoice is one letter, which comes again as the same one;
// what is refused, has no address, or comes back is rejected, and goes elsewhere if an operator says so.
func TestInvoicesAreSentByEmail(t *testing.T) {
	t.Parallel()
	box, server := listenForMail(t)
	s := sharedSite(t).with("INVOICER_DOCUMENTS_EMAIL_SERVER="+server, "INVOICER_DOCUMENTS_EMAIL_TLS=none", "INVOICER_DOCUMENTS_EMAIL_FROM=invoices@seller.example",
		`INVOICER_DOCUMENTS_CHANNELS=[{"name":"mail","kind":"email","formats":["pdf","ubl"]}]`)
	s.asksFor(t, jobLine("killed"))
	w := s.start(t, "worker")
	rig.Eventually(t, "the first letter", func() bool { return len(box.got()) == 1 })
	w.signal(t, syscall.SIGKILL)
	w.exit(t)
	s.Exec(t, "UPDATE handovers SET due_at = now()") // its lease is over
	const plain = 4
	for n := range plain {
		s.asksFor(t, jobLine(fmt.Sprint("T", n)))
	}
	s.asksFor(t, jobLine("refused", "ap@buyer.example", "ap@refused.example"))
	s.asksFor(t, jobLine("nowhere", `,"electronic_address":{"scheme":"EM","id":"ap@buyer.example"}},`, "},"))
	for range 2 {
		s.start(t, "worker").await(t, "worker started")
	}
	state := func(transaction string) string {
		return s.Text(t, "SELECT state || ': ' || answer FROM handovers h JOIN invoices i ON i.id = h.invoice_id WHERE transaction_id = $1", transaction)
	}
	number := func(transaction string) string {
		return s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = $1", transaction)
	}
	rig.Eventually(t, "all to be at an end", func() bool {
		return s.Count(t, "SELECT count(*) FROM handovers WHERE state IN ('sent', 'rejected')") == plain+3
	})
	ids := make(map[string]int)
	for _, l := range box.got() {
		ids[l.id]++
		if l.to != "ap@buyer.example" || strings.Count(l.text, "Content-Disposition: attachment") != 2 || !strings.Contains(l.text, "application/pdf") || !strings.Contains(l.text, ".xml") {
			t.Errorf("to %s:\n%.2000s", l.to, l.text)
		}
	}
	if first := box.got()[0].id; len(ids) != plain+1 || ids[first] != 2 || len(box.got()) != plain+2 {
		t.Errorf("the letters are %v", ids)
	}
	if got := state("refused"); !strings.HasPrefix(got, "rejected: ") || !strings.Contains(got, "no such mailbox") {
		t.Error(got)
	}
	if got := state("nowhere"); !strings.HasPrefix(got, "rejected: the invoice has no e-mail address") {
		t.Error(got)
	}

	for _, to := range []string{"owner", "a@b.example, c@d.example", strings.Repeat("o", 300) + " <owner@buyer.example>"} {
		if code, _, stderr := s.run(t, "", "handover", "resend", number("nowhere"), "--to", to, "--by", "ada"); code != exitUsage || !strings.Contains(stderr, "--to") {
			t.Errorf("%s: exit code %d: %s", to, code, stderr)
		}
	}
	s.must(t, "handover", "resend", number("nowhere"), "--to", "owner@buyer.example", "--by", "ada")
	s.must(t, "handover", "resend", number("T0"), "--by", "ada", "--reason", "they lost it")
	rig.Eventually(t, "both to be sent", func() bool { return len(box.got()) == plain+4 })
	rig.Eventually(t, "both to be noted", func() bool {
		return s.Count(t, "SELECT count(*) FROM handovers WHERE state = 'sent'") == plain+2
	})
	for _, l := range box.got()[plain+2:] {
		if ids[l.id]++; ids[l.id] != 1 || l.to != "owner@buyer.example" && !strings.Contains(l.text, number("T0")) {
			t.Errorf("the letter to %s has the id of another one, or is about something else: %v", l.to, ids)
		}
	}

	back := s.Text(t, "SELECT their_id FROM handovers h JOIN invoices i ON i.id = h.invoice_id WHERE transaction_id = 'T1'")
	bounce := func(action, status string) string {
		return strings.ReplaceAll(fmt.Sprintf(`From: MAILER-DAEMON@relay.example
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; ap@buyer.example
Action: %s
Status: %s
Diagnostic-Code: smtp; 550 5.1.1 unknown user

--b
Content-Type: message/rfc822

Message-ID: %s

--b--
`, action, status, back), "\n", "\r\n")
	}
	// While it is sent once more, as after one whose answer was lost, the mail server is to come again.
	const ofT1 = " WHERE invoice_id = (SELECT id FROM invoices WHERE transaction_id = 'T1')"
	s.Exec(t, "UPDATE handovers SET state = 'queued', in_hand = true, turn = turn + 1, due_at = now() + interval '1 hour', changed_by = 'a test'"+ofT1)
	if code, stdout, stderr := s.run(t, bounce("failed", "5.1.1"), "handover", "bounce", "-", "--by", "mail server"); code != exitLater || !strings.Contains(stderr, "a worker is handing it over") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	s.Exec(t, "UPDATE handovers SET state = 'sent', in_hand = false, due_at = NULL, changed_by = NULL"+ofT1)
	for _, one := range []struct {
		message, said, state string
		code                 int
	}{
		{bounce("delayed", "4.4.1"), "nothing changes: the server is still trying (", "sent", exitOK},
		{bounce("delivered", "2.0.0"), "nothing changes: it was delivered (", "sent", exitOK},
		{bounce("relayed", "2.0.0"), "nothing changes: it was sent on to a server that", "sent", exitOK},
		{bounce("expanded", "2.0.0"), "nothing changes: it was sent on to several", "sent", exitOK},
		{strings.ReplaceAll(bounce("failed", "5.1.1"), back, "<"+strings.Repeat("0", 32)+back[33:]), "no invoice was sent with", "sent", exitLater}, // or isn't noted yet
		{strings.ReplaceAll(bounce("failed", "5.1.1"), back, "<of@others.example>"), "no invoice was sent with", "sent", exitFailed},
		{bounce("failed", "5.1.1"), "it is rejected", "rejected", exitOK},
		{bounce("failed", "5.1.1"), "rejected already", "rejected", exitOK},
		{"Subject: I am on holiday\r\n\r\nBack soon\r\n", "no notification", "rejected", exitUsage},
	} {
		code, stdout, stderr := s.run(t, one.message, "handover", "bounce", "-", "--by", "mail server")
		if code != one.code || !strings.Contains(stdout+stderr, one.said) || !strings.HasPrefix(state("T1"), one.state) {
			t.Errorf("exit code %d, %s: %s%s", code, state("T1"), stdout, stderr)
		}
	}
	cut := s.with("INVOICER_DATABASE_URL=postgres://127.0.0.1:1/x")
	if code, _, stderr := cut.run(t, bounce("failed", "5.1.1"), "handover", "bounce", "-", "--wait", "1s", "--by", "mail server"); code != exitLater {
		t.Errorf("without Postgres: exit code %d: %s", code, stderr)
	}
	if got := state("T1"); !strings.Contains(got, "unknown user") || strings.Contains(got, "ap@buyer.example") {
		t.Error(got)
	}
	s.must(t, "audit")
}

// A channel needs a server to send by, and has none of the others' keys.
func TestAChannelOfEmailIsChecked(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with(`INVOICER_DOCUMENTS_CHANNELS=[{"name":"mail","kind":"email","formats":["pdf"]}]`)
	if code, _, stderr := s.run(t, "", "worker"); code != exitUsage || !strings.Contains(stderr, "documents.email.server") || !strings.Contains(stderr, "channel mail") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	s = s.with(`INVOICER_DOCUMENTS_CHANNELS=[{"name":"mail","kind":"email","url":"https://a.example","ask_every":"1m","formats":["pdf"]}]`)
	if code, _, stderr := s.run(t, "", "worker"); code != exitUsage || !strings.Contains(stderr, "url, secret and command") || !strings.Contains(stderr, "nobody answers an e-mail") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
