package handovers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/handovers"
	"invoicer/internal/mail"
	"invoicer/internal/rig"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

// A filter takes whole letters, and cuts the connection before it says so, when it may.
type filter struct {
	letters chan string
	cut     <-chan struct{} // closed: at once
}

func (f *filter) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	_, _ = fmt.Fprint(c, "220 filter.example\r\n") // of one that has gone, the next line can't be read
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.ToUpper(line), "DATA") {
			_, _ = fmt.Fprint(c, "250 fine\r\n")
			continue
		}
		_, _ = fmt.Fprint(c, "354 go on\r\n")
		var letter strings.Builder
		for line != ".\r\n" {
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
			letter.WriteString(line)
		}
		f.letters <- letter.String()
		<-f.cut
		return
	}
}

// mailed is a channel that sends by a filter.
func mailed(t *testing.T, f *filter) *handovers.Email {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			busy.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); busy.Wait() }) // it listens no more
	m, err := mail.New(mail.Options{Server: l.Addr().String(), TLS: mail.NoTLS, From: "invoices@seller.example", Grace: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	say := func(context.Context, int64) (*document.Document, error) {
		d := &document.Document{Number: "INV-1"}
		d.Buyer.Contact = &document.Contact{Email: "ap@buyer.example"}
		return d, nil
	}
	return &handovers.Email{Mailer: m, Say: say}
}

// A letter of which nobody knows whether the server took it comes again after ten minutes, twice, and then not by itself; an operator may have it sent again.
func TestALetterInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	cut := make(chan struct{})
	close(cut)
	f := &filter{letters: make(chan string, 9), cut: cut}
	b.work(t, handovers.Route{Name: "one", Channel: mailed(t, f)})
	const paused = "state = 'queued' AND error LIKE '%nobody knows%' AND due_at > now() + interval '9 minutes' AND their_id LIKE '<%'"
	for n := 1; n <= 2; n++ {
		rig.Eventually(t, "the doubt to be noted", func() bool {
			return b.Is(t, "SELECT bool_or("+paused+" AND doubts = $1) FROM handovers WHERE channel = 'one'", n)
		})
		b.Exec(t, "UPDATE handovers SET due_at = now() WHERE channel = 'one'")
	}
	rig.Eventually(t, "it to be given up", func() bool { return strings.HasPrefix(b.state(t, "one", 1), "failed <") })
	if got := b.state(t, "one", 1); !strings.Contains(got, "nobody knows") || !strings.Contains(got, "may have arrived") || !strings.Contains(got, "handover resend") || !strings.Contains(got, "handover cancel") {
		t.Error(got)
	}
	if len(f.letters) != 3 {
		t.Errorf("%d letters", len(f.letters))
	}
	id := b.Count(t, "SELECT id FROM handovers WHERE channel = 'one'")
	if err := b.store.Handovers.Decide(t.Context(), int64(id), handover.Order{To: handover.Queued, By: "ada"}); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "it to be sent again", func() bool {
		return len(f.letters) == 4 && b.Is(t, "SELECT bool_or("+paused+" AND doubts = 1) FROM handovers WHERE channel = 'one'")
	})
}

// Where a worker ends while the server has the whole letter, the doubt is kept, and no other worker sends it at once.
func TestAWorkerThatEndsInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	cut := make(chan struct{})
	f := &filter{letters: make(chan string, 9), cut: cut}
	channel := mailed(t, f)
	t.Cleanup(func() { close(cut) })
	stop := b.work(t, handovers.Route{Name: "one", Channel: channel, Timeout: time.Minute})
	<-f.letters
	stop()
	if got := b.state(t, "one", 1); !strings.Contains(got, "nobody knows") || !b.Is(t, "SELECT doubts = 1 AND due_at > now() + interval '9 minutes' FROM handovers WHERE channel = 'one'") {
		t.Error(got)
	}
}
