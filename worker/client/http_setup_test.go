package client_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/inquiry"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web"
	"invoicer/web/access"
	"invoicer/web/api"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

// An apiSite is the HTTP API on a database of its own, and what a worker uses.
type apiSite struct {
	*rig.Rig
	store     *postgres.DB
	generator *invoice.Generator
	address   string // host and port
	requests  atomic.Int64
}

// The tokens of an API, by their secrets.
var tokens = map[string]access.Visitor{
	"all":      {Name: "all", Roles: access.Roles()},
	"checkout": {Name: "checkout", Roles: []access.Role{access.Enqueue}, Producer: "checkout"},
}

// serve serves the API of a database, which may be a test's own.
func serve(t *testing.T, r *rig.Rig, change ...func(*api.Options)) *apiSite {
	t.Helper()
	s := &apiSite{Rig: r}
	var err error
	if s.store, err = postgres.Open(postgres.Options{URL: r.URL, Schema: r.Schema, MaxConns: 4, LockTimeout: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.generator = invoice.NewGenerator(s.store.Invoices, numbering)
	reporter, err := inquiry.New(inquiry.Options{
		Store: s.store.Reports, Invoices: s.store.Invoices, Redis: r.Redis, DatabaseID: s.store.DatabaseID, Issuers: s.store.Issuers.Codes,
	})
	if err != nil {
		t.Fatal(err)
	}
	forecaster := invoice.NewForecaster(s.generator)
	o := api.Options{
		Ledger: s.store.Ledger, Reports: s.store.Reports, Inquiry: reporter, Settings: s.store.Settings, Forecaster: forecaster,
		Replayer: dispatch.NewReplayer(s.store.Ledger, forecaster), Payloads: s.store.Reports, Events: s.store.Outbox, Version: "test",
		Requested: func(string, int) { s.requests.Add(1) },
	}
	for _, f := range change {
		f(&o)
	}
	a, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	fine := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	pages, err := web.Open(t.Context(), web.Options{
		Addr: "127.0.0.1:0", Room: web.MostVisitors, Ready: fine, Metrics: fine, Monitor: fine, MonitorRead: fine, Routes: a.Routes(), Logger: slog.New(slog.DiscardHandler),
		Access: access.Options{Programs: api.Prefix, Tokens: func(context.Context) (list []access.Token, err error) {
			for secret, v := range tokens {
				list = append(list, access.Token{Visitor: v, ID: int64(len(list) + 1), Hash: access.HashOf(secret, v.Issuers.Limited())})
			}
			return list, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	part, served, waiting := pages.Part(), make(chan struct{}), make(chan struct{})
	if err := part.Start(ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(served)
		if err := part.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		defer close(waiting)
		a.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-served
		<-waiting
	})
	s.address = pages.URL()[len("http://"):]
	return s
}

// over returns a client of the API behind an address, with a token.
func (s *apiSite) over(t *testing.T, address, token string, change ...func(*client.HTTPOptions)) *client.HTTP {
	t.Helper()
	o := client.HTTPOptions{Queue: s.Queue}
	for _, f := range change {
		f(&o)
	}
	h, err := client.OverHTTP("http://"+address, token, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// work does a job as a worker does.
func (s *apiSite) work(t *testing.T, jobID string) {
	t.Helper()
	payload := []byte(s.Text(t, "SELECT payload FROM invoice_jobs WHERE job_id = $1", jobID))
	job, err := invoice.Decode(payload)
	if err != nil {
		t.Error(err)
		return
	}
	s.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', dispatch = dispatch + 1 WHERE job_id = $1 AND state = 'accepted'", jobID)
	r := invoice.NewRequest(jobID, 1, job)
	r.Payload = payload
	if _, err := s.generator.Generate(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// ledgerHas compares the number of the ledger's jobs.
func (s *apiSite) ledgerHas(t *testing.T, want int) {
	t.Helper()
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs"); n != want {
		t.Errorf("the ledger has %d jobs, want %d", n, want)
	}
}
