package mail_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/mail"
)

const bouncedID = "<0123456789abcdef0123456789abcdef.invoice@seller.test>"

func TestReadBounce(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]mail.Bounce{
		"postfix": {
			Recipient: "Eingang@bibliothek.test", Action: "failed", Status: "5.1.1", Permanent: true,
			Diagnostic: "550 5.1.1 <address>: Recipient address rejected: User unknown in virtual mailbox table",
		},
		"exim": {Recipient: "eingang@bibliothek.test", Action: "failed", Status: "5.0.0", Permanent: true, Diagnostic: "552 5.3.4 Message size exceeds fixed limit"},
		"exchange": {
			Recipient: "eingang@bibliothek.test", Action: "failed", Status: "5.2.2", Permanent: true,
			Diagnostic: "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded [Stage: CreateMessage]",
		},
		"sendmail-delayed": {Recipient: "eingang@bibliothek.test", Action: "delayed", Status: "4.4.1", Diagnostic: "421 4.4.1 connection timed out"},
		"several":          {Recipient: "æda@bücher.test", Action: "failed", Status: "4.4.7", Permanent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want.MessageID = bouncedID
			text := bounce(t, name)
			for _, spelling := range []string{text, strings.ReplaceAll(text, "\n", "\r\n")} {
				if got, err := mail.ReadBounce(strings.NewReader(spelling)); err != nil || got != want {
					t.Errorf("%v\n%+v\n%+v", err, got, want)
				}
			}
			// Cut off anywhere, it is read or refused, and not read otherwise than whole.
			for n := range len(text) {
				got, err := mail.ReadBounce(strings.NewReader(text[:n]))
				if err == nil && (got.Action == "" || got.MessageID != "" && got.MessageID != bouncedID) {
					t.Fatalf("the first %d bytes are %+v", n, got)
				}
			}
		})
	}
	for _, name := range []string{"out-of-office", "read-receipt"} {
		if _, err := mail.ReadBounce(strings.NewReader(bounce(t, name))); !errors.Is(err, mail.ErrNotBounce) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mail.ReadBounce(strings.NewReader("")); !errors.Is(err, mail.ErrNotBounce) {
		t.Error(err)
	}
}

// Of an endless message no more is read than is allowed.
func TestReadBounceIsBounded(t *testing.T) {
	t.Parallel()
	text := strings.Split(bounce(t, "postfix"), "--9B1C81C0A1")[0]
	e := &endless{begin: text}
	if _, err := mail.ReadBounce(e); err == nil || e.read > mail.MaxBounce+64<<10 {
		t.Errorf("%v after %d bytes", err, e.read)
	}
}

type endless struct {
	begin string
	read  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.begin)
	if e.begin = e.begin[n:]; n == 0 {
		n = copy(p, "endless\n")
	}
	e.read += n
	return n, nil
}

func bounce(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "bounces", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func FuzzReadBounce(f *testing.F) {
	for _, name := range []string{"postfix", "exim", "exchange", "sendmail-delayed", "several", "out-of-office", "read-receipt"} {
		f.Add(bounce(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := mail.ReadBounce(strings.NewReader(text))
		if err != nil {
			if b != (mail.Bounce{}) {
				t.Errorf("%v, and %+v", err, b)
			}
			return
		}
		for _, s := range []string{b.MessageID, b.Recipient, b.Action, b.Status, b.Diagnostic} {
			if strings.ContainsAny(s, "\r\n\x00") || len(s) > 4*500 {
				t.Errorf("%q", s)
			}
		}
		if b.Action == "" || b.Permanent != (b.Action == "failed") {
			t.Errorf("%+v", b)
		}
	})
}
