package handovers_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/handovers"
	"invoicer/internal/rig"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

func asLater(err error, to **handovers.LaterError) bool { return errors.As(err, to) }

// A channel is one in words.
type channel func(ctx context.Context, p *handovers.Parcel) (handovers.Answer, error)

func (c channel) Hand(ctx context.Context, p *handovers.Parcel) (handovers.Answer, error) {
	return c(ctx, p)
}

func (c channel) Ask(ctx context.Context, p *handovers.Parcel, _ string) (handovers.Answer, error) {
	return c(ctx, p)
}

func taken(context.Context, *handovers.Parcel) (handovers.Answer, error) {
	return handovers.Answer{State: handover.Accepted, ID: "1"}, nil
}

// A channel that never answers holds no other one up, nor does one that panics.
func TestASlowChannelHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 20)
	began := make(chan struct{}, 20)
	slow := func(ctx context.Context, _ *handovers.Parcel) (handovers.Answer, error) {
		began <- struct{}{}
		<-ctx.Done()
		return handovers.Answer{}, ctx.Err()
	}
	b.work(t, handovers.Route{Name: "one", Channel: channel(slow), Timeout: time.Hour}, handovers.Route{Name: "two", Channel: channel(taken)})
	<-began
	rig.Eventually(t, "the fast channel to be done", func() bool {
		return b.Count(t, "SELECT count(*) FROM handovers WHERE channel = 'two' AND state = 'accepted'") == 20
	})
	if n := b.Count(t, "SELECT count(*) FROM handovers WHERE channel = 'one' AND state = 'queued' AND error IS NULL"); n != 20 {
		t.Errorf("%d wait for the slow one", n)
	}
}

// What the other side says while the worker ends is recorded, and what is broken off is due again at once.
func TestAWorkerThatEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	began := make(chan struct{}, 2)
	late := func(ctx context.Context, p *handovers.Parcel) (handovers.Answer, error) {
		began <- struct{}{}
		<-ctx.Done()
		return taken(context.WithoutCancel(ctx), p)
	}
	broken := func(ctx context.Context, _ *handovers.Parcel) (handovers.Answer, error) {
		began <- struct{}{}
		<-ctx.Done()
		return handovers.Answer{}, ctx.Err()
	}
	stop := b.work(t, handovers.Route{Name: "one", Channel: channel(late), Timeout: time.Hour}, handovers.Route{Name: "two", Channel: channel(broken), Timeout: time.Hour})
	<-began
	<-began
	stop()
	if got := b.state(t, "one", 1); got != "accepted 1" {
		t.Errorf("what was answered: %s", got)
	}
	if n := b.Count(t, "SELECT count(*) FROM handovers WHERE channel = 'two' AND state = 'queued' AND error LIKE '%the worker ended' AND due_at < now() + interval '1 minute'"); n != 1 {
		t.Errorf("what was broken off: %s", b.state(t, "two", 1))
	}
}

// answers is a channel that says one thing when it is handed a parcel, and another one when it is asked.
func answers(hand, ask handovers.Answer) channel {
	return func(_ context.Context, p *handovers.Parcel) (handovers.Answer, error) {
		if p.Documents != nil {
			return hand, nil
		}
		return ask, nil
	}
}

// Who accepts an invoice may say with which id it is cleared; who clears it may have another id for it.
func TestAClearanceBesideTheID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	b.work(t, handovers.Route{Name: "one", Channel: answers(handovers.Answer{State: handover.Sent, ID: "GW-1"}, handovers.Answer{State: handover.Accepted, Clearance: "CLR-1"}), AskEvery: time.Millisecond},
		handovers.Route{Name: "two", Channel: answers(handovers.Answer{State: handover.Cleared, ID: "GW-2", Clearance: "CLR-2"}, handovers.Answer{})})
	for name, want := range map[string]string{"one": "accepted GW-1 CLR-1", "two": "cleared GW-2 CLR-2"} {
		rig.Eventually(t, name+": "+want, func() bool { return b.state(t, name, 1) == want })
	}
}

// Only an answer of cleared has the id of a clearance: what was accepted without one lets no credit note go.
func TestAcceptedIsNoClearance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	sent, accepted := handovers.Answer{State: handover.Sent, ID: "GW-1"}, handovers.Answer{State: handover.Accepted}
	b.work(t, handovers.Route{Name: "one", Channel: answers(sent, accepted), AskEvery: time.Millisecond},
		handovers.Route{Name: "two", Channel: answers(handovers.Answer{State: handover.Cleared, ID: "CLR-1"}, handovers.Answer{State: handover.Accepted, ID: "X"}), AskEvery: time.Millisecond, AskOn: true})
	for name, want := range map[string]string{"one": "accepted GW-1", "two": "accepted CLR-1 CLR-1"} {
		rig.Eventually(t, name+" to be accepted", func() bool { return strings.HasPrefix(b.state(t, name, 1), "accepted") })
		if got := b.state(t, name, 1); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestAPanicIsAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	b.work(t, handovers.Route{Name: "one", Channel: channel(func(context.Context, *handovers.Parcel) (handovers.Answer, error) { panic("index") })}, handovers.Route{Name: "two", Channel: channel(taken)})
	rig.Eventually(t, "both", func() bool {
		return b.state(t, "one", 1) == "queued: panic: index" && b.state(t, "two", 1) == "accepted 1"
	})
}

// Nothing is handed over before its documents are there.
func TestNothingIsHandedOverBeforeItsDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	handed := make(chan int, 9)
	count := func(_ context.Context, p *handovers.Parcel) (handovers.Answer, error) {
		handed <- len(p.Documents)
		return handovers.Answer{State: handover.Sent}, nil
	}
	stop := b.workWith(t, maker(func(f document.Format) ([]byte, error) {
		if f == document.AsPDF {
			return nil, errors.New("no font")
		}
		return []byte("x"), nil
	}), handovers.Route{Name: "one", Channel: channel(count), Formats: []document.Format{document.AsUBL, document.AsPDF}})
	rig.Eventually(t, "it to fail", func() bool { return b.state(t, "one", 1) == "queued: its document can't be made: no font" })
	stop()
	if len(handed) != 0 {
		t.Error("it was handed over")
	}
	b.hurry(t)
	b.work(t, handovers.Route{Name: "one", Channel: channel(count), Formats: []document.Format{document.AsUBL, document.AsPDF}})
	if n := <-handed; n != 2 {
		t.Errorf("with %d documents", n)
	}
}

// What nobody takes is given up after its time, and not before.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	away := func(context.Context, *handovers.Parcel) (handovers.Answer, error) {
		return handovers.Answer{}, &handovers.SaidError{What: "away", Text: "see you"}
	}
	b.work(t, handovers.Route{Name: "one", Channel: channel(away), GiveUp: time.Hour})
	rig.Eventually(t, "it to fail", func() bool { return b.state(t, "one", 1) == "queued: away: see you" })
	b.Exec(t, "ALTER TABLE handovers DISABLE TRIGGER handovers_steps; UPDATE handovers SET changed_at = now() - interval '61 minutes', due_at = now() WHERE channel = 'one'; ALTER TABLE handovers ENABLE TRIGGER handovers_steps")
	rig.Eventually(t, "it to be given up", func() bool { return b.state(t, "one", 1) == "failed: away: see you" })
}

// What waits for another invoice is tried for ever: nobody was asked to take it yet.
func TestWhatWaitsForAnInvoiceIsNotGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, 1, 1)
	b.Exec(t, "ALTER TABLE handovers DISABLE TRIGGER handovers_steps; UPDATE handovers SET changed_at = now() - interval '61 minutes'; ALTER TABLE handovers ENABLE TRIGGER handovers_steps")
	awaits := maker(func(document.Format) ([]byte, error) {
		return nil, &document.AwaitedError{Number: "INV-1", Credited: true, TransactionID: "ord-9"}
	})
	stop := b.workWith(t, awaits, handovers.Route{Name: "one", Channel: channel(taken), GiveUp: time.Hour})
	rig.Eventually(t, "it to wait", func() bool {
		return strings.HasPrefix(b.state(t, "one", 1), `queued: its document can't be made: document INV-1: it credits the transaction "ord-9"`)
	})
	stop()
	b.hurry(t)
	b.work(t, handovers.Route{Name: "one", Channel: channel(taken), GiveUp: time.Hour})
	rig.Eventually(t, "it to be taken", func() bool { return b.state(t, "one", 1) == "accepted 1" })
}

// A program gets what docs/handover.md says, in a folder that is gone afterwards, and nothing else.
func TestAProgram(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	p := script(t, `cat > `+out+`/stdin; pwd > `+out+`/pwd; env > `+out+`/env; ls -l > `+out+`/ls; cat INV-1.xml > `+out+`/xml; echo '{"state":"cleared","id":"CLR-1"}'`)
	if a, err := p.Hand(t.Context(), parcel()); err != nil || a != (handovers.Answer{State: handover.Cleared, ID: "CLR-1"}) {
		t.Fatalf("%+v, %v", a, err)
	}
	got := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	if stdin := got("stdin"); !strings.HasPrefix(stdin, `{"action":"hand","key":"0f0e","channel":"one","issuer":"ACME","number":"INV-1","kind":"credit_note","clearance":"CLR-0","documents":[{"format":"ubl","name":"INV-1.xml"`) || strings.Contains(stdin, "content") {
		t.Error(stdin)
	}
	if _, err := os.Stat(got("pwd")); !errors.Is(err, os.ErrNotExist) || got("xml") != "<ubl/>" || !strings.Contains(got("ls"), "-rw-------") {
		t.Errorf("%v: %s", err, got("ls"))
	}
	for line := range strings.Lines(got("env")) {
		switch name, _, _ := strings.Cut(line, "="); name {
		case "PATH", "LANG", "TMPDIR", "HOME", "PWD", "OLDPWD", "SHLVL", "_":
		default:
			t.Errorf("it sees %s", name)
		}
	}
}

// Each way in which a program can end means what docs/handover.md says.
func TestHowAProgramEnds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"exit 0":                             "sent ",
		`echo '{"state":"accepted"}'`:        "accepted ",
		"echo no street; exit 65":            "rejected no street",
		"echo no street >&2; exit 65":        "rejected no street",
		`echo '{"text":"no city"}'; exit 65`: "rejected no city",
		"exit 75":                            "! the program wants to be run again (exit code 75)",
		"echo secret >&2; exit 1":            "! the program ended with exit code 1",
		"kill -9 $$":                         "! the program was ended by a signal",
		"echo hello":                         "! the program wrote what isn't an answer: no JSON such as {\"state\":\"sent\",\"id\":\"…\",\"text\":\"…\"}",
		"head -c 70000 /dev/zero":            "! the program wrote more than 65536 bytes",
		"head -c 70000000 /dev/zero >&2":     "sent ",
	} {
		a, err := script(t, text).Hand(t.Context(), parcel())
		got := string(a.State) + " " + a.Text
		if err != nil {
			got = "! " + err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if _, err := (&handovers.Program{Command: []string{"/there/is/none"}}).Hand(t.Context(), parcel()); err == nil || !strings.Contains(err.Error(), "can't be run") {
		t.Error(err)
	}
}

// A program that hangs is killed with its children when its time is over, and with one that has ended go the children that it left.
func TestAProgramIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"hangs": "sleep 1000 & echo $! > OUT; sleep 1000",
		"ends":  "sleep 1000 & echo $! > OUT",
	} {
		out := filepath.Join(t.TempDir(), "pid")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		a, err := script(t, strings.ReplaceAll(text, "OUT", out)).Hand(ctx, parcel())
		cancel()
		if name == "hangs" && (err == nil || err.Error() != "the program didn't end in time, and was ended") || name == "ends" && (err != nil || a.State != handover.Sent) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, "the child to end", func() bool {
			stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err == nil && strings.Contains(string(stat), ") Z ")
		})
	}
}
