// Package mail sends invoices by e-mail: it makes a letter of an invoice's facts, texts and documents, hands it to one SMTP server, and says
// what came of it. It also reads what comes back.
//
// What SMTP can promise. A letter is taken by the server once [Mailer.Send] returns no error; whether it is delivered, and read, SMTP doesn't tell.
// A [*RefusedError], a [*LetterError] and an error before the end of the message mean that it wasn't taken. If the connection is lost between the end of the message
// and the server's answer, nobody can know: that is an [*UncertainError]. Whoever then sends once more delivers at least once, and twice where the
// answer alone was lost; whoever doesn't, delivers at most once. The repeat has the same Message-ID, by which many servers and programs take it
// for the same letter.
//
// Signing by DKIM is the server's: it has the keys of the sender's domain.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// How a connection is encrypted.
const (
	StartTLS    = "starttls" // turned to TLS before anything is said; a server that can't isn't spoken to
	ImplicitTLS = "implicit" // TLS from the first byte
	NoTLS       = "none"     // for a server on this machine, and in the networks of Options.Plain
)

// How we sign in.
const (
	AuthAuto    = "auto" // the first of the others that the server offers, but XOAUTH2
	AuthSCRAM   = "scram-sha-256"
	AuthPlain   = "plain"
	AuthLogin   = "login"
	AuthXOAuth2 = "xoauth2" // the password is an access token
)

// TLSModes returns how a connection may be encrypted.
func TLSModes() []string { return []string{StartTLS, ImplicitTLS, NoTLS} }

// AuthModes returns how we may sign in.
func AuthModes() []string { return []string{AuthAuto, AuthSCRAM, AuthPlain, AuthLogin, AuthXOAuth2} }

// Options say by which server letters are sent, and in whose name. Server and From are required.
type Options struct {
	Server string // host:port, or a host. Default port: 587, with implicit TLS 465, without TLS 25.
	TLS    string // of [TLSModes]. Default: starttls.
	// Plain are networks in which a server may be spoken to without TLS, beside loopback. They count with TLS none alone.
	Plain []netip.Prefix
	// RootCAs are whom the server's certificate is from. Default: those that the machine trusts.
	RootCAs *x509.CertPool

	User, Password string // both or none
	Auth           string // of [AuthModes]. Default: auto.

	// From is whom letters are from: invoices@acme.example, or Acme <invoices@acme.example>. Without a name, it is the seller's.
	From string
	// ReplyTo is where answers go. Default: to From.
	ReplyTo string
	// Envelope is where refusals that come later go (bounces). Default: to From.
	Envelope string
	// HELO is how this machine names itself. Default: its name, or its address if that isn't one.
	HELO string

	// Texts are what letters say. Default: [DefaultTexts].
	Texts *Texts
	// MaxSize is how many bytes a letter may have, as it is sent, attachments included. Default: 10,000,000.
	MaxSize int
	// Timeout is how long the server may take for each step. Default: 30s.
	Timeout time.Duration
	// Patience is how long the server may take to answer after the end of the message, where a lost answer costs most. Default: 10 minutes, which is
	// what RFC 5321 asks for.
	Patience time.Duration
	// Grace is how long an answer is still waited for if ctx ends after the end of the message. Default: 5s.
	Grace time.Duration
	// Now is the clock of the letters' dates. Default: time.Now.
	Now func() time.Time
}

// A Problem is what is wrong with an option.
type Problem struct {
	Field   string // of [Options]
	Message string // the end of a sentence that begins with the field
}

// DefaultMaxSize is how many bytes a letter may have, if nothing else is said.
const DefaultMaxSize = 10_000_000

// A Mailer sends letters by one server. Several goroutines may use it; each letter has a connection of its own.
type Mailer struct {
	o        Options
	host     string
	port     string
	from     Address
	replyTo  Address
	envelope Address
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// New returns a Mailer. Its error names each option that is wrong.
func New(o Options) (*Mailer, error) {
	m, problems := newMailer(o)
	if len(problems) == 0 {
		return m, nil
	}
	texts := make([]string, len(problems))
	for n, p := range problems {
		texts[n] = p.Field + " " + p.Message
	}
	return nil, fmt.Errorf("mail: %s", strings.Join(texts, "; "))
}

// Problems returns all that is wrong with the options; none, and [New] returns no error. What they say contains no password.
func (o Options) Problems() []Problem {
	_, problems := newMailer(o)
	return problems
}

func newMailer(o Options) (*Mailer, []Problem) {
	var problems []Problem
	wrong := func(field, format string, values ...any) {
		problems = append(problems, Problem{field, fmt.Sprintf(format, values...)})
	}
	o.setDefaults()
	m := &Mailer{o: o, dial: (&net.Dialer{Timeout: o.Timeout}).DialContext}
	if !slices.Contains(TLSModes(), o.TLS) {
		wrong("TLS", "%q is none of: %s", o.TLS, strings.Join(TLSModes(), ", "))
	}
	if !slices.Contains(AuthModes(), o.Auth) {
		wrong("Auth", "%q is none of: %s", o.Auth, strings.Join(AuthModes(), ", "))
	}
	var err error
	if m.host, m.port, err = serverOf(o.Server, o.TLS); err != nil {
		wrong("Server", "%v", err)
	} else if ip, err := netip.ParseAddr(m.host); o.TLS == NoTLS && err == nil && !o.mayBePlain(ip) {
		wrong("TLS", "%s isn't on this machine: without TLS, passwords and invoices would be read on the way; use starttls, or allow its network", m.host)
	}
	for _, a := range []struct {
		field, text string
		to          *Address
	}{{"From", o.From, &m.from}, {"ReplyTo", o.ReplyTo, &m.replyTo}, {"Envelope", o.Envelope, &m.envelope}} {
		if a.text == "" && a.field != "From" {
			continue
		}
		if *a.to, err = ParseAddress(a.text); err != nil {
			wrong(a.field, "isn't right: %v", err)
		} else if !a.to.isPlain() {
			wrong(a.field, "has letters before the @ that aren't ASCII, which few servers can answer to")
		}
	}
	if m.envelope == (Address{}) {
		m.envelope = m.from
	}
	switch {
	case o.User != "" && o.Password == "":
		wrong("Password", "is missing: User needs it")
	case o.User == "" && o.Password != "":
		wrong("User", "is missing: whose is the password?")
	}
	if o.HELO != "" && !isMachine(o.HELO) {
		wrong("HELO", "%q is no name of a machine, such as mail.example.com", o.HELO)
	}
	const least, most = 10_000, 100_000_000
	if o.MaxSize < least || o.MaxSize > most {
		wrong("MaxSize", "%d must be from %d to %d bytes", o.MaxSize, least, most)
	}
	return m, problems
}

func (o *Options) setDefaults() {
	if o.TLS == "" {
		o.TLS = StartTLS
	}
	if o.Auth == "" {
		o.Auth = AuthAuto
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Texts == nil {
		o.Texts = DefaultTexts()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// serverOf splits host:port, and adds the port that goes with a way to encrypt.
func serverOf(server, mode string) (host, port string, err error) {
	if server == "" {
		return "", "", fmt.Errorf("is missing: which server sends letters?")
	}
	host, port, err = net.SplitHostPort(server)
	if err != nil {
		host = strings.Trim(server, "[]")
		port = map[string]string{ImplicitTLS: "465", NoTLS: "25"}[mode]
		if port == "" {
			port = "587"
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q has no port from 1 to 65535", server)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, port, nil
	}
	if !isMachine(host) {
		return "", "", fmt.Errorf("%q is no server such as mail.example.com:587", server)
	}
	return host, port, nil
}

// isMachine reports whether a text is a machine's name.
func isMachine(name string) bool {
	ascii, err := idna.Lookup.ToASCII(name)
	return err == nil && ascii == strings.ToLower(name) && name != "" && len(name) <= maxDomain && !strings.ContainsAny(name, " _:/@")
}

// mayBePlain reports whether a server with that address may be spoken to without TLS.
func (o *Options) mayBePlain(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || slices.ContainsFunc(o.Plain, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Server returns host:port of the server.
func (m *Mailer) Server() string { return net.JoinHostPort(m.host, m.port) }

// helo returns how this machine names itself to a server: a name, or an address as RFC 5321 spells one.
func (m *Mailer) helo(local net.Addr) string {
	if m.o.HELO != "" {
		return m.o.HELO
	}
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && isMachine(name) {
		return name
	}
	if addr, err := netip.ParseAddrPort(local.String()); err == nil {
		ip := addr.Addr().Unmap()
		if ip.Is6() {
			return "[IPv6:" + ip.WithZone("").String() + "]"
		}
		return "[" + ip.String() + "]"
	}
	return "localhost"
}

func (m *Mailer) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: m.host, RootCAs: m.o.RootCAs, MinVersion: tls.VersionTLS12}
}
