package api_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"invoicer/events"
	"invoicer/internal/rig"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/web/api"
)

// deliver has a process deliver events until the test ends.
func (s *site) deliver(t *testing.T) {
	t.Helper()
	d, err := events.New(events.Options{Outbox: s.store.Outbox, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// A hook is a receiver that keeps what it is posted.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	posted []posting
}

type posting struct {
	header http.Header
	body   []byte
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.posted = append(h.posted, posting{r.Header, body})
	}))
	t.Cleanup(h.Close)
	return h
}

// signed awaits a posting that contains a text, and reports whether it is signed with a secret.
func (h *hook) signed(t *testing.T, text, secret string) bool {
	t.Helper()
	var found posting
	rig.Eventually(t, text+" posted", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		i := slices.IndexFunc(h.posted, func(p posting) bool { return strings.Contains(string(p.body), text) })
		if i >= 0 {
			found = h.posted[i]
		}
		return i >= 0
	})
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.Verify(found.body, found.header) == nil
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := setup(t)
	h := newHook(t)
	s.deliver(t)
	made := s.ask(t, "operator", http.MethodPost, "/v1/endpoints", fmt.Appendf(nil, `{"name":"erp/a","url":%q,"types":["invoice.created"],"note":"n"}`, h.URL))
	endpoint := into[api.SecretEndpoint](t, made, http.StatusCreated)
	if made.Header.Get("Location") != "/v1/endpoints/erp%2Fa" || made.Header.Get("Cache-Control") != "no-store" || endpoint.State != "enabled" || endpoint.Origin != "operator" || !slices.Equal(endpoint.Issuers, []string{"all"}) {
		t.Errorf("%s", made)
	}
	// It counts at once for what happens, and for whoever delivers soon.
	job := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	s.work(t, job.JobID)
	begun := time.Now()
	if !h.signed(t, "INV-000001", endpoint.Secret) {
		t.Error("it isn't signed with the secret")
	}
	t.Logf("told after %v", time.Since(begun))
	path := made.Header.Get("Location")
	rotated := into[api.SecretEndpoint](t, s.ask(t, "operator", http.MethodPost, path+"/rotate", nil), http.StatusOK)
	if rotated.Secret == endpoint.Secret {
		t.Error("the secret is the same")
	}
	test := into[api.TestBegun](t, s.ask(t, "operator", http.MethodPost, path+"/test", nil), http.StatusAccepted)
	if !h.signed(t, outbox.EndpointTest, endpoint.Secret) {
		t.Error("it isn't signed with the secret of before")
	}
	rig.Eventually(t, "the test taken", func() bool {
		page := into[api.DeliveryPage](t, s.ask(t, "operator", http.MethodGet, path+"/deliveries?event_id="+test.EventID, nil), http.StatusOK)
		return len(page.Deliveries) == 1 && page.Deliveries[0].State == "delivered" && page.Deliveries[0].Status != nil && *page.Deliveries[0].Status == http.StatusOK
	})
	for _, again := range []string{"/v1/endpoints", path} {
		r := s.ask(t, "operator", http.MethodGet, again, nil)
		if r.StatusCode != http.StatusOK || strings.Contains(string(r.body), "whsec_") || strings.Contains(string(r.body), strings.TrimPrefix(rotated.Secret, "whsec_")) {
			t.Errorf("%s", r)
		}
	}
	taken := into[api.ProblemError](t, s.ask(t, "operator", http.MethodPost, "/v1/endpoints", fmt.Appendf(nil, `{"name":"erp/a","url":%q,"types":["invoice.created"]}`, h.URL)), http.StatusConflict)
	if len(taken.Errors) != 1 || taken.Errors[0].Pointer != "/name" {
		t.Errorf("%+v", taken)
	}
	if off := into[api.Endpoint](t, s.ask(t, "operator", http.MethodPost, path+"/disable", nil), http.StatusOK); off.State != "disabled" || off.Reason != "by operator" {
		t.Errorf("%+v", off)
	}
	changed := into[api.Endpoint](t, s.ask(t, "operator", http.MethodPatch, path, []byte(`{"types":["job.failed"],"issuers":["none"]}`)), http.StatusOK)
	if !slices.Equal(changed.Types, []string{"job.failed"}) || !slices.Equal(changed.Issuers, []string{"none"}) || changed.URL != h.URL || changed.State != "disabled" {
		t.Errorf("%+v", changed)
	}
	if on := into[api.Endpoint](t, s.ask(t, "operator", http.MethodPost, path+"/enable", nil), http.StatusOK); on.State != "enabled" {
		t.Errorf("%+v", on)
	}
	if r := s.ask(t, "operator", http.MethodDelete, path+"?note=gone", nil); r.StatusCode != http.StatusNoContent || len(r.body) != 0 {
		t.Errorf("%s", r)
	}
	for _, o := range []asking{
		{http.MethodGet, path, ""},
		{http.MethodDelete, path, ""},
		{http.MethodPatch, path, "{}"},
		{http.MethodPost, path + "/rotate", ""},
		{http.MethodPost, path + "/test", ""},
		{http.MethodGet, path + "/deliveries", ""},
	} {
		into[api.ProblemError](t, s.ask(t, "operator", o.method, o.path, []byte(o.body)), http.StatusNotFound)
	}
	if n := s.Count(t, "SELECT count(*) FROM event_secrets"); n != 0 {
		t.Errorf("%d secrets are left", n)
	}
	if got := s.Text(t, "SELECT string_agg(action, ', ' ORDER BY id) FROM actions WHERE subject = 'erp/a' AND actor = 'operator'"); got !=
		"endpoint add, endpoint rotate, endpoint test, endpoint disable, endpoint set, endpoint enable, endpoint remove" {
		t.Errorf("on record is %s", got)
	}
}

func TestBadEndpointsAreRefused(t *testing.T) {
	t.Parallel()
	s := setup(t, func(o *api.Options) {
		o.PermitURL = func(ctx context.Context, url string) error {
			return events.PermitURL(ctx, url, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")})
		}
	})
	pointers := func(r reply) string {
		t.Helper()
		var list []string
		for _, f := range into[api.ProblemError](t, r, http.StatusUnprocessableEntity).Errors {
			list = append(list, f.Pointer)
		}
		return strings.Join(list, " ")
	}
	bad := s.ask(t, "operator", http.MethodPost, "/v1/endpoints", []byte(`{"by":"eve","name":"a b","url":"ftp://x","types":["invoice.created","invoice.gone"],"issuers":["nobody"]}`))
	if got := pointers(bad); got != "/by /name /url /types/1 /issuers/0" {
		t.Errorf("%s: %s", got, bad)
	}
	for _, url := range []string{
		"https://127.0.0.1/", "https://localhost/", "https://LOCALHOST:8443/x", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data",
		"https://100.64.0.1/", "https://[64:ff9b::7f00:1]/", "https://[fd00::1]/", "https://0/", "https://192.168.1.1/", "http://93.184.216.34/", "http://10.2.0.1/", "https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://127.0.0.1./",
		"https://user:secret@example.com/", "https://example.com/#x", "https:///x", "//example.com",
	} {
		body := fmt.Appendf(nil, `{"name":"erp","url":%q,"types":["invoice.created"]}`, url)
		r := s.ask(t, "operator", http.MethodPost, "/v1/endpoints", body)
		if got := pointers(r); got != "/url" {
			t.Errorf("%s: %s", url, r)
		}
	}
	made := into[api.SecretEndpoint](t, s.ask(t, "operator", http.MethodPost, "/v1/endpoints", []byte(`{"name":"erp","url":"http://10.1.0.1/in","types":["invoice.created"]}`)), http.StatusCreated)
	if got := pointers(s.ask(t, "operator", http.MethodPatch, "/v1/endpoints/erp", []byte(`{"url":"https://127.0.0.1/","types":[]}`))); got != "/types /url" {
		t.Errorf("%s", got)
	}
	if now := into[api.Endpoint](t, s.ask(t, "operator", http.MethodGet, "/v1/endpoints/erp", nil), http.StatusOK); now.URL != made.URL {
		t.Errorf("%+v", now)
	}
	into[api.ProblemError](t, s.ask(t, "local", http.MethodDelete, "/v1/endpoints/erp", nil), http.StatusUnprocessableEntity)
	if r := s.ask(t, "local", http.MethodDelete, "/v1/endpoints/erp?by=ada", nil); r.StatusCode != http.StatusNoContent {
		t.Errorf("%s", r)
	}
}

// What a configuration declares is changed there.
func TestDeclaredEndpointsAreChangedInTheConfiguration(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.store.Outbox.Configure(t.Context(), []outbox.Endpoint{{Name: "erp", URL: "https://erp.example/in", Types: []string{outbox.JobFailed}}}, nil); err != nil {
		t.Fatal(err)
	}
	for _, o := range []asking{
		{http.MethodPatch, "/v1/endpoints/erp", `{"types":["invoice.created"]}`},
		{http.MethodDelete, "/v1/endpoints/erp", ""},
		{http.MethodPost, "/v1/endpoints/erp/rotate", ""},
	} {
		p := into[api.ProblemError](t, s.ask(t, "operator", o.method, o.path, []byte(o.body)), http.StatusConflict)
		if !strings.Contains(p.Detail, "events.endpoints") {
			t.Errorf("%s %s: %+v", o.method, o.path, p)
		}
	}
	into[api.Endpoint](t, s.ask(t, "operator", http.MethodPost, "/v1/endpoints/erp/disable", nil), http.StatusOK)
	into[api.Endpoint](t, s.ask(t, "operator", http.MethodPost, "/v1/endpoints/erp/enable", nil), http.StatusOK)
	if e := into[api.Endpoint](t, s.ask(t, "operator", http.MethodGet, "/v1/endpoints/erp", nil), http.StatusOK); e.Origin != "configuration" || e.State != "enabled" || e.Types[0] != outbox.JobFailed {
		t.Errorf("%+v", e)
	}
}

// Whoever is limited to issuers has endpoints that are told of these alone.
func TestEndpointsOfIssuers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR", "ACME-DE")
	add := func(token, name, issuers string) reply {
		return s.ask(t, token, http.MethodPost, "/v1/endpoints", []byte(`{"name":"`+name+`","url":"https://erp.example/","types":["invoice.created"]`+issuers+`}`))
	}
	into[api.SecretEndpoint](t, add("operator", "everybody", ""), http.StatusCreated)
	if own := into[api.SecretEndpoint](t, add("paris", "paris", ""), http.StatusCreated); !slices.Equal(own.Issuers, []string{"ACME-FR"}) {
		t.Errorf("%+v", own)
	}
	into[api.ProblemError](t, add("paris", "more", `,"issuers":["ACME-FR","ACME-DE"]`), http.StatusForbidden)
	into[api.ProblemError](t, add("paris", "more", `,"issuers":["all"]`), http.StatusForbidden)
	into[api.ProblemError](t, s.ask(t, "paris", http.MethodPatch, "/v1/endpoints/paris", []byte(`{"issuers":["all"]}`)), http.StatusForbidden)
	into[api.ProblemError](t, s.ask(t, "paris", http.MethodDelete, "/v1/endpoints/everybody", nil), http.StatusNotFound)
	if list := into[api.EndpointList](t, s.ask(t, "paris", http.MethodGet, "/v1/endpoints", nil), http.StatusOK); len(list.Endpoints) != 1 || list.Endpoints[0].Name != "paris" {
		t.Errorf("%+v", list)
	}
	if list := into[api.EndpointList](t, s.ask(t, "operator", http.MethodGet, "/v1/endpoints", nil), http.StatusOK); len(list.Endpoints) != 2 {
		t.Errorf("%+v", list)
	}
}

func TestDeadDeliveriesAreReplayed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, name := range []string{"erp", "other"} {
		into[api.SecretEndpoint](t, s.ask(t, "operator", http.MethodPost, "/v1/endpoints", []byte(`{"name":"`+name+`","url":"https://erp.example/","types":["invoice.created"]}`)), http.StatusCreated)
	}
	for i := range 3 {
		job := into[api.JobAnswer](t, s.post(t, "nightly", jobOf(fmt.Sprint("T", i))), http.StatusAccepted)
		s.work(t, job.JobID)
	}
	s.Exec(t, "UPDATE event_deliveries SET state = 'dead', ended_at = now(), error = 'e', status = 500 WHERE transaction_id <> 'T2'")
	list := func(query string) (transactions []string, next string) {
		t.Helper()
		page := into[api.DeliveryPage](t, s.ask(t, "operator", http.MethodGet, "/v1/endpoints/erp/deliveries?"+query, nil), http.StatusOK)
		for _, d := range page.Deliveries {
			transactions = append(transactions, d.TransactionID)
		}
		return transactions, page.Next
	}
	if dead, _ := list("state=dead"); !slices.Equal(dead, []string{"T1", "T0"}) {
		t.Errorf("%v", dead)
	}
	first, next := list("limit=2")
	second, end := list("limit=2&after=" + next)
	if !slices.Equal(append(first, second...), []string{"T2", "T1", "T0"}) || end != "" {
		t.Errorf("%v, %v, %q", first, second, end)
	}
	replay := func(body string) int {
		t.Helper()
		return into[api.DeliveriesReplayed](t, s.ask(t, "operator", http.MethodPost, "/v1/endpoints/erp/deliveries/replay", []byte(body)), http.StatusOK).Deliveries
	}
	if n := replay(`{"dry_run":true}`); n != 2 {
		t.Errorf("%d would be replayed", n)
	}
	if n := replay(`{"transaction_id":"T0"}`); n != 1 {
		t.Errorf("%d are replayed", n)
	}
	if n := replay(`{}`); n != 1 {
		t.Errorf("%d are replayed", n)
	}
	if n := replay(`{"state":"delivered"}`); n != 0 {
		t.Errorf("%d are replayed", n)
	}
	if n := s.Count(t, "SELECT count(*) FROM event_deliveries WHERE state = 'dead'"); n != 2 { // the other endpoint's
		t.Errorf("%d are dead", n)
	}
}

// Two who change an endpoint at once change what they name, and undo nothing of each other's.
func TestEndpointsAreChangedAtOnce(t *testing.T) {
	t.Parallel()
	s := serveWaiting(t, rig.New(t), rig.Patience) // however busy the machine is
	if err := s.store.Outbox.Add(t.Context(), outbox.Endpoint{Name: "erp", URL: "https://erp.example/", Types: outbox.Types(), Secrets: []string{"whsec_x"}}, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	held, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback() //nolint:errcheck // it is over by then
	if _, err := held.ExecContext(t.Context(), "SELECT FROM event_endpoints FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for _, change := range []string{`{"types":["job.failed"]}`, `{"issuers":["none"]}`} {
		both.Go(func() {
			if r := s.ask(t, "operator", http.MethodPatch, "/v1/endpoints/erp", []byte(change)); r.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", change, r)
			}
		})
	}
	rig.Eventually(t, "both to wait", func() bool {
		return s.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%event_endpoints%'", s.Schema) == 2
	})
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	both.Wait()
	e := into[api.Endpoint](t, s.ask(t, "operator", http.MethodGet, "/v1/endpoints/erp", nil), http.StatusOK)
	if !slices.Equal(e.Types, []string{"job.failed"}) || !slices.Equal(e.Issuers, []string{"none"}) || e.URL != "https://erp.example/" {
		t.Errorf("%+v", e)
	}
}

// Who is limited to issuers changes nothing of an endpoint that is told of others by the time of the change.
func TestAnEndpointThatIsWidenedMeanwhile(t *testing.T) {
	t.Parallel()
	s := serveWaiting(t, rig.New(t), rig.Patience)
	s.OpenIssuers(t, "ACME-FR")
	if err := s.store.Outbox.Add(t.Context(), outbox.Endpoint{Name: "erp", URL: "https://erp.example/", Types: outbox.Types(), Issuers: []string{"ACME-FR"}, Secrets: []string{"whsec_x"}}, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	widening, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer widening.Rollback() //nolint:errcheck // it is over by then
	if _, err := widening.ExecContext(t.Context(), "UPDATE event_endpoints SET issuers = NULL"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan reply, 1)
	go func() {
		answered <- s.ask(t, "paris", http.MethodPatch, "/v1/endpoints/erp", []byte(`{"types":["job.failed"]}`))
	}()
	rig.Eventually(t, "the change to wait", func() bool {
		return s.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%event_endpoints%'", s.Schema) == 1
	})
	if err := widening.Commit(); err != nil {
		t.Fatal(err)
	}
	into[api.ProblemError](t, <-answered, http.StatusNotFound)
	if n := s.Count(t, "SELECT cardinality(types) FROM event_endpoints"); n != len(outbox.Types()) {
		t.Errorf("it is told %d types", n)
	}
}
