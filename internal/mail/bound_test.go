package mail_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"invoicer/internal/mail"
)

// A chatterbox is a server that follows a script, and at its end says something again and again until nobody listens any more.
type chatterbox struct {
	script  []string // what it answers, step by step; "TLS" agrees to TLS, and "." waits for the end of the message
	again   string
	config  *tls.Config
	atOnce  bool // TLS from the first byte
	said    int64
	stopped sync.WaitGroup
}

func (c *chatterbox) serve(l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if c.atOnce {
		conn = tls.Server(conn, c.config)
	}
	in := bufio.NewReader(conn)
	for _, answer := range c.script {
		switch answer {
		case "TLS":
			if _, err = io.WriteString(conn, "220 go on\r\n"); err != nil {
				return
			}
			conn = tls.Server(conn, c.config)
			in = bufio.NewReader(conn)
			continue
		case ".":
			for line := ""; line != ".\r\n" && err == nil; {
				line, err = in.ReadString('\n')
			}
			continue
		default:
			_, err = io.WriteString(conn, answer+"\r\n")
		}
		if err == nil {
			_, err = in.ReadString('\n')
		}
		if err != nil {
			return
		}
	}
	more := []byte(strings.Repeat(c.again, 1+4096/len(c.again)))
	const enough = 64 << 20 // whoever listens to all that listens for ever
	for c.said < enough {
		n, err := conn.Write(more)
		if c.said += int64(n); err != nil {
			return
		}
	}
}

// Whatever a server says without end, and whenever, it isn't listened to for ever: it would fill the memory.
func TestAServerThatTalksOnAndOn(t *testing.T) {
	t.Parallel()
	plain := []string{"220 hello", "250-me\r\n250 SIZE 100000000", "250 ok", "250 ok", "354 go on"}
	start := []string{"220 hello", "250-me\r\n250 STARTTLS", "TLS"}
	for name, c := range map[string]struct {
		mode   string
		script []string
		again  string
	}{
		"greeting without an end":   {mail.NoTLS, nil, "220 and "},
		"greeting of many lines":    {mail.NoTLS, nil, "220-and\r\n"},
		"extensions before TLS":     {mail.StartTLS, start[:1], "250-X-MORE\r\n"},
		"an answer to STARTTLS":     {mail.StartTLS, start[:2], "220-wait\r\n"},
		"extensions within TLS":     {mail.StartTLS, start, "250-X-MORE\r\n"},
		"greeting within TLS":       {mail.ImplicitTLS, nil, "220-and\r\n"},
		"the answer to the sender":  {mail.NoTLS, plain[:2], "250-and\r\n"},
		"the answer to the message": {mail.NoTLS, append(plain[:5:5], "."), "250-and\r\n"},
		"its line without an end":   {mail.NoTLS, append(plain[:5:5], "."), "250 and "},
		"a refusal without an end":  {mail.NoTLS, plain[:3], "550-no\r\n"},
		"no answer of SMTP":         {mail.NoTLS, plain[:1], "yes\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			config, roots := certificate(t, "127.0.0.1")
			server := &chatterbox{script: c.script, again: c.again, config: config, atOnce: c.mode == mail.ImplicitTLS}
			server.stopped.Go(func() { server.serve(l) })
			m, err := mail.New(mail.Options{Server: l.Addr().String(), TLS: c.mode, RootCAs: roots, From: "invoices@seller.test", HELO: "sender.test"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = send(t, m, letter())
			_ = l.Close()
			server.stopped.Wait()
			if err == nil {
				t.Fatal("it was sent")
			}
			_, uncertain := errors.AsType[*mail.UncertainError](err)
			_, refused := errors.AsType[*mail.RefusedError](err)
			if refused || uncertain != strings.Contains(strings.Join(c.script, " "), "354") || len(err.Error()) > 1000 {
				t.Errorf("%T %.300v", err, err)
			}
			if !strings.Contains(err.Error(), "more than is sane") && c.again != "yes\r\n" {
				t.Errorf("%.300v", err)
			}
			const inFlight = 16 << 20 // what sockets hold
			if server.said > inFlight {
				t.Errorf("it was listened to for %d bytes", server.said)
			}
		})
	}
}
