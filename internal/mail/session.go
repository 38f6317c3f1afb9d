package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// A session is one connection to a server that was encrypted and signed in to.
type session struct {
	o      *Options
	conn   *bounded // below TLS
	client *smtp.Client
	stop   func() bool // ends the watch over a context
}

// connect opens a session. Its errors are those of [Mailer.Send].
func (m *Mailer) connect(ctx context.Context) (*session, error) {
	dialed, err := m.dial(ctx, "tcp", m.Server())
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	conn := &bounded{Conn: dialed}
	s := &session{o: &m.o, conn: conn}
	s.stop = context.AfterFunc(ctx, s.interrupt)
	if err := s.open(ctx, m); err != nil {
		s.stop()
		_ = conn.Close() // the error is the reason
		return nil, err
	}
	return s, nil
}

func (s *session) open(ctx context.Context, m *Mailer) error {
	var conn net.Conn = s.conn
	switch m.o.TLS {
	case NoTLS:
		remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil || !m.o.mayBePlain(remote.Addr()) {
			return fmt.Errorf("mail: %s is at %s, which isn't on this machine: without TLS, passwords and invoices would be read on the way; use starttls, or allow its network",
				m.host, conn.RemoteAddr())
		}
	case ImplicitTLS:
		encrypted := tls.Client(conn, m.tlsConfig())
		if err := s.step(ctx, AtTLS, func() error { return encrypted.HandshakeContext(ctx) }); err != nil {
			return m.explain(err)
		}
		conn = encrypted
	}
	err := s.step(ctx, AtGreeting, func() (err error) {
		if s.client, err = smtp.NewClient(conn, m.host); err != nil {
			return err
		}
		return s.client.Hello(m.helo(conn.LocalAddr()))
	})
	if err != nil {
		return err
	}
	if m.o.TLS == StartTLS {
		if offered, _ := s.client.Extension("STARTTLS"); !offered {
			return fmt.Errorf("mail: %s doesn't offer STARTTLS, or somebody on the way has taken that out: nothing was sent", m.Server())
		}
		if err := s.step(ctx, AtTLS, func() error { return s.client.StartTLS(m.tlsConfig()) }); err != nil {
			return m.explain(err)
		}
	}
	return s.signIn(ctx, m)
}

// explain says what to do about a certificate.
func (m *Mailer) explain(err error) error {
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return fmt.Errorf("%w: %s isn't who it claims to be, or its certificate is from somebody whom this machine doesn't trust; nothing was sent", err, m.Server())
	}
	return err
}

// signIn signs in, if there is a user.
func (s *session) signIn(ctx context.Context, m *Mailer) error {
	if m.o.User == "" {
		return nil
	}
	_, list := s.client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(list))
	ways := []string{AuthSCRAM, AuthPlain, AuthLogin}
	if m.o.Auth != AuthAuto {
		ways = []string{m.o.Auth}
	}
	at := slices.IndexFunc(ways, func(way string) bool { return slices.Contains(offered, strings.ToUpper(way)) })
	if at < 0 {
		return fmt.Errorf("mail: %s offers none of the ways to sign in that we may use (%s): it offers %q", m.Server(), strings.Join(ways, ", "), list)
	}
	plain := m.o.TLS == NoTLS // which was allowed for this server
	var auth smtp.Auth
	switch ways[at] {
	case AuthSCRAM:
		auth = smtp.ScramSHA256Auth(m.o.User, m.o.Password)
	case AuthPlain:
		auth = smtp.PlainAuth("", m.o.User, m.o.Password, m.host, plain)
	case AuthLogin:
		auth = smtp.LoginAuth(m.o.User, m.o.Password, m.host, plain)
	case AuthXOAuth2:
		auth = smtp.XOAuth2Auth(m.o.User, m.o.Password)
	}
	return s.step(ctx, AtAuth, func() error { return s.client.Auth(auth) })
}

// step runs a part of the conversation, which the server may take Options.Timeout and [mostSaid] bytes for.
func (s *session) step(ctx context.Context, stage Stage, do func() error) error {
	if err := s.conn.SetDeadline(time.Now().Add(s.o.Timeout)); err != nil {
		return fmt.Errorf("mail: %s: %w", stage, err)
	}
	if ctx.Err() != nil { // it may have ended just before the deadline was set anew
		return fmt.Errorf("mail: %s: %w", stage, context.Cause(ctx))
	}
	s.conn.allow(mostSaid)
	err := do()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("mail: %s: %w (%w)", stage, context.Cause(ctx), err)
	}
	return answered(stage, err)
}

// interrupt ends what waits for the server.
func (s *session) interrupt() {
	_ = s.conn.SetDeadline(time.Unix(1, 0)) // a closed connection waits for nothing
}

// last prepares for the answer that says whether the letter was taken. Its error says that ctx has ended.
func (s *session) last(ctx context.Context) error {
	if !s.stop() || ctx.Err() != nil {
		return fmt.Errorf("mail: %s: %w", AtData, context.Cause(ctx))
	}
	if err := s.conn.SetDeadline(time.Now().Add(s.o.Patience)); err != nil {
		return fmt.Errorf("mail: %s: %w", AtData, err)
	}
	s.conn.allow(mostSaid)
	s.stop = context.AfterFunc(ctx, func() {
		_ = s.conn.SetDeadline(time.Now().Add(s.o.Grace)) // as in interrupt
	})
	return nil
}

// close ends the session. It takes leave only where the server waits for a command: where nothing went wrong, or it has refused something.
func (s *session) close(err error) {
	s.stop()
	_, refused := errors.AsType[*RefusedError](err)
	_, unfit := errors.AsType[*LetterError](err)
	if err == nil || refused || unfit {
		const moment = 2 * time.Second
		_ = s.conn.SetDeadline(time.Now().Add(moment)) // if it fails, so does what follows
		_ = s.client.Quit()                            // what was to be known is known
	}
	_ = s.conn.Close()
}
