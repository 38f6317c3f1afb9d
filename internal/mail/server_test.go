package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"invoicer/internal/mail"
)

const (
	user     = "billing"
	password = "correct horse battery staple"
)

// A receiver is an SMTP server on a port of loopback that keeps what it is sent. Its hooks are called at each step; an error of theirs is its
// answer.
type receiver struct {
	*smtp.Server

	addr  string
	roots *x509.CertPool

	onMail, onRcpt func(c *smtp.Conn) error
	onData         func(c *smtp.Conn, r io.Reader) error // before the message is read
	onEnd          func(c *smtp.Conn) error              // after it was read, and kept
	mechanisms     []string

	mu       sync.Mutex
	letters  []taken
	sessions int
	signedIn []string // passwords, as they came
}

type taken struct {
	from, to string
	utf8     bool
	message  string
}

// listen starts a receiver with a certificate for the names.
func listen(t testing.TB, change func(*receiver)) *receiver {
	t.Helper()
	r := &receiver{mechanisms: []string{"PLAIN", "LOGIN"}}
	r.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sessions++
		return &session{r: r, c: c}, nil
	}))
	r.Domain, r.ErrorLog = "receiver.test", log.New(io.Discard, "", 0)
	r.TLSConfig, r.roots = certificate(t, "127.0.0.1")
	if change != nil {
		change(r)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Serve(l)
	}()
	t.Cleanup(func() {
		_ = r.Close()
		<-done
	})
	return r
}

func certificate(t testing.TB, ip string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(made)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, roots
}

// got returns what was taken so far.
func (r *receiver) got() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]taken(nil), r.letters...)
}

func (r *receiver) passwords() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.signedIn...)
}

// options are those of a sender that trusts the receiver.
func (r *receiver) options() mail.Options {
	return mail.Options{
		Server: r.addr, RootCAs: r.roots, User: user, Password: password, From: "Lindqvist & Moreau <invoices@seller.test>",
		Timeout: 20 * time.Second, HELO: "sender.test",
	}
}

func (r *receiver) mailer(t testing.TB, change func(*mail.Options)) *mail.Mailer {
	t.Helper()
	o := r.options()
	if change != nil {
		change(&o)
	}
	m, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type session struct {
	r    *receiver
	c    *smtp.Conn
	here taken
}

func (s *session) AuthMechanisms() []string { return s.r.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	judge := func(name, pass string) error {
		s.r.mu.Lock()
		s.r.signedIn = append(s.r.signedIn, pass)
		s.r.mu.Unlock()
		if name != user || pass != password {
			return smtp.ErrAuthFailed
		}
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, name, pass string) error { return judge(name, pass) }), nil
	case "LOGIN":
		return &loginServer{judge: judge}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// loginServer is LOGIN, of which the library has the client alone.
type loginServer struct {
	judge func(name, pass string) error
	step  int
	name  string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.name = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.judge(l.name, string(response))
}

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.here = taken{from: from, utf8: o.UTF8}
	if s.r.onMail != nil {
		return s.r.onMail(s.c)
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.here.to = to
	if s.r.onRcpt != nil {
		return s.r.onRcpt(s.c)
	}
	return nil
}

func (s *session) Data(body io.Reader) error {
	if s.r.onData != nil {
		if err := s.r.onData(s.c, body); err != nil {
			return err
		}
	}
	message, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	s.here.message = string(message)
	s.r.mu.Lock()
	s.r.letters = append(s.r.letters, s.here)
	s.r.mu.Unlock()
	if s.r.onEnd != nil {
		return s.r.onEnd(s.c)
	}
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
