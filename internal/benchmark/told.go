package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"invoicer/events"
)

const (
	untold   = "nothing"
	recorded = "events are recorded"
	waits    = "events are recorded, and wait for an endpoint"
	posted   = "events are posted on this machine"
)

// told are jobs whose invoices are told of, or not.
func told() []beside {
	return []beside{
		{untold, ours{}},
		{recorded, ours{alter: "INSERT INTO event_recording VALUES ('invoice.created'), ('credit_note.created')"}},
		{waits, ours{alter: "INSERT INTO event_endpoints (name, url, types, origin) VALUES ('away', 'https://away.example', '{invoice.created}', 'configuration')"}},
		{posted, ours{extras: extras{endpoint: true}}},
	}
}

// webhooks measures how soon an endpoint hears of an invoice, where these are made at random times, on average so many in a second. The time
// begins with the statement that writes the invoice, so before its commit, and ends when the request is there.
func (b *bench) webhooks(ctx context.Context, o options, rate int) (*latency, error) {
	if err := b.empty(ctx, schema); err != nil {
		return nil, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	warm := max(10, int(float64(rate)*b.seconds/3)) // these aren't counted
	n := warm + max(100, int(float64(rate)*3*b.seconds))
	heard := newHearing(n)
	receiver := httptest.NewServer(heard)
	defer receiver.Close()
	if err := b.exec(ctx, schema, fmt.Sprintf(`WITH made AS (INSERT INTO event_endpoints (name, url, types, origin) VALUES ('benchmark', '%s', '{invoice.created}', 'operator') RETURNING id)
INSERT INTO event_secrets SELECT id, '{%s}' FROM made`, receiver.URL, events.NewSecret())); err != nil {
		return nil, err
	}
	p, err := b.launch(ctx, o.common, schema, "worker")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	b.programs.workers = []int{p.command.Process.Pid}
	defer func() { b.programs.workers = nil }()
	watched := b.programs.watch()
	if err := b.arrive(ctx, make([]time.Time, n), rate, b.rdb); err != nil {
		return nil, err
	}
	select {
	case <-heard.all:
	case <-time.After(time.Minute):
		return nil, fmt.Errorf("of %d events %d came within a minute", n, heard.count())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l := newLatency(rate, heard.took[warm:])
	b.tell("webhooks at %d invoices/s: p50 %.1f ms, p99 %.1f ms, longest %.1f ms%s", rate, l.P50, l.P99, l.Longest, busy(watched.others()))
	return &l, nil
}

// A hearing is a receiver that keeps how long each transaction's event took to come to it.
type hearing struct {
	all chan struct{} // closed when all have come

	mu   sync.Mutex
	took []time.Duration
	came int
}

func newHearing(n int) *hearing {
	return &hearing{all: make(chan struct{}), took: make([]time.Duration, n)}
}

func (h *hearing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var event struct {
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			TransactionID string `json:"transaction_id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i, err := strconv.Atoi(strings.TrimPrefix(event.Data.TransactionID, "T"))
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || i >= len(h.took) || h.took[i] > 0 { // a repeat
		return
	}
	h.took[i] = max(now.Sub(event.Timestamp), 1)
	if h.came++; h.came == len(h.took) {
		close(h.all)
	}
}

func (h *hearing) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.came
}

// toldRate returns the rate of what is titled so, in that of what is told nothing; 0 if it wasn't measured.
func (f *full) toldRate(title string) float64 {
	rates := make(map[string]float64)
	for _, r := range f.Events {
		rates[r.Title] = r.Rate
	}
	if rates[untold] == 0 {
		return 0
	}
	return rates[title] / rates[untold]
}

func (f *full) webhooksTable() table {
	t := table{title: "From the invoice to its event at an endpoint, ms", header: []string{"invoices/s", "p50", "p99", "longest", "events"}}
	if f.Webhooks != nil {
		t.rows = append(t.rows, f.Webhooks.cells())
	}
	return t
}
