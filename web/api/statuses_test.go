package api_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

// A limiter refuses the token reader.
type limiter struct{ on atomic.Bool }

func (l *limiter) Allow(context.Context, string) (api.Verdict, bool) {
	return api.Verdict{Allowed: !l.on.Load(), Rate: 5, Reset: time.Second, Retry: time.Second}, true
}

func (l *limiter) Charge(context.Context, string, int) (api.Verdict, bool) {
	return api.Verdict{}, false
}

// An operation, as it is asked for in vain.
type asking struct{ method, path, body string }

// replayID is that of a replay that there may be.
const replayID = "01a22e7a-308c-755c-8be7-3358f571256c"

func operations(s *site, jobID string) map[string]asking {
	job := string(jobOf("T9"))
	return map[string]asking{
		"postJob":          {http.MethodPost, "/v1/jobs?queue=" + s.Queue, job},
		"postPreview":      {http.MethodPost, "/v1/previews", job},
		"postBatch":        {http.MethodPost, "/v1/jobs/batch?queue=" + s.Queue, "[" + job + "]"},
		"getJob":           {http.MethodGet, "/v1/jobs/" + jobID, ""},
		"getTransaction":   {http.MethodGet, "/v1/transactions/T1", ""},
		"getInvoice":       {http.MethodGet, "/v1/invoices/INV-000001", ""},
		"getDocument":      {http.MethodGet, "/v1/invoices/INV-000001/document", ""},
		"listInvoices":     {http.MethodGet, "/v1/invoices", ""},
		"listJobs":         {http.MethodGet, "/v1/jobs", ""},
		"listDuplicates":   {http.MethodGet, "/v1/duplicates", ""},
		"listSeries":       {http.MethodGet, "/v1/series", ""},
		"listEvents":       {http.MethodGet, "/v1/events", ""},
		"streamEvents":     {http.MethodGet, "/v1/stream", ""},
		"replayJob":        {http.MethodPost, "/v1/jobs/" + jobID + "/replay", "{}"},
		"dismissJob":       {http.MethodPost, "/v1/jobs/" + jobID + "/dismiss", `{"note":"n"}`},
		"showPayload":      {http.MethodPost, "/v1/jobs/" + jobID + "/payload", "{}"},
		"listEndpoints":    {http.MethodGet, "/v1/endpoints", ""},
		"postEndpoint":     {http.MethodPost, "/v1/endpoints", `{"name":"new","url":"https://erp.example/","types":["invoice.created"]}`},
		"getEndpoint":      {http.MethodGet, "/v1/endpoints/erp", ""},
		"patchEndpoint":    {http.MethodPatch, "/v1/endpoints/erp", "{}"},
		"deleteEndpoint":   {http.MethodDelete, "/v1/endpoints/erp", ""},
		"rotateSecret":     {http.MethodPost, "/v1/endpoints/erp/rotate", "{}"},
		"enableEndpoint":   {http.MethodPost, "/v1/endpoints/erp/enable", "{}"},
		"disableEndpoint":  {http.MethodPost, "/v1/endpoints/erp/disable", "{}"},
		"testEndpoint":     {http.MethodPost, "/v1/endpoints/erp/test", "{}"},
		"listDeliveries":   {http.MethodGet, "/v1/endpoints/erp/deliveries", ""},
		"replayDeliveries": {http.MethodPost, "/v1/endpoints/erp/deliveries/replay", "{}"},
		"postReplay":       {http.MethodPost, "/v1/replays", `{"filter":{"queue":"none"}}`},
		"listReplays":      {http.MethodGet, "/v1/replays", ""},
		"getReplay":        {http.MethodGet, "/v1/replays/" + replayID, ""},
		"cancelReplay":     {http.MethodPost, "/v1/replays/" + replayID + "/cancel", "{}"},
		"listHandovers":    {http.MethodGet, "/v1/handovers", ""},
		"getHandover":      {http.MethodGet, "/v1/handovers/1", ""},
		"resendHandover":   {http.MethodPost, "/v1/handovers/1/resend", "{}"},
		"answerHandover":   {http.MethodPost, "/v1/handovers/1/answer", `{"state":"rejected"}`},
		"cancelHandover":   {http.MethodPost, "/v1/handovers/1/cancel", "{}"},
	}
}

// Every status that the description names has a request that meets it.
func TestEveryDescribedStatus(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	limit := &limiter{}
	follow := newLinks(t, time.Hour)
	var away atomic.Pointer[postgres.DB]
	s := serve(t, r, func(o *api.Options) {
		o.Limit = limit
		o.Ledger, o.Reports = sometimes{o.Ledger, &away}, reports{o.Reports, &away}
		o.Inquiry = inquiries{o.Inquiry, &away}
		o.Settings = settings{o.Settings, &away}
		o.Forecaster = forecasts{o.Forecaster, &away}
		o.Payloads = payloads{o.Payloads, &away}
		o.Events = happenings{o.Events, &away}
		o.Replays = bulks{o.Replays, &away}
		o.Links, o.Documents = follow, unwritable{o.Documents}
		o.Endpoints, o.Deliveries = endpoints{o.Endpoints, &away}, deliveries{o.Deliveries, &away}
		o.Handovers = handed{o.Handovers, &away}
	})
	s.channels(t)
	r.OpenIssuers(t, "ACME-FR", "ACME-DE")
	first := into[api.JobAnswer](t, s.post(t, "all", jobOf("T1", `"issuer":"ACME-FR"`)), http.StatusAccepted)
	s.work(t, first.JobID)
	second := into[api.JobAnswer](t, s.post(t, "all", jobOf("T1", `"issuer":"ACME-DE"`)), http.StatusAccepted)
	s.work(t, second.JobID)
	s.Exec(t, "INSERT INTO event_endpoints (name, url, types, origin) VALUES ('erp', 'https://erp.example/', '{invoice.created}', 'operator'), ('declared', 'https://erp.example/', '{invoice.created}', 'configuration')")
	s.Exec(t, "INSERT INTO replays (id, filter, actor) VALUES ($1, '{}', 'ada')", replayID)
	send := func(o asking, token string, headers ...string) reply {
		return s.ask(t, token, o.method, o.path, []byte(o.body), headers...)
	}
	expect := func(id string, want int, r reply) {
		t.Helper()
		if r.StatusCode != want {
			t.Errorf("%s: want %d, got %s", id, want, r)
		}
	}
	all := operations(s, first.JobID)
	for id, o := range all {
		expect(id, http.StatusUnauthorized, send(o, ""))
		expect(id, http.StatusUnauthorized, send(o, "no such token"))
		expect(id, http.StatusForbidden, send(o, "all", "Host", "billing.example"))
		limit.on.Store(true)
		refused := send(o, "all")
		expect(id, http.StatusTooManyRequests, refused)
		if refused.Header.Get("Retry-After") != "1" || refused.Header.Get("RateLimit") != `"token";r=0;t=1` || refused.Header.Get("RateLimit-Policy") != `"token";q=5;w=1` {
			t.Errorf("%s: %s", id, refused)
		}
		limit.on.Store(false)
		away.Store(awayDB(t))
		nothing := send(o, "all")
		expect(id, http.StatusServiceUnavailable, nothing)
		if nothing.Header.Get("Retry-After") == "" || strings.Contains(string(nothing.body), "nowhere") {
			t.Errorf("%s: %s", id, nothing)
		}
		away.Store(nil)
		if o.method == http.MethodPost || o.method == http.MethodPatch {
			expect(id, http.StatusUnsupportedMediaType, send(o, "all", "Content-Type", "text/plain"))
			o.body = "[" + strings.Repeat(" ", 17<<20) + "]"
			expect(id, http.StatusRequestEntityTooLarge, send(o, "all"))
			continue
		}
		if id == "streamEvents" {
			s.followOnce(t, "all", "")
			continue
		}
		if o.method == http.MethodDelete {
			continue
		}
		ok := send(asking{o.method, strings.Replace(o.path, "/T1", "/T1?issuer=ACME-FR", 1) + map[bool]string{true: "?issuer=ACME-FR"}[id == "getInvoice" || id == "getDocument"], ""}, "all")
		expect(id, http.StatusOK, ok)
		expect(id, http.StatusNotModified, send(asking{o.method, ok.Request.URL.RequestURI(), ""}, "all", "If-None-Match", ok.Header.Get("ETag")))
	}
	for _, path := range []string{"/v1/jobs/" + strings.Repeat("x", 301), "/v1/transactions/T1?limit=0", "/v1/invoices/x?issuer=" + strings.Repeat("X", 33), "/v1/invoices/x/document?format=docx", "/v1/invoices?limit=0", "/v1/jobs?limit=0", "/v1/duplicates?limit=0", "/v1/series?limit=0", "/v1/events?after=x", "/v1/stream?after=x", "/v1/invoices?serie=INV", "/v1/replays?limit=0", "/v1/replays/" + strings.Repeat("x", 65), "/v1/handovers?limit=0", "/v1/handovers/x"} {
		expect(path, http.StatusUnprocessableEntity, send(asking{http.MethodGet, path, ""}, "all"))
	}
	for _, o := range []asking{
		{http.MethodGet, "/v1/jobs/x", ""},
		{http.MethodGet, "/v1/transactions/x", ""},
		{http.MethodGet, "/v1/invoices/x", ""},
		{http.MethodGet, "/v1/invoices/x/document", ""},
		{http.MethodPost, "/v1/jobs/x/replay", ""},
		{http.MethodPost, "/v1/jobs/x/dismiss", `{"note":"n"}`},
		{http.MethodPost, "/v1/jobs/x/payload", ""},
		{http.MethodGet, "/v1/replays/x", ""},
		{http.MethodPost, "/v1/replays/x/cancel", "{}"},
		{http.MethodGet, "/v1/handovers/0", ""},
		{http.MethodPost, "/v1/handovers/99/resend", ""},
		{http.MethodPost, "/v1/handovers/99/answer", `{"state":"accepted"}`},
		{http.MethodPost, "/v1/handovers/99/cancel", "{}"},
	} {
		expect(o.path, http.StatusNotFound, send(o, "all"))
	}
	for _, id := range []string{"getTransaction", "getInvoice", "getDocument", "replayJob", "dismissJob"} { // of several issuers; of no failed job
		expect(id, http.StatusConflict, send(all[id], "all"))
	}
	for _, id := range []string{"postJob", "postPreview", "dismissJob"} {
		o := all[id]
		o.body = ""
		expect(id, http.StatusBadRequest, send(o, "all"))
	}
	expect("replayJob", http.StatusBadRequest, send(asking{http.MethodPost, "/v1/jobs/x/replay", "{"}, "all"))
	expect("showPayload", http.StatusBadRequest, send(asking{http.MethodPost, "/v1/jobs/x/payload", "{"}, "all"))
	expect("showPayload", http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/jobs/x/payload", `{"by":"x"}`}, "all"))
	expect("showPayload", http.StatusOK, send(all["showPayload"], "all"))
	for id, o := range all {
		if !strings.HasPrefix(o.path, "/v1/endpoints") {
			continue
		}
		if strings.HasPrefix(o.path, "/v1/endpoints/") {
			expect(id, http.StatusNotFound, send(asking{o.method, strings.Replace(o.path, "/erp", "/gone", 1), o.body}, "all"))
			expect(id, http.StatusUnprocessableEntity, send(asking{o.method, strings.Replace(o.path, "/erp", "/"+strings.Repeat("x", 65), 1), o.body}, "all"))
		}
		if o.body != "" {
			expect(id, http.StatusBadRequest, send(asking{o.method, o.path, "{"}, "all"))
		}
	}
	for _, id := range []string{"patchEndpoint", "deleteEndpoint", "rotateSecret"} {
		expect(id, http.StatusConflict, send(asking{all[id].method, strings.Replace(all[id].path, "/erp", "/declared", 1), all[id].body}, "all"))
	}
	expect("postEndpoint", http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/endpoints", "{}"}, "all"))
	expect("postEndpoint", http.StatusCreated, send(all["postEndpoint"], "all"))
	expect("postEndpoint", http.StatusConflict, send(all["postEndpoint"], "all"))
	for _, id := range []string{"patchEndpoint", "rotateSecret", "enableEndpoint", "disableEndpoint", "replayDeliveries"} {
		expect(id, http.StatusOK, send(all[id], "all"))
	}
	expect("testEndpoint", http.StatusAccepted, send(all["testEndpoint"], "all"))
	expect("deleteEndpoint", http.StatusNoContent, send(all["deleteEndpoint"], "all"))
	expect("postReplay", http.StatusAccepted, send(all["postReplay"], "all", "Idempotency-Key", "k"))
	expect("postReplay", http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/replays", "{}"}, "all"))
	expect("postReplay", http.StatusBadRequest, send(asking{http.MethodPost, "/v1/replays", ""}, "all"))
	expect("cancelReplay", http.StatusUnprocessableEntity, send(asking{http.MethodPost, all["cancelReplay"].path, `{"by":"x"}`}, "all"))
	expect("cancelReplay", http.StatusBadRequest, send(asking{http.MethodPost, all["cancelReplay"].path, "{"}, "all"))
	expect("cancelReplay", http.StatusOK, send(all["cancelReplay"], "all"))
	expect("cancelReplay", http.StatusConflict, send(all["cancelReplay"], "all"))
	for _, verb := range []string{"resend", "answer", "cancel"} {
		expect(verb, http.StatusBadRequest, send(asking{http.MethodPost, "/v1/handovers/1/" + verb, "{"}, "all"))
		expect(verb, http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/handovers/1/" + verb, `{"state":"cleared","by":"x"}`}, "all"))
	}
	expect("resendHandover", http.StatusConflict, send(all["resendHandover"], "all"))
	for _, id := range []string{"answerHandover", "cancelHandover", "resendHandover"} {
		expect(id, http.StatusOK, send(all[id], "all"))
	}
	expect("cancelHandover", http.StatusOK, send(all["cancelHandover"], "all"))
	expect("cancelHandover", http.StatusConflict, send(all["cancelHandover"], "all"))
	expect("answerHandover", http.StatusConflict, send(all["answerHandover"], "all"))
	expect("postJob", http.StatusUnprocessableEntity, s.post(t, "all", []byte("{}")))
	expect("postBatch", http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/jobs/batch", "{}"}, "all"))
	expect("postBatch", http.StatusOK, send(all["postBatch"], "all"))
	expect("postPreview", http.StatusOK, send(all["postPreview"], "all"))
	expect("dismissJob", http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/jobs/x/dismiss", "{}"}, "all"))
	expect("replayJob", http.StatusUnprocessableEntity, send(asking{http.MethodPost, "/v1/jobs/x/replay", `{"by":"x"}`}, "all"))
	s.fail(t, second.JobID)
	failed := into[api.JobAnswer](t, s.post(t, "all", jobOf("T2")), http.StatusAccepted)
	for _, action := range []struct {
		name   string
		status int
	}{{"replay", http.StatusAccepted}, {"dismiss", http.StatusOK}} {
		s.fail(t, failed.JobID)
		expect(action.name, action.status, send(asking{http.MethodPost, "/v1/jobs/" + failed.JobID + "/" + action.name, `{"note":"n"}`}, "all"))
	}
	// 409 of postJob: another request with the key isn't committed. 201: its job ends while it waits. 200: it is a duplicate.
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing is to be kept
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO api_requests (token, key, content, job_id, queue, status) VALUES ('all', sha256('slow'), sha256('?'), 'j', 'q', 'inserted')`); err != nil {
		t.Fatal(err)
	}
	expect("postJob", http.StatusConflict, s.post(t, "all", jobOf("T3"), "Idempotency-Key", "slow"))
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO replays (id, filter, actor, token, key, content) VALUES (gen_random_uuid(), '{}', 'ada', 'all', sha256('slow'), sha256('?'))`); err != nil {
		t.Fatal(err)
	}
	expect("postReplay", http.StatusConflict, send(all["postReplay"], "all", "Idempotency-Key", "slow"))
	done := into[api.JobAnswer](t, s.post(t, "all", jobOf("T3"), "Idempotency-Key", "k"), http.StatusAccepted)
	s.work(t, done.JobID)
	expect("postJob", http.StatusCreated, s.post(t, "all", jobOf("T3"), "Idempotency-Key", "k", "Prefer", "wait=30"))
	twice := into[api.JobAnswer](t, s.post(t, "all", jobOf("T3"), "Idempotency-Key", "k2"), http.StatusAccepted)
	s.Exec(t, `UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', invoice_id = (SELECT id FROM invoices WHERE transaction_id = 'T3') WHERE job_id = $1`, twice.JobID)
	expect("postJob", http.StatusOK, s.post(t, "all", jobOf("T3"), "Idempotency-Key", "k2", "Prefer", "wait=30"))

	of := asking{http.MethodGet, all["getDocument"].path + "?issuer=ACME-DE", ""}
	expect("getDocument", http.StatusNotAcceptable, send(of, "all", "Accept", "text/csv"))
	linked := asking{http.MethodGet, link(t, follow, "ACME-DE", "INV-000001"), ""}
	ok := send(linked, "")
	expect("getLinkedDocument", http.StatusOK, ok)
	expect("getLinkedDocument", http.StatusNotModified, send(linked, "", "If-None-Match", ok.Header.Get("ETag")))
	expect("getLinkedDocument", http.StatusNotAcceptable, send(linked, "", "Accept", "text/csv"))
	expect("getLinkedDocument", http.StatusConflict, send(asking{http.MethodGet, linked.path + "?language=tlh", ""}, ""))
	expect("getLinkedDocument", http.StatusUnprocessableEntity, send(asking{http.MethodGet, linked.path + "?format=docx", ""}, ""))
	expect("getLinkedDocument", http.StatusNotFound, send(asking{http.MethodGet, linked.path + "x", ""}, ""))
	limit.on.Store(true)
	expect("getLinkedDocument", http.StatusTooManyRequests, send(linked, ""))
	limit.on.Store(false)
	away.Store(awayDB(t))
	expect("getLinkedDocument", http.StatusServiceUnavailable, send(linked, ""))
	away.Store(nil)
	expect("getLinkedDocument", http.StatusGone, send(asking{http.MethodGet, link(t, newLinks(t, -time.Hour), "ACME-DE", "INV-000001"), ""}, ""))
	s.Exec(t, `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`)
	expect("getDocument", http.StatusGone, send(of, "all"))
	expect("getLinkedDocument", http.StatusGone, send(linked, ""))

	if missing := s.oracle.missing(); len(missing) > 0 {
		t.Errorf("these statuses are described, and no request meets them: %s", strings.Join(missing, ", "))
	}
}

func TestWhatThereIsnt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{"/v1/", "/v1/nothing", "/v1/jobs/a/b"} {
		into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, path, nil), http.StatusNotFound)
	}
	for path, allowed := range map[string]string{"/v1/jobs": "GET HEAD POST", "/v1/jobs/batch": "GET HEAD POST", "/v1/series": "GET HEAD", "/v1/docs": "GET HEAD"} {
		r := s.ask(t, "all", http.MethodPut, path, nil)
		if into[api.ProblemError](t, r, http.StatusMethodNotAllowed); strings.Join(r.Header.Values("Allow"), " ") != allowed {
			t.Errorf("%s: %s", path, r)
		}
	}
	for path, part := range map[string]string{"/v1/openapi.json": `"openapi": "3.1.0"`, "/v1/docs": "<h2><code>POST /v1/jobs</code></h2>", "/v1/docs.css": "body {"} {
		if r := s.ask(t, "checkout", http.MethodGet, path, nil); r.StatusCode != http.StatusOK || !bytes.Contains(r.body, []byte(part)) {
			t.Errorf("%s: %s", path, r)
		}
		into[api.ProblemError](t, s.ask(t, "", http.MethodGet, path, nil), http.StatusUnauthorized)
	}
	if page := s.ask(t, "reader", http.MethodGet, "/v1/docs", nil); bytes.Contains(page.body, []byte("http://")) || bytes.Contains(page.body, []byte("https://")) || bytes.Contains(page.body, []byte("<script")) {
		t.Error("the page loads something, or leads elsewhere")
	}
	if r := s.ask(t, "local", http.MethodPost, "/v1/jobs?queue="+s.Queue, jobOf("T1"), "Sec-Fetch-Site", "cross-site"); r.StatusCode != http.StatusForbidden {
		t.Errorf("another site's page: %s", r)
	}
	into[api.JobAnswer](t, s.ask(t, "local", http.MethodPost, "/v1/jobs?queue="+s.Queue, jobOf("T1")), http.StatusAccepted)
}

// Who has no role for an operation gets 403.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := setup(t)
	may := map[string]string{
		"showPayload": "operator", "getDocument": "operator", "postJob": "checkout", "postPreview": "checkout", "postBatch": "checkout", "replayJob": "operator", "dismissJob": "operator", "postReplay": "operator", "cancelReplay": "operator", "listReplays": "reader", "getReplay": "reader", "listHandovers": "reader", "getHandover": "reader", "resendHandover": "operator", "answerHandover": "operator", "cancelHandover": "operator", "listEndpoints": "operator", "postEndpoint": "operator", "getEndpoint": "operator",
		"patchEndpoint": "operator", "deleteEndpoint": "operator", "rotateSecret": "operator", "enableEndpoint": "operator", "disableEndpoint": "operator", "testEndpoint": "operator", "listDeliveries": "operator", "replayDeliveries": "operator",
		"getTransaction": "reader", "getInvoice": "reader", "listInvoices": "reader", "listJobs": "reader", "listDuplicates": "reader", "listSeries": "reader", "listEvents": "reader", "streamEvents": "reader",
	}
	for id, o := range operations(s, "x") {
		if id == "streamEvents" {
			o.path += "?after=x" // which is refused with another status than a role
		}
		for _, token := range []string{"checkout", "reader", "operator"} {
			r := s.ask(t, token, o.method, o.path, []byte(o.body))
			allowed := may[id] == token || id == "getJob" || may[id] == "reader" && token == "operator"
			if (r.StatusCode == http.StatusForbidden) == allowed {
				t.Errorf("%s by %s: %s", id, token, r)
			}
		}
	}
}
