package mail_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"invoicer/internal/mail"
)

// Wherever the connection is lost, it is said whether the letter may have arrived: after its end alone.
func TestConnectionIsLost(t *testing.T) {
	t.Parallel()
	cut := func(c *smtp.Conn) error {
		_ = c.Conn().Close()
		return errors.New("lost")
	}
	for name, change := range map[string]func(*receiver){
		"sender":    func(r *receiver) { r.onMail = cut },
		"recipient": func(r *receiver) { r.onRcpt = cut },
		"message": func(r *receiver) {
			r.onData = func(c *smtp.Conn, body io.Reader) error {
				if _, err := io.CopyN(io.Discard, body, 1000); err != nil {
					return err
				}
				return cut(c)
			}
		},
		"end": func(r *receiver) { r.onEnd = cut },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, change)
			l := letter()
			l.Attachments[0].Content = bytes.Repeat([]byte("x"), 5_000_000) // more than the sockets hold
			m := r.mailer(t, nil)
			_, err := send(t, m, l)
			uncertain, ok := errors.AsType[*mail.UncertainError](err)
			_, refused := errors.AsType[*mail.RefusedError](err)
			if err == nil || refused || ok != (name == "end") || mail.IsPermanent(err) {
				t.Fatalf("%T %v", err, err)
			}
			if !ok {
				if len(r.got()) > 0 {
					t.Error("it arrived")
				}
				return
			}
			// Sent once more, it has the same Message-ID.
			r.onEnd = nil
			receipt, err := send(t, m, l)
			if err != nil || receipt.MessageID != uncertain.MessageID {
				t.Errorf("%+v %v, and before %s", receipt, err, uncertain.MessageID)
			}
			if got := r.got(); len(got) != 2 || idOf(t, got[0].message) != idOf(t, got[1].message) {
				t.Errorf("%d arrived", len(got))
			}
		})
	}
}

// Nothing is delivered if the sender gives up within the message: the library would end it before QUIT.
func TestGivingUpWithinTheMessage(t *testing.T) {
	t.Parallel()
	reading, done := make(chan struct{}), make(chan error, 1)
	r := listen(t, func(r *receiver) {
		r.onData = func(_ *smtp.Conn, body io.Reader) error {
			if _, err := io.CopyN(io.Discard, body, 1000); err != nil {
				return err
			}
			close(reading)
			_, err := io.Copy(io.Discard, body)
			done <- err
			return err
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-reading
		cancel()
	}()
	l := letter()
	l.Attachments[0].Content = bytes.Repeat([]byte("x"), 15_000_000)
	_, err := r.mailer(t, func(o *mail.Options) { o.MaxSize = 100_000_000 }).Send(ctx, l)
	if _, uncertain := errors.AsType[*mail.UncertainError](err); uncertain || !errors.Is(err, context.Canceled) {
		t.Errorf("%T %v", err, err)
	}
	if err := <-done; err == nil {
		t.Error("the server saw the end of the message")
	}
	if len(r.got()) > 0 {
		t.Error("it arrived")
	}
}

// A fickle context ends when it is asked for the n-th time, so that each point at which a sender looks is tried, and not the moment that a signal finds.
type fickle struct {
	context.Context //nolint:containedctx // it is one, with another end
	left            atomic.Int64
}

func (f *fickle) Err() error {
	if f.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// Wherever the sender gives up, nothing is delivered before it has said the end. (The library would end a message before it says QUIT.)
func TestGivingUpAnywhere(t *testing.T) {
	t.Parallel()
	const enough = 200
	r := listen(t, nil)
	m := r.mailer(t, nil)
	l := letter()
	l.Attachments[0].Content = bytes.Repeat([]byte("x"), 600_000) // some steps of writing
	for n := range enough {
		ctx := &fickle{Context: t.Context()}
		ctx.left.Store(int64(n))
		_, err := m.Send(ctx, l)
		if err == nil {
			if n < 10 {
				t.Errorf("it asked %d times", n)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%d: %v", n, err)
		}
		if n == enough-1 {
			t.Error("it never sends")
		}
	}
	// Its server has seen all that came, once it has ended all sessions.
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.got(); len(got) != 1 {
		t.Errorf("%d letters arrived", len(got))
	}
}

// A server that takes its time is waited for as long as the options say; after the end of the message even if the context has ended.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	t.Run("step", func(t *testing.T) {
		t.Parallel()
		hold := make(chan struct{})
		r := listen(t, func(r *receiver) {
			r.onRcpt = func(*smtp.Conn) error { <-hold; return nil }
		})
		t.Cleanup(func() { close(hold) })
		_, err := send(t, r.mailer(t, func(o *mail.Options) { o.Timeout = 300 * time.Millisecond }), letter())
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || mail.IsPermanent(err) {
			t.Errorf("%T %v", err, err)
		}
	})
	t.Run("answer", func(t *testing.T) {
		t.Parallel()
		hold := make(chan struct{})
		r := listen(t, func(r *receiver) {
			r.onEnd = func(*smtp.Conn) error { <-hold; return nil }
		})
		t.Cleanup(func() { close(hold) })
		_, err := send(t, r.mailer(t, func(o *mail.Options) { o.Patience = 300 * time.Millisecond }), letter())
		if _, uncertain := errors.AsType[*mail.UncertainError](err); !uncertain {
			t.Errorf("%T %v", err, err)
		}
	})
	t.Run("grace", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := listen(t, func(r *receiver) {
			r.onEnd = func(*smtp.Conn) error { cancel(); return nil } // the answer comes after the context has ended
		})
		if _, err := r.mailer(t, nil).Send(ctx, letter()); err != nil {
			t.Error(err)
		}
	})
	t.Run("grace ends", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		hold := make(chan struct{})
		r := listen(t, func(r *receiver) {
			r.onEnd = func(*smtp.Conn) error { cancel(); <-hold; return nil }
		})
		t.Cleanup(func() { close(hold) })
		_, err := r.mailer(t, func(o *mail.Options) { o.Grace = 200 * time.Millisecond }).Send(ctx, letter())
		if _, uncertain := errors.AsType[*mail.UncertainError](err); !uncertain || !errors.Is(err, context.Canceled) {
			t.Errorf("%T %v", err, err)
		}
	})
}
