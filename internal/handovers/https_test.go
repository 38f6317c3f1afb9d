package handovers_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"invoicer/events"
	"invoicer/internal/handovers"
	"invoicer/internal/rig"
	"invoicer/invoice/handover"
)

func sum(content []byte) [sha256.Size]byte { return sha256.Sum256(content) }

// parcel is one that can be handed over.
func parcel() *handovers.Parcel {
	content := []byte("<ubl/>")
	return &handovers.Parcel{
		Key: "0f0e", Channel: "one", Issuer: "ACME", Number: "INV-1", Kind: "credit_note", Clearance: "CLR-0", Since: time.Unix(1_700_000_000, 0),
		Documents: []handovers.Document{{Format: "ubl", Name: "INV-1.xml", MediaType: "application/xml", SHA256: sum(content), Content: content}},
	}
}

// What is posted is what docs/handover.md says, signed, and the same at each attempt.
func TestWhatIsPosted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []string
	var headers []http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		bodies, headers = append(bodies, r.Method+" "+r.URL.Path+" "+string(body)), append(headers, r.Header)
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"state":"sent","id":"a/b ü","more":1}`)
	}))
	defer server.Close()
	channel, secret := at(t, server.URL+"/in", time.Second)
	for range 2 {
		if a, err := channel.Hand(t.Context(), parcel()); err != nil || a != (handovers.Answer{State: handover.Sent, ID: "a/b ü"}) {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if _, err := channel.Ask(t.Context(), parcel(), "a/b ü"); err != nil {
		t.Fatal(err)
	}
	const want = `POST /in {"type":"invoice.handover","timestamp":"2023-11-14T22:13:20Z","data":{"action":"hand","key":"0f0e","channel":"one","issuer":"ACME","number":"INV-1","kind":"credit_note","clearance":"CLR-0",` +
		`"documents":[{"format":"ubl","name":"INV-1.xml","media_type":"application/xml","sha256":"`
	if !strings.HasPrefix(bodies[0], want) || !strings.HasSuffix(bodies[0], `","content":"PHVibC8+"}]}}`) || bodies[1] != bodies[0] {
		t.Errorf("posted:\n%s\n%s", bodies[0], bodies[1])
	}
	if bodies[2] != "GET /in/a/b ü " {
		t.Errorf("asked: %s", bodies[2])
	}
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range bodies {
		_, body, _ = strings.Cut(body, " /in")
		if _, body, _ = strings.Cut(body, " "); i == 2 {
			body = ""
		}
		if err := webhook.Verify([]byte(body), headers[i]); err != nil || headers[i].Get("Idempotency-Key") != "0f0e" {
			t.Errorf("request %d: %v, %v", i, err, headers[i])
		}
	}
}

// Each status means what docs/handover.md says.
func TestWhatIsAnswered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		said       string
		want       handovers.Answer
		fails      string
		afterwards time.Duration
	}{
		{status: 200, said: `{"state":"cleared","id":"CLR-1","text":"fine"}`, want: handovers.Answer{State: handover.Cleared, ID: "CLR-1", Text: "fine"}},
		{status: 204, want: handovers.Answer{State: handover.Sent}},
		{status: 201, said: "  ", want: handovers.Answer{State: handover.Sent}},
		{status: 202, said: `{"state":"accepted"}`, want: handovers.Answer{State: handover.Accepted}},
		{status: 200, said: `{"state":"accepted","id":"GW-1","clearance":"CLR-1"}`, want: handovers.Answer{State: handover.Accepted, ID: "GW-1", Clearance: "CLR-1"}},
		{status: 422, said: `{"text":"no street"}`, want: handovers.Answer{State: handover.Rejected, Text: "no street"}},
		{status: 409, said: `{"state":"rejected","id":"x"}`, want: handovers.Answer{State: handover.Rejected, ID: "x"}},
		{status: 409, said: `{"state":"sent","id":"x"}`, fails: "it answered 409 Conflict"},
		{status: 409, said: `a request with this key is under way`, fails: "it answered 409 Conflict"},
		{status: 422, said: `no street`, want: handovers.Answer{State: handover.Rejected, Text: "no street"}},
		{status: 200, said: `<html>`, fails: "it answered 200 with what isn't an answer"},
		{status: 200, said: strings.Repeat(" ", 70_000), fails: "more than 65536 bytes"},
		{status: 302, fails: "redirects aren't followed"},
		{status: 401, said: "who?", fails: "it answered 401 Unauthorized"},
		{status: 503, said: "later", fails: "it answered 503", afterwards: 90 * time.Second},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			if c.afterwards > 0 {
				w.Header().Set("Retry-After", fmt.Sprint(int(c.afterwards.Seconds())))
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.said)
		}))
		channel, _ := at(t, server.URL, time.Second)
		a, err := channel.Hand(t.Context(), parcel())
		server.Close()
		if a != c.want && c.fails == "" || (err == nil) != (c.fails == "") || err != nil && (c.fails == "" || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%d %.20q: %+v, %v", c.status, c.said, a, err)
		}
		if err != nil && c.said != "" && len(c.said) < 100 && strings.Contains(err.Error(), c.said) {
			t.Errorf("what it said would get into a log: %v", err)
		}
		var later *handovers.LaterError
		if c.afterwards > 0 && (!asLater(err, &later) || later.After != c.afterwards) {
			t.Errorf("%v", err)
		}
	}
}

// An address that isn't public isn't called, unless it is allowed.
func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"https://127.0.0.1:1/", "http://192.0.2.1/", "https://169.254.169.254/latest"} {
		channel, err := handovers.NewHTTPS(address, []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, nil, time.Second, 1, "v1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := channel.Hand(t.Context(), parcel()); err == nil || !strings.Contains(err.Error(), "events.allow") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A gateway answers late: first with an id of its own, and when it is asked, that it has cleared the invoice.
func TestAnAnswerThatComesLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ready atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, `{"state":"sent","id":"GW-1"}`)
		case r.URL.Path != "/GW-1":
			w.WriteHeader(http.StatusNotFound)
		case ready.Load():
			_, _ = io.WriteString(w, `{"state":"cleared","id":"CLR-1","text":"fine"}`)
		default:
			_, _ = io.WriteString(w, `{"state":"sent"}`)
		}
	}))
	defer server.Close()
	channel, _ := at(t, server.URL, time.Second)
	b.invoiced(t, 1, 1)
	b.work(t, handovers.Route{Name: "one", Channel: channel, AskEvery: 100 * time.Millisecond})
	rig.Eventually(t, "it to be asked about in vain", func() bool {
		return b.state(t, "one", 1) == "sent GW-1" && b.Count(t, "SELECT turn FROM handovers WHERE channel = 'one'") > 2
	})
	ready.Store(true)
	rig.Eventually(t, "it to be cleared", func() bool { return b.state(t, "one", 1) == "cleared GW-1 CLR-1 (fine)" })
	if !b.Is(t, "SELECT due_at IS NULL FROM handovers WHERE channel = 'one'") {
		t.Error("it is asked about again")
	}
}

// Two workers, a gateway that fails and forgets to answer: each invoice gets there by one key, and none stays behind.
func TestEachIsHandedOverByOneKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const invoices = 40
	var mu sync.Mutex
	keys, tries := make(map[string]map[string]bool), 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var posted struct{ Data struct{ Number, Key string } }
		if err := json.NewDecoder(r.Body).Decode(&posted); err != nil {
			t.Error(err)
		}
		mu.Lock()
		if keys[posted.Data.Number] == nil {
			keys[posted.Data.Number] = make(map[string]bool)
		}
		keys[posted.Data.Number][posted.Data.Key] = true
		tries++
		n := tries
		mu.Unlock()
		switch n % 5 {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	channel, _ := at(t, server.URL, 5*time.Second)
	b.invoiced(t, 1, invoices)
	for range 2 {
		b.work(t, handovers.Route{Name: "one", Channel: channel, AtOnce: 4})
	}
	rig.Eventually(t, "all to be sent", func() bool {
		b.Exec(t, "UPDATE handovers SET due_at = now() WHERE channel = 'one' AND error IS NOT NULL AND state = 'queued'")
		return b.Count(t, "SELECT count(*) FROM handovers WHERE channel = 'one' AND state = 'sent'") == invoices
	})
	if len(keys) != invoices || tries <= invoices {
		t.Errorf("%d invoices in %d tries", len(keys), tries)
	}
	for number, of := range keys {
		if len(of) != 1 {
			t.Errorf("%s has the keys %v", number, of)
		}
	}
}

// As many parcels are posted at the same time as a channel may have under way, also to a gateway that is slow: none waits for a connection.
func TestNoneWaitsForAConnection(t *testing.T) {
	t.Parallel()
	const atOnce = 40
	var there, waiting sync.WaitGroup
	there.Add(atOnce)
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there.Done()
		select {
		case <-all:
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	channel, err := handovers.NewHTTPS(server.URL, []string{events.NewSecret()}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 10*time.Second, atOnce, "v1")
	if err != nil {
		t.Fatal(err)
	}
	for range atOnce {
		waiting.Go(func() {
			if _, err := channel.Hand(t.Context(), parcel()); err != nil {
				t.Error(err)
			}
		})
	}
	waiting.Go(func() {
		there.Wait() // all of them, before any is answered
		close(all)
	})
	waiting.Wait()
}
