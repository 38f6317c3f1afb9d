package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"invoicer/events"
	"invoicer/internal/rig"
)

// buildGateway returns the gateway of the examples.
func buildGateway(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "gateway")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../examples/gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return program
}

// serveGateway starts it, and returns its URL.
func serveGateway(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return "http://" + strings.TrimSpace(address) + "/invoices"
}

// parcels returns what a gateway has taken, by the number of the invoice: how often, and what it quotes.
func parcels(t *testing.T, state string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "GW-*"))
	must(t, err)
	taken := make(map[string][]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		var p struct {
			Number, Quotes string
			Repeated       int
		}
		if json.Unmarshal(text, &p) == nil { // one that is just being written is none yet
			taken[p.Number] = append(taken[p.Number], fmt.Sprint(p.Quotes, p.Repeated))
		}
	}
	return taken
}

// asksFor accepts jobs, one on each line.
func (s *site) asksFor(t *testing.T, jobs string) {
	t.Helper()
	if code, _, stderr := s.run(t, jobs, "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
}

func jobLine(transaction string, replace ...string) string {
	return strings.NewReplacer(append([]string{"\n", ""}, replace...)...).Replace(fmt.Sprintf(grossJob, transaction)) + "\n"
}

// Real processes: a worker is killed after the gateway took a parcel, and before it answers. Each invoice gets there once, by its key, though others fail
// and hang; the one without a street is rejected; a credit note waits for the clearance of its invoice, and quotes it.
func TestInvoicesAreHandedOver(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	gateway := buildGateway(t)
	state, archive, secret := t.TempDir(), t.TempDir(), events.NewSecret()
	configured := func(url, timeout string) *site {
		return s.with("INVOICER_EVENTS_ALLOW=127.0.0.0/8", `INVOICER_DOCUMENTS_CHANNELS=[
{"name":"authority","kind":"https","url":"`+url+`","secret":"`+secret+`","formats":["ubl"],"timeout":"`+timeout+`","ask_every":"1s","await_clearance":true},
{"name":"archive","kind":"program","command":["`+gateway+`","-state","`+archive+`"],"formats":["pdf","facturx"]}]`)
	}
	first := configured(serveGateway(t, gateway, "-state", state, "-secret", secret, "-hang", "1"), "1m")
	w := first.start(t, "worker")
	w.await(t, "worker started")
	const invoices = 6
	var jobs strings.Builder
	for n := range invoices {
		jobs.WriteString(jobLine(fmt.Sprint("T", n)))
	}
	s.asksFor(t, jobs.String())
	rig.Eventually(t, "a parcel", func() bool { return len(parcels(t, state)) >= 1 })
	w.signal(t, syscall.SIGKILL)
	w.exit(t)
	s.asksFor(t, jobLine("bad", `"line1":"Rynek 2",`, ""))

	second := configured(serveGateway(t, gateway, "-state", state, "-secret", secret, "-fail", "0.3", "-hang", "0.2", "-clear-after", "2s", "-need-street", "-need-clearance"), "2s")
	for range 2 {
		second.start(t, "worker").await(t, "worker started")
	}
	s.asksFor(t, jobLine("C0", `"version":2`, `"version":2,"credits_transaction_id":"T0"`, `"quantity":"`, `"quantity":"-`))
	rig.Eventually(t, "all to be answered for", func() bool {
		s.Exec(t, "UPDATE handovers SET due_at = now() WHERE due_at > now() AND (error IS NOT NULL OR due_at > now() + interval '20 seconds')") // what failed, or was in the killed one's hand
		return s.Count(t, "SELECT count(*) FROM handovers WHERE state IN ('cleared', 'rejected')") == 2*(invoices+2)
	})
	taken := parcels(t, state)
	if len(taken) != invoices+2 || len(parcels(t, archive)) != invoices+2 {
		t.Errorf("taken were %v, and %v", taken, parcels(t, archive))
	}
	for number, keys := range taken {
		if len(keys) != 1 {
			t.Errorf("%s was taken by %d keys", number, len(keys))
		}
	}
	if got := s.Text(t, "SELECT string_agg(state || ': ' || answer, ',') FROM handovers h JOIN invoices i ON i.id = h.invoice_id WHERE transaction_id = 'bad' AND channel = 'authority'"); got != "rejected: the buyer has no street" {
		t.Error(got)
	}
	clearance := s.Text(t, "SELECT clearance FROM handovers h JOIN invoices i ON i.id = h.invoice_id WHERE transaction_id = 'T0' AND channel = 'authority'")
	note := s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = 'C0'")
	if got := taken[note]; len(got) != 1 || !strings.HasPrefix(got[0], clearance) || clearance == "" {
		t.Errorf("the credit note quotes %v, not %s", got, clearance)
	}

	bad := s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = 'bad'")
	if out := s.must(t, "handover", "list", "--state", "rejected", "--channel", "authority"); !strings.Contains(out, bad) || !strings.Contains(out, "no street") || strings.Contains(out, note) {
		t.Errorf("the list has:\n%s", out)
	}
	if code, _, stderr := s.run(t, "", "handover", "resend", bad); code != exitUsage || !strings.Contains(stderr, "archive") {
		t.Errorf("without a channel: %d %s", code, stderr)
	}
	if code, _, stderr := s.run(t, "", "handover", "resend", note, "--channel", "authority"); code != exitFailed || !strings.Contains(stderr, "has taken it") {
		t.Errorf("cleared, and sent again: %d %s", code, stderr)
	}
	if out := s.must(t, "handover", "resend", bad, "--channel", "authority", "--by", "ada", "--reason", "asked them"); !strings.Contains(out, "will be handed over again") {
		t.Error(out)
	}
	rig.Eventually(t, "it to be rejected again", func() bool {
		s.Exec(t, "UPDATE handovers SET due_at = now() WHERE due_at > now() AND error IS NOT NULL")
		return s.Count(t, "SELECT count(*) FROM handover_log WHERE state = 'rejected'") == 2
	})
	s.must(t, "handover", "cancel", bad, "--channel", "authority", "--by", "ada", "--reason", "by post")
	if out := s.must(t, "handover", "show", bad); !strings.Contains(out, "asked them") || !strings.Contains(out, "by post") || !strings.Contains(out, "cancelled") {
		t.Errorf("it shows:\n%s", out)
	}
	if out := s.must(t, "handover", "answer", note, "--channel", "authority", "--state", "accepted", "--text", "by telephone", "--json"); !strings.Contains(out, `"by telephone"`) {
		t.Error(out)
	}
	s.must(t, "audit")
}

// What an operator notes of an invoice says for whom it matters: credit notes wait for a clearance.
func TestAnAnswerWithoutTheClearance(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_EVENTS_ALLOW=127.0.0.0/8", `INVOICER_DOCUMENTS_CHANNELS=[
{"name":"authority","kind":"https","url":"http://127.0.0.1:1","secret":"`+events.NewSecret()+`","formats":["ubl"],"await_clearance":true}]`)
	s.start(t, "worker").await(t, "worker started")
	s.asksFor(t, jobLine("T0"))
	rig.Eventually(t, "the invoice", func() bool { return s.Count(t, "SELECT count(*) FROM handovers") == 1 })
	s.asksFor(t, jobLine("C0", `"version":2`, `"version":2,"credits_transaction_id":"T0"`, `"quantity":"`, `"quantity":"-`))
	rig.Eventually(t, "the credit note", func() bool { return s.Count(t, "SELECT count(*) FROM handovers") == 2 })
	number := s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = 'T0'")
	note := s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = 'C0'")
	s.Exec(t, "UPDATE handovers SET in_hand = true, turn = turn + 1, due_at = now() + interval '1 minute' WHERE credits IS NULL")
	for _, command := range []string{"resend", "cancel"} {
		if code, _, stderr := s.run(t, "", "handover", command, number, "--by", "ada"); code != exitLater || !strings.Contains(stderr, number+", through authority: a worker is handing it over") {
			t.Errorf("%s of what is in hand: exit code %d: %s", command, code, stderr)
		}
	}
	if out := s.must(t, "handover", "list", "--state", "queued"); !strings.Contains(out, "a worker is handing it over") {
		t.Error(out)
	}
	code, stdout, stderr := s.run(t, "", "handover", "answer", number, "--state", "accepted", "--by", "ada")
	if code != exitOK || !strings.Contains(stdout, "it is accepted") || !strings.Contains(stderr, "without a clearance") || !strings.Contains(stderr, note) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if out := s.must(t, "handover", "list", "--state", "queued"); !strings.Contains(out, "won't come by itself") {
		t.Error(out)
	}
	if code, _, stderr := s.run(t, "", "handover", "answer", note, "--state", "accepted", "--by", "ada"); code != exitOK || strings.Contains(stderr, "clearance") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A program that isn't there is a mistake of the configuration.
func TestAChannelWithoutItsProgram(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	code, _, stderr := s.with(`INVOICER_DOCUMENTS_CHANNELS=[{"name":"archive","kind":"program","command":["/there/is/none"],"formats":["pdf"]}]`).run(t, "", "worker")
	if code != exitUsage || !strings.Contains(stderr, "documents.channels") || !strings.Contains(stderr, "/there/is/none") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if n := s.Count(t, "SELECT count(*) FROM handover_channels"); n != 0 {
		t.Errorf("%d channels are owed something", n)
	}
}
