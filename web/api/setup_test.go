package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"

	"invoicer/events"
	"invoicer/internal/inquiry"
	"invoicer/internal/links"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/postgres"
	"invoicer/web"
	"invoicer/web/access"
	"invoicer/web/api"
	"invoicer/worker/dispatch"
)

// lockTimeout is how long a request waits for another one with its key.
const lockTimeout = time.Second

func TestMain(m *testing.M) {
	for _, f := range document.Formats() { // which the oracle compares as bytes
		openapi3filter.RegisterBodyDecoder(f.MediaType(), openapi3filter.FileBodyDecoder)
	}
	sandboxtest.Main(m)
}

// A site is an API on a database of its own, with a client whose every request and answer is compared with the API's description.
type site struct {
	*rig.Rig
	store     *postgres.DB
	generator *invoice.Generator
	url       string
	oracle    *oracle
	client    *http.Client
}

// The tokens of a site, by their secrets. Whoever shows "local" shows none, and is on the same machine.
var tokens = map[string]access.Visitor{
	"all":      {Name: "all", Roles: access.Roles()},
	"checkout": {Name: "checkout", Roles: []access.Role{access.Enqueue}, Producer: "checkout"},
	"nightly":  {Name: "nightly", Roles: []access.Role{access.Enqueue}},
	"reader":   {Name: "reader", Roles: []access.Role{access.Read}},
	"operator": {Name: "operator", Roles: []access.Role{access.Operate}},
	"paris":    {Name: "paris", Roles: access.Roles(), Issuers: access.Issuers{"ACME-FR"}},
}

func setup(t *testing.T, change ...func(*api.Options)) *site {
	t.Helper()
	return serve(t, rig.New(t), change...)
}

// serve serves the API of a database that may be shared.
func serve(t *testing.T, r *rig.Rig, change ...func(*api.Options)) *site {
	t.Helper()
	return serveWaiting(t, r, lockTimeout, change...)
}

// serveWaiting is serve with another time for which requests wait for others.
func serveWaiting(t *testing.T, r *rig.Rig, lockTimeout time.Duration, change ...func(*api.Options)) *site {
	t.Helper()
	s := &site{Rig: r}
	var err error
	if s.store, err = postgres.Open(postgres.Options{URL: r.URL, Schema: r.Schema, MaxConns: 4, LockTimeout: lockTimeout}); err != nil {
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
		Replayer: dispatch.NewReplayer(s.store.Ledger, forecaster), Payloads: s.store.Reports, Events: s.store.Outbox, PersonalData: access.Operate, Version: "test",
		Documents: newMaker(s.store), Replays: s.store.Replays, Endpoints: s.store.Outbox, Deliveries: s.store.Outbox, Handovers: s.store.Handovers, NewSecret: events.NewSecret,
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
		Access: access.Options{Programs: api.Prefix, Open: links.Path, Tokens: func(context.Context) (list []access.Token, err error) {
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
	part, served := pages.Part(), make(chan struct{})
	if err := part.Start(ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(served)
		if err := part.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		a.Run(ctx)
	}()
	s.url = pages.URL()
	s.oracle = newOracle(t, a)
	s.client = &http.Client{Transport: s.oracle}
	t.Cleanup(func() {
		cancel()
		<-served
		<-waiting
		s.oracle.next.CloseIdleConnections()
	})
	return s
}

// A reply is an answer that was read.
type reply struct {
	*http.Response
	body []byte
}

func (r reply) String() string { return fmt.Sprintf("%d %s %s", r.StatusCode, r.body, r.Header) }

// into reads the reply's body.
func into[T any](t *testing.T, r reply, status int) (body T) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("want %d, got %s", status, r)
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatalf("%v in %s", err, r)
	}
	return body
}

// ask sends a request with a token, "" for a program elsewhere that has none. headers are names, each with its value behind it.
func (s *site) ask(t *testing.T, token, method, path string, body []byte, headers ...string) reply {
	t.Helper()
	r, err := s.try(t.Context(), token, method, path, bytes.NewReader(body), headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *site) try(ctx context.Context, token, method, path string, body io.Reader, headers ...string) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return reply{}, err
	}
	if method == http.MethodPost || method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/json")
	}
	switch token {
	case "":
		r.Header.Set("X-Forwarded-For", "203.0.113.1")
	case "local":
	default:
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for pair := range slices.Chunk(headers, 2) {
		if pair[0] == "Host" {
			r.Host = pair[1]
			continue
		}
		r.Header.Set(pair[0], pair[1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return reply{answer, content}, err
}

// post asks for an invoice in the site's queue.
func (s *site) post(t *testing.T, token string, job []byte, headers ...string) reply {
	t.Helper()
	return s.ask(t, token, http.MethodPost, "/v1/jobs?queue="+s.Queue, job, headers...)
}

// jobOf is a job; members are added to it.
func jobOf(transactionID string, members ...string) []byte {
	all := append([]string{
		`"transaction_id":"` + transactionID + `"`, `"issued_at":"2010-12-01T08:26:00Z"`, `"currency":"GBP"`,
		`"lines":[{"sku":"85123A","description":"HOLDER","quantity":6,"unit_price":"2.55","tax_percent":"20"}]`,
	}, members...)
	return []byte("{" + strings.Join(all, ",") + "}")
}

// work does a job as a worker does.
func (s *site) work(t *testing.T, jobID string) {
	t.Helper()
	payload := []byte(s.Text(t, "SELECT payload FROM invoice_jobs WHERE job_id = $1", jobID))
	job, err := invoice.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', dispatch = dispatch + 1 WHERE job_id = $1 AND state = 'accepted'", jobID)
	r := invoice.NewRequest(jobID, 1, job)
	r.Payload = payload
	if _, err := s.generator.Generate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// fail has a job fail.
func (s *site) fail(t *testing.T, jobID string) {
	t.Helper()
	s.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'the printer is on fire' WHERE job_id = $1", jobID)
}

// ledgerHas compares what the ledger has with what it should have.
func (s *site) ledgerHas(t *testing.T, want int) {
	t.Helper()
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs"); n != want {
		t.Errorf("the ledger has %d jobs, want %d", n, want)
	}
}
