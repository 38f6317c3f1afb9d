package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"invoicer/events"
	"invoicer/internal/rig"
)

// A hearing is a receiver of events that verifies signatures, and refuses every seventh event at first.
type hearing struct {
	*httptest.Server
	webhook *standardwebhooks.Webhook

	mu      sync.Mutex
	n       int
	refused map[string]bool
	heard   map[string]map[string]any // taken, by webhook-id
	order   map[string][]string       // types of events, by transaction, in the order in which they were taken for the first time
	forged  int
}

func startHearing(t *testing.T, secret string) *hearing {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := &hearing{webhook: webhook, refused: make(map[string]bool), heard: make(map[string]map[string]any), order: make(map[string][]string)}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hearing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	var event struct {
		Type string         `json:"type"`
		Data map[string]any `json:"data"`
	}
	id := r.Header.Get("webhook-id")
	if err != nil || h.webhook.Verify(body, r.Header) != nil || json.Unmarshal(body, &event) != nil {
		h.forged++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if h.n++; h.n%7 == 0 && !h.refused[id] {
		h.refused[id] = true
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if h.heard[id] == nil {
		transaction, _ := event.Data["transaction_id"].(string)
		h.order[transaction] = append(h.order[transaction], event.Type)
	}
	h.heard[id] = event.Data
}

func (h *hearing) count() (heard, forged int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.heard), h.forged
}

// Whoever asks hears of it, once or more, though workers are killed meanwhile and the receiver refuses now and then.
func TestEventsOutliveKilledWorkers(t *testing.T) {
	t.Parallel()
	secret := events.NewSecret()
	h := startHearing(t, secret)
	s := sharedSite(t).with(
		`INVOICER_EVENTS_ENDPOINTS=[{"name":"erp","url":"`+h.URL+`/hook","secret":"`+secret+`","types":["invoice.created","job.duplicate","job.failed"]}]`,
		"INVOICER_EVENTS_ALLOW=127.0.0.1",
	)
	const transactions = 120
	worker := s.start(t, "worker")
	worker.await(t, "worker started")
	var jobs strings.Builder
	for n := range transactions {
		for range 2 {
			jobs.WriteString(strings.ReplaceAll(oneJob, "X1", fmt.Sprint("T", n)))
		}
	}
	if code, _, stderr := s.run(t, jobs.String(), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatalf("enqueue exits with %d: %s", code, stderr)
	}
	for range 3 {
		before, _ := h.count()
		rig.Eventually(t, "more to be heard", func() bool { heard, _ := h.count(); return heard > before || heard >= 2*transactions })
		worker.signal(t, syscall.SIGKILL)
		worker.exit(t)
		worker = s.start(t, "worker")
	}
	rig.Within(t, 2*time.Minute, func() error {
		// Whoever was killed has left claims, and refused ones wait for their next attempt.
		s.change(t, `UPDATE event_deliveries d SET due_at = now() FROM (SELECT event_id FROM event_deliveries WHERE state = 'pending' AND due_at > now() + interval '1 second' AND attempts > 0
ORDER BY event_id FOR UPDATE) AS late WHERE d.event_id = late.event_id`)
		heard, forged := h.count()
		if told := s.Count(t, "SELECT count(*) FROM event_deliveries WHERE state = 'delivered'"); heard < 2*transactions || told < 2*transactions {
			return fmt.Errorf("%d were heard, %d are known to be, of %d (%d forged)", heard, told, 2*transactions, forged)
		}
		return nil
	})
	heard, forged := h.count()
	if heard != 2*transactions || forged != 0 {
		t.Errorf("%d events were heard, of %d, and %d weren't signed", heard, 2*transactions, forged)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range transactions {
		if got := strings.Join(h.order[fmt.Sprint("T", n)], " "); got != "invoice.created job.duplicate" {
			t.Errorf("T%d: %s", n, got)
		}
	}
	for id, data := range h.heard {
		if number, ok := data["invoice_number"].(string); !ok || !s.Is(t, "SELECT EXISTS (SELECT FROM invoices WHERE invoice_number = $1 AND transaction_id = $2)", number, data["transaction_id"]) {
			t.Errorf("event %s tells of %v, which isn't so", id, data)
		}
	}
	rig.Await(t, func() error { // it is counted now and then
		_, page := get(t, worker.pages(t)+"/metrics")
		for _, want := range []string{`invoicer_event_deliveries_total{endpoint="erp",state="delivered"}`, `invoicer_event_endpoint_disabled{endpoint="erp"} 0`} {
			if !strings.Contains(page, want) {
				return fmt.Errorf("/metrics lacks %s", want)
			}
		}
		return nil
	})
	worker.signal(t, syscall.SIGTERM)
	if code := worker.exit(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
