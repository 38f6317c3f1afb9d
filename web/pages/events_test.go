package pages_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// tell makes two endpoints: erp, which was disabled with an event that was given up and one that waits, and crm, which has taken 60. It returns
// the rows of the event that erp gave up, and of the newest one.
func (s *site) tell(t *testing.T) (givenUp, newest string) {
	t.Helper()
	for _, e := range []outbox.Endpoint{
		{Name: "erp", URL: "https://erp.example/hook/for/everything/that/happens/here", Types: outbox.Types(), Secrets: []string{"whsec_hidden"}},
		{Name: "crm", URL: "https://crm.example/", Types: []string{outbox.JobFailed}, Secrets: []string{"whsec_hidden"}},
	} {
		if err := s.store.Outbox.Add(t.Context(), e, ledger.Actor{Name: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		s.fail(t, fmt.Sprint("told-", i))
	}
	s.Exec(t, `UPDATE event_deliveries d SET state = 'delivered', attempts = 1, status = 204, ended_at = now() FROM event_endpoints p WHERE p.id = d.endpoint_id AND (p.name = 'crm' OR d.event_id NOT IN (
(SELECT min(id) FROM events), (SELECT max(id) FROM events)))`)
	s.Exec(t, `UPDATE event_deliveries d SET state = 'dead', attempts = 19, status = 503, error = 'it answered 503 <Busy>', ended_at = now() WHERE state = 'pending' AND event_id = (SELECT min(id) FROM events)`)
	s.Exec(t, `UPDATE event_deliveries d SET attempts = 2, error = 'it didn''t answer within 10s', since = now() - interval '2 hours', due_at = now() + interval '1 hour' WHERE state = 'pending'`)
	s.Exec(t, `UPDATE event_endpoints SET state = 'disabled', reason = 'it has taken nothing since <noon>', failing_since = now() - interval '1 day', changed_at = '2026-01-02T03:04:05Z' WHERE name = 'erp'`)
	return s.Text(t, "SELECT min(id)::text FROM events"), s.Text(t, "SELECT max(id)::text FROM events WHERE type = 'job.failed'")
}

// The endpoints are shown with all that somebody needs who mends one, and no secret.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, page := s.get(t, "/events"); !strings.Contains(page, "There is no endpoint") || strings.Contains(page, "<form class=\"act\"") {
		t.Errorf("without any:\n%s", page)
	}
	s.tell(t)
	_, page := s.get(t, "/events")
	for _, want := range []string{
		"<strong>disabled</strong> since 2026-01-02 03:04:05Z: <bdi>it has taken nothing since &lt;noon&gt;</bdi>",
		`<a href="/events/told?endpoint=erp&amp;state=pending">2</a>`, `<td>2 h 0 min</td>`, `<a href="/events/told?endpoint=erp&amp;state=dead">1</a>`,
		"<bdi>it didn&#39;t answer within 10s</bdi>", "<td>takes events</td>", "<td>204, 20", `<option>erp</option>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, "whsec_") {
		t.Error("it shows a secret")
	}
	s.visitor.MayAct = false
	if _, page := s.get(t, "/events"); strings.Contains(page, "<option") {
		t.Errorf("the form is shown to somebody who may only read:\n%s", page)
	}
}

// What endpoints were told is filtered, and leads from page to page and to each event.
func TestWhatEndpointsAreTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	givenUp, newest := s.tell(t)
	_, page := s.get(t, "/events/told?endpoint=erp&state=dead")
	if got := links(page, "job.failed"); len(got) != 1 || got[0] != "/events/"+givenUp || !strings.Contains(page, "it answered 503 &lt;Busy&gt;") || !strings.Contains(page, `<option selected>dead</option>`) {
		t.Errorf("what erp gave up: %q\n%s", got, page)
	}
	seen, pages := 0, 0
	for next := "/events/told?type=job.failed&since=1h"; next != ""; pages++ {
		_, page := s.get(t, next)
		seen += len(links(page, "job.failed"))
		more := links(page, "Older ones")
		next = ""
		if len(more) > 0 {
			next = more[0]
		}
	}
	if seen != 120 || pages != 3 {
		t.Errorf("%d deliveries on %d pages, want 120 on 3", seen, pages)
	}
	if _, page := s.get(t, "/events/told?transaction=T-told-7"); len(links(page, "job.failed")) != 2 {
		t.Errorf("of one transaction:\n%s", page)
	}
	for _, wrong := range []string{"state=gone", "type=x", "since=x", "after=x", "after=1", "after=-1-2", "endpoint=%00", "transaction=%ff", "issuer=x"} {
		if code, page := s.get(t, "/events/told?"+wrong); code != http.StatusBadRequest {
			t.Errorf("%s: %d\n%s", wrong, code, page)
		}
	}
	_, page = s.get(t, "/events/"+newest)
	for _, want := range []string{"<td><bdi>crm</bdi></td><td>delivered</td>", "<td><bdi>erp</bdi></td><td>pending</td>", `&#34;job_id&#34;: &#34;told-59&#34;`, `href="/search?q=T-told-59"`, "data-live"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s:\n%s", want, page)
		}
	}
	for _, path := range []string{"/events/0", "/events/x", "/events/999999"} {
		if code, _ := s.get(t, path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// Those who may act mend endpoints and have events posted again, which goes on record.
func TestMendAnEndpoint(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	givenUp, newest := s.tell(t)
	form := func(do, endpoint string) url.Values {
		return url.Values{"do": {do}, "endpoint": {endpoint}, "by": {"grace"}, "note": {"their disk was full"}}
	}
	for name, c := range map[string]struct {
		path string
		form url.Values
		code int
	}{
		"nobody's":          {"/events", form("enable", "nobody"), http.StatusNotFound},
		"nobody's test":     {"/events", form("test", "nobody"), http.StatusNotFound},
		"something":         {"/events", form("remove", "erp"), http.StatusBadRequest},
		"no endpoint":       {"/events", form("enable", ""), http.StatusBadRequest},
		"by nobody":         {"/events", url.Values{"do": {"enable"}, "endpoint": {"erp"}}, http.StatusBadRequest},
		"none given up":     {"/events", form("replay", "crm"), http.StatusConflict},
		"no event":          {"/events/999999", form("", "erp"), http.StatusNotFound},
		"not of that event": {"/events/" + newest, form("", "nobody"), http.StatusConflict},
	} {
		if code, page := s.post(t, c.path, c.form); code != c.code {
			t.Errorf("%s: %d\n%s", name, code, page)
		}
	}
	s.visitor.MayAct = false
	for _, path := range []string{"/events", "/events/" + newest} {
		if code, _ := s.post(t, path, form("enable", "erp")); code != http.StatusForbidden {
			t.Errorf("%s by somebody who may only read: %d", path, code)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM actions WHERE actor = 'grace'"); n != 0 || s.Is(t, "SELECT state = 'enabled' FROM event_endpoints WHERE name = 'erp'") {
		t.Fatalf("%d actions are on record, and nothing was asked for rightly", n)
	}
	s.visitor.MayAct = true

	if code, page := s.post(t, "/events", form("enable", "erp")); code != http.StatusOK || !s.Is(t, "SELECT state = 'enabled' FROM event_endpoints WHERE name = 'erp'") {
		t.Errorf("enable: %d\n%s", code, page)
	}
	if code, page := s.post(t, "/events", form("test", "erp")); code != http.StatusOK || !strings.Contains(page, "<h1>endpoint.test</h1>") || !strings.Contains(page, "<td><bdi>erp</bdi></td><td>pending</td>") {
		t.Errorf("test: %d\n%s", code, page)
	}
	if code, page := s.post(t, "/events", form("replay", "erp")); code != http.StatusOK || len(links(page, "job.failed")) != 2 {
		t.Errorf("replay of what was given up: %d\n%s", code, page)
	}
	if !s.Is(t, "SELECT state = 'pending' AND due_at <= now() FROM event_deliveries WHERE attempts = 0 AND event_id::text = $1", givenUp) {
		t.Error("what was given up isn't posted again")
	}
	if code, page := s.post(t, "/events/"+newest, form("", "crm")); code != http.StatusOK || !strings.Contains(page, "<td><bdi>crm</bdi></td><td>pending</td>") {
		t.Errorf("replay of one: %d\n%s", code, page)
	}
	if n := s.Count(t, "SELECT count(*) FROM event_deliveries d JOIN event_endpoints p ON p.id = d.endpoint_id WHERE p.name = 'crm' AND d.state = 'pending'"); n != 1 {
		t.Errorf("%d are posted to crm again, want 1", n)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws('|', action, subject, note), ', ' ORDER BY id) FROM actions WHERE actor = 'grace'"); got !=
		"endpoint enable|erp|their disk was full, endpoint test|erp|their disk was full, events replay|1 deliveries|their disk was full, events replay|1 deliveries|their disk was full" {
		t.Errorf("on record: %s", got)
	}
}
