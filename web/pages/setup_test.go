package pages_test

import (
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/inquiry"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/web/pages"
	"invoicer/worker/dispatch"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A site is a database with pages over it.
type site struct {
	*rig.Database
	store   *postgres.DB
	redis   redis.UniversalClient
	pages   *pages.Pages
	url     string
	visitor pages.Visitor

	generator *invoice.Generator
}

func newSite(t *testing.T, change ...func(*pages.Options)) *site {
	t.Helper()
	s := &site{Database: rig.NewDatabase(t), redis: rig.Connect(t, sandboxtest.Redis(t)), visitor: pages.Visitor{MayAct: true}}
	var err error
	if s.store, err = postgres.Open(postgres.Options{URL: s.URL, Schema: s.Schema}); err != nil {
		t.Fatal(err)
	}
	numbering, err := invoice.NewNumbering(invoice.DefaultNumbering())
	if err != nil {
		t.Fatal(err)
	}
	reporter, err := inquiry.New(inquiry.Options{
		Store: s.store.Reports, Invoices: s.store.Invoices, Redis: s.redis, DatabaseID: s.store.DatabaseID, Issuers: s.store.Issuers.Codes,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.generator = invoice.NewGenerator(s.store.Invoices, numbering)
	forecaster := invoice.NewForecaster(s.generator)
	o := pages.Options{
		Reports: s.store.Reports, Lists: s.store.Reports, Issuers: s.store.Issuers, Inquiry: reporter, Failures: s.store.Ledger, Actions: s.store.Ledger, Events: s.store.Outbox,
		Controller: inquiry.Controller{Record: s.store.Ledger, Redis: s.redis, DatabaseID: s.store.DatabaseID, Issuers: s.store.Issuers.Codes}, Replayer: dispatch.NewReplayer(s.store.Ledger, forecaster),
		Documents: newMaker(s.store), Kept: s.store.Documents, Handovers: s.store.Handovers, Replays: s.store.Replays, DatabaseTime: s.store.Now, Visitor: func(*http.Request) pages.Visitor { return s.visitor }, Place: "the test's", InvoiceSeries: "INV", Logger: slog.New(slog.DiscardHandler),
	}
	bulk := dispatch.NewBulk(dispatch.BulkOptions{Bulks: s.store.Replays, Failures: s.store.Ledger, Forecaster: forecaster, Holder: t.Name(), Logger: o.Logger})
	o.ReplayBegun = bulk.Begun
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var replaying sync.WaitGroup
	replaying.Go(func() { bulk.Run(ctx) })
	for _, c := range change {
		c(&o)
	}
	if s.pages, err = pages.New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.pages)
	s.url = server.URL
	t.Cleanup(func() {
		s.pages.Close()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		cancel()
		replaying.Wait()
		s.store.Close()
	})
	return s
}

// fail records a failed job.
func (s *site) fail(t *testing.T, jobID string, change ...func(*ledger.End)) {
	t.Helper()
	e := ledger.End{
		JobID: jobID, Outcome: invoice.Failed, Detail: "dial tcp 10.0.0.7:5432: refused", TransactionID: "T-" + jobID, IdempotencyKey: "T-" + jobID,
		Producer: "checkout", Worker: "w1", Queue: "default", Payload: invoicetest.Payload(t, "T-"+jobID), Attempts: 1,
	}
	for _, c := range change {
		c(&e)
	}
	if err := s.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func (s *site) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return answer(t, http.MethodGet, s.url+path, nil)
}

// post sends a form, and follows to where it leads.
func (s *site) post(t *testing.T, path string, form url.Values) (int, string) {
	t.Helper()
	return answer(t, http.MethodPost, s.url+path, form)
}

func answer(t *testing.T, method, address string, form url.Values) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

// links returns the links of a page whose text matches.
func links(page, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`<a href="([^"]*)"[^>]*>(?:<bdi>)?([^<]*)`).FindAllStringSubmatch(page, -1) {
		if strings.Contains(html.UnescapeString(m[2]), text) {
			found = append(found, html.UnescapeString(m[1]))
		}
	}
	return found
}

// hiddenForm returns the hidden fields of the form that acts on all jobs of a page.
func hiddenForm(page string) url.Values {
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

// act sends a form, and returns the page of the run that it starts once the run has ended.
func (s *site) act(t *testing.T, form url.Values) (int, string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	reply, err := client.PostForm(s.url+"/failed", form)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusSeeOther {
		body, _ := io.ReadAll(reply.Body)
		return reply.StatusCode, string(body)
	}
	path := reply.Header.Get("Location")
	page := ""
	rig.Eventually(t, "the end of "+path, func() bool {
		_, page = s.get(t, path)
		return !strings.Contains(page, "is under way")
	})
	return reply.StatusCode, page
}
