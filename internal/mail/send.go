package mail

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

// A Receipt says that a server has taken a letter.
type Receipt struct {
	MessageID string // with < and >
	Answer    string // what the server said, which often names its own id of the letter; as [Discreet] has it
}

// Send hands a letter to the server, once, over a connection of its own.
//
// No error: the server has taken it. A [*LetterError]: it can't be sent as it is, and another time neither. A [*RefusedError]: the server has said no; its
// field Permanent says whether for good. An [*UncertainError]: it may have been taken. Any other error: it wasn't taken, and may be tried again. [IsPermanent] tells them apart.
//
// If ctx ends before the end of the message was sent, nothing is delivered. After it, the answer is awaited for Options.Grace more.
func (m *Mailer) Send(ctx context.Context, l *Letter) (Receipt, error) {
	made, err := m.compose(l)
	if err != nil {
		return Receipt{}, err
	}
	s, err := m.connect(ctx)
	if err != nil {
		return Receipt{}, err
	}
	answer, err := s.hand(ctx, m.envelope, made)
	s.close(err)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{MessageID: made.id, Answer: Discreet(answer)}, nil
}

// Probe asks the server whether it would take letters: it encrypts and signs in as [Mailer.Send] does, and sends none.
func (m *Mailer) Probe(ctx context.Context) error {
	s, err := m.connect(ctx)
	if err != nil {
		return err
	}
	err = s.step(ctx, AtAuth, s.client.Noop)
	s.close(err)
	return err
}

// hand runs the one transaction of a session.
func (s *session) hand(ctx context.Context, from Address, letter *message) (answer string, err error) {
	if err := s.check(letter); err != nil {
		return "", err
	}
	// Without need, SMTPUTF8 would have the letter refused by the next server that doesn't know it.
	s.client.SkipSMTPUTF8(letter.to.isPlain())
	if err := s.step(ctx, AtSender, func() error { return s.client.Mail(from.path()) }); err != nil {
		return "", err
	}
	if err := s.step(ctx, AtRecipient, func() error { return s.client.Rcpt(letter.to.path()) }); err != nil {
		return "", err
	}
	return s.write(ctx, letter)
}

// check returns a [*LetterError] if the server has said already that it wouldn't take the letter.
func (s *session) check(letter *message) error {
	if known, _ := s.client.Extension("SMTPUTF8"); !known && !letter.to.isPlain() {
		return &LetterError{"To", "it has letters before the @ that aren't ASCII, and the server can't send to such an address (it doesn't offer SMTPUTF8)"}
	}
	if _, limit := s.client.Extension("SIZE"); limit != "" {
		most, err := strconv.ParseInt(strings.TrimSpace(limit), 10, 64)
		if err == nil && most > 0 && int64(len(letter.bytes)) > most { // 0: no bound
			return tooLarge(len(letter.bytes), int(most), "are what the server takes")
		}
	}
	return nil
}

// write sends the message, and waits for the answer.
func (s *session) write(ctx context.Context, letter *message) (answer string, err error) {
	var data *smtp.DataCloser
	err = s.step(ctx, AtData, func() error {
		w, err := s.client.Data()
		if err != nil {
			return err
		}
		known, ok := w.(*smtp.DataCloser)
		if !ok {
			return errors.New("the library can't tell what the server answers")
		}
		data = known
		return nil
	})
	if err != nil {
		return "", err
	}
	// An error from here to the end leaves the message without its end, and the server mustn't deliver it (RFC 5321, 4.1.1.4). So data isn't
	// closed then, and no command follows, not even QUIT: the library would send the end before it.
	const chunk = 256 << 10 // bytes that a step may take
	for rest := letter.bytes; len(rest) > 0; {
		part := rest[:min(chunk, len(rest))]
		rest = rest[len(part):]
		if err := s.step(ctx, AtData, func() error {
			_, err := data.Write(part)
			return err
		}); err != nil {
			return "", err
		}
	}
	if err := s.last(ctx); err != nil {
		return "", err
	}
	if err = data.Close(); err == nil {
		return data.ServerResponse(), nil
	}
	if refused, ok := errors.AsType[*RefusedError](answered(AtEnd, err)); ok {
		return "", refused
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return "", &UncertainError{MessageID: letter.id, Err: err}
}
