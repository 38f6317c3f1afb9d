package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/handover"
	"invoicer/invoice/invoicetest"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/web/access"
	"invoicer/web/api"
)

// Stand-ins: a fuzzer asks too often for a database.
type (
	fakeLedger     struct{ api.Ledger }
	fakeReports    struct{ api.Reports }
	fakeSettings   struct{}
	fakeInquiry    struct{}
	fakeReplays    struct{}
	fakeOutbox     struct{}
	fakeHandovers  struct{}
	fakeForecaster struct{ api.Forecaster }
)

func (fakeHandovers) Kind(context.Context, string) (string, error) { return "email", nil }

func (fakeHandovers) Page(context.Context, handover.Filter, string) (p report.Page[handover.Handover], _ error) {
	return p, nil
}

func (fakeHandovers) List(_ context.Context, f handover.Filter) ([]handover.Handover, error) {
	return []handover.Handover{{ID: f.ID, Channel: "authority", State: handover.Rejected}}, nil
}

func (fakeHandovers) History(context.Context, int64) ([]handover.Change, error) { return nil, nil }

func (fakeHandovers) Decide(_ context.Context, id int64, _ handover.Order) error {
	if id%2 == 0 {
		return handover.ErrStep
	}
	return nil
}

func (fakeOutbox) Endpoints(context.Context, bool) ([]outbox.Endpoint, error) {
	return []outbox.Endpoint{{Name: "erp", URL: "https://erp.example/", Types: []string{outbox.JobFailed}, Origin: outbox.OfOperator}}, nil
}

func (fakeOutbox) Add(_ context.Context, e outbox.Endpoint, _ ledger.Actor) error {
	return &outbox.EndpointExistsError{Name: e.Name}
}

func (fakeOutbox) Set(context.Context, string, outbox.Changes, ledger.Actor) error { return nil }

func (fakeOutbox) Change(context.Context, string, string, string, ledger.Actor) error { return nil }

func (fakeOutbox) Test(context.Context, string, ledger.Actor) (string, error) { return "x", nil }

func (fakeOutbox) Told(context.Context, outbox.ToldFilter) ([]outbox.Told, error) { return nil, nil }

func (fakeOutbox) Replay(context.Context, outbox.ToldFilter, bool, ledger.Actor) (int, error) {
	return 0, nil
}

func (fakeReplays) Begin(_ context.Context, r *ledger.BulkReplay, _ ledger.ReplayKey) (*ledger.BulkReplay, bool, error) {
	return r, false, nil
}

func (fakeReplays) Get(context.Context, string) (*ledger.BulkReplay, error) {
	return nil, ledger.ErrNoReplay
}

func (fakeReplays) List(context.Context, string, int) ([]ledger.BulkReplay, error) { return nil, nil }

func (fakeReplays) Cancel(context.Context, string, ledger.Actor) (*ledger.BulkReplay, error) {
	return nil, ledger.ErrNoReplay
}

func (fakeLedger) Asked(context.Context, ledger.Request) (bool, error) { return false, nil }

func (fakeLedger) AcceptRequest(_ context.Context, r ledger.Request) (ledger.Acceptance, error) {
	return ledger.Acceptance{JobID: r.JobID, Queue: r.Queue, Standing: ledger.Inserted}, nil
}

func (fakeLedger) AcceptRequests(_ context.Context, queue string, all []ledger.Request) (accepted []ledger.Acceptance, _ error) {
	for _, r := range all {
		accepted = append(accepted, ledger.Acceptance{JobID: r.JobID, Queue: queue, Standing: ledger.Inserted})
	}
	return accepted, nil
}

func (fakeReports) JobStates(context.Context, []string, bool) (map[string]*report.JobState, error) {
	return nil, nil
}

func (fakeReports) Numbered(context.Context, []string, string) ([]report.Invoice, error) {
	return nil, nil
}

func (fakeReports) Jobs(context.Context, report.Filter, string, int) (p report.Page[report.ListedJob], _ error) {
	return p, nil
}

func (fakeReports) Invoices(context.Context, report.Filter, string, int) (p report.Page[report.Invoice], _ error) {
	return p, nil
}

func (fakeReports) Duplicates(context.Context, report.Filter, string, int) (p report.Page[report.ListedDuplicate], _ error) {
	return p, nil
}

func (fakeReports) SeriesStates(context.Context, []string, string, int) ([]report.Series, error) {
	return nil, nil
}

func (fakeSettings) Current(context.Context, string) (*invoice.Settings, error) {
	return &invoice.Settings{Latest: 1 << 40}, nil
}

func (fakeForecaster) Judge(context.Context, *invoice.Job) error { return nil }

func (fakeInquiry) Story(_ context.Context, _ []string, id string, _ int) (*report.Story, error) {
	return &report.Story{Asked: id}, nil
}

// Whatever is sent, the answer is JSON with a status that says whose fault it is, and it isn't the program's. What the decoder refuses is
// refused, and what it takes is accepted.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "/v1/jobs", "application/json", `"k"`, "wait=0", jobOf("T1"))
	f.Add("POST", "/v1/jobs?queue=bulk", "application/json; charset=utf-8", "", "", jobOf("T1", `"metadata":{"a.b":1}`))
	f.Add("POST", "/v1/jobs/batch", "application/json", "", "", []byte("["+string(jobOf("T1"))+",{}]"))
	f.Add("POST", "/v1/jobs/batch", "application/x-ndjson", "", "", append(jobOf("T1"), "\n\n{}\r\n["...))
	f.Add("GET", "/v1/jobs?limit=3&since=2020-01-01T00:00:00Z&after=1.2", "", "", "", []byte(nil))
	f.Add("GET", "/v1/transactions/a%2Fb?issuer=none", "", "", "", []byte(nil))
	f.Add("PUT", "/v1/%00", "text/plain", `"\"`, "wait=99999999999999999999", []byte("x"))
	f.Add("POST", "/v1/jobs/x/dismiss", "application/json", "", "", []byte(`{"note":"\ud800"}`))
	f.Add("POST", "/v1/replays", "application/json", `"k"`, "", []byte(`{"filter":{"outcomes":["failed"],"since":"2026-01-31T12:00:00Z","issuer":"none"},"rate":1.5,"note":"n"}`))
	f.Add("POST", "/v1/replays/01a22e7a-308c-755c-8be7-3358f571256c/cancel", "application/json", "", "", []byte("{}"))
	f.Add("POST", "/v1/endpoints", "application/json", "", "", []byte(`{"name":"a/b","url":"https://erp.example/","types":["job.failed"],"issuers":["none"]}`))
	f.Add("PATCH", "/v1/endpoints/erp", "application/json", "", "", []byte(`{"url":"http://[::1]:80/","types":[]}`))
	f.Add("DELETE", "/v1/endpoints/a%2Fb?by=x", "", "", "", []byte(nil))
	f.Add("GET", "/v1/endpoints/erp/deliveries?after=1&event_id=x&since=y", "", "", "", []byte(nil))
	f.Add("GET", "/v1/replays?after=x", "", "", "", []byte(nil))
	f.Add("GET", "/v1/handovers?after=o1_1&order=oldest&state=rejected&invoice_number=%00&channel=%ff", "", "", "", []byte(nil))
	f.Add("GET", "/v1/handovers/9223372036854775807", "", "", "", []byte(nil))
	f.Add("POST", "/v1/handovers/1/resend", "application/json", "", "", []byte(`{"to":"ap@buyer.example","anyway":true,"note":"n"}`))
	f.Add("POST", "/v1/handovers/1/answer", "application/json", "", "", []byte(`{"state":"cleared","id":"\u0000","text":"\ud800"}`))
	f.Add("POST", "/v1/handovers/2/cancel", "application/json", "", "", []byte(nil))
	for _, bad := range invoicetest.Bad() {
		if len(bad.Payload) < 10_000 {
			f.Add("POST", "/v1/jobs", "application/json", "k", "", bad.Payload)
		}
	}
	a, err := api.New(api.Options{Ledger: fakeLedger{}, Reports: fakeReports{}, Settings: fakeSettings{}, Forecaster: fakeForecaster{}, Inquiry: fakeInquiry{}, Replays: fakeReplays{}, Endpoints: fakeOutbox{}, Deliveries: fakeOutbox{}, Handovers: fakeHandovers{}, NewSecret: func() string { return "whsec_x" }})
	if err != nil {
		f.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, route := range a.Routes() {
		mux.Handle(route.Pattern, route.Handler)
	}
	f.Fuzz(func(t *testing.T, method, path, kind, key, prefer string, body []byte) {
		if !strings.HasPrefix(path, "/v1/") || strings.Contains(path, "previews") || strings.HasPrefix(path, "/v1/jobs/") && strings.Contains(path, "/replay") || strings.Contains(path, "dismiss") && method == "POST" && len(body) == 0 {
			return // of these nothing stands in
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, bytes.NewReader(body))
		if err != nil {
			return
		}
		for name, value := range map[string]string{"Content-Type": kind, "Idempotency-Key": key, "Prefer": strings.ReplaceAll(prefer, "wait", "wait=0;")} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		r = access.With(r, access.Visitor{Name: "fuzzer", Roles: access.Roles()})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if media := w.Header().Get("Content-Type"); w.Code >= http.StatusBadRequest && (media != "application/problem+json" || !json.Valid(w.Body.Bytes())) {
			t.Fatalf("%d %s %s", w.Code, media, w.Body)
		}
		if method != http.MethodPost || r.URL.Path != "/v1/jobs" || w.Code != http.StatusAccepted && w.Code != http.StatusUnprocessableEntity || r.URL.RawQuery != "" || key != "" || prefer != "" {
			return
		}
		_, err = invoice.Decode(body)
		if (err == nil) != (w.Code == http.StatusAccepted) {
			t.Fatalf("the decoder says %v, and the answer is %d %s", err, w.Code, w.Body)
		}
		if w.Code == http.StatusAccepted {
			var answer api.JobAnswer
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || uuid.Validate(answer.JobID) != nil {
				t.Fatalf("%v %s", err, w.Body)
			}
		}
	})
}
