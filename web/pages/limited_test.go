package pages_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"invoicer/invoice/handover"
	"invoicer/web/access"
	"invoicer/web/pages"
)

// newLimitedSite is a site with invoices, failed jobs and series of three issuers, for a visitor who may see those of ACME-DE and do
// everything. What is of ACME-FR has FR in it, and what is of the issuer without a name has NOBODY.
func newLimitedSite(t *testing.T, change ...func(*pages.Options)) *site {
	t.Helper()
	s := newSite(t, change...)
	s.OpenIssuers(t, "ACME-DE", "ACME-FR")
	s.channels(t, handover.Rule{Name: "to-all", Kind: "https"}, handover.Rule{Name: "of-fr", Kind: "https", Issuers: []string{"ACME-FR"}})
	s.Exec(t, `INSERT INTO event_endpoints (name, url, types, issuers, origin) VALUES ('all', 'https://all-FR.example/', '{job.failed}', NULL, 'operator'),
('own', 'https://own.example/', '{job.failed}', '{ACME-DE}', 'operator'), ('of-FR', 'https://fr.example/', '{job.failed}', '{ACME-FR}', 'operator')`)
	const all = ` FROM (VALUES ('', 'NOBODY'), ('ACME-DE', 'DE'), ('ACME-FR', 'FR')) AS all_of (issuer, whose)`
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, transaction_id, idempotency_key, queue, producer, payload, state, outcome, reason)
SELECT issuer, id, id, id, 'default', whose || '-producer', '{"transaction_id":"' || id || '","issuer":"' || issuer || '","issued_at":"2026-01-02T03:04:05Z","currency":"EUR",
"customer_name":"Customer of ' || whose || '","lines":[{"quantity":1,"unit_price":"1"}]}', 'failed', 'failed', 'planted for ' || whose
FROM (SELECT *, 'J-' || whose AS id`+all+`) AS jobs`)
	s.Exec(t, `INSERT INTO invoice_series (issuer, series, period, kind) SELECT issuer, whose, '', 'invoice'`+all)
	s.Exec(t, `INSERT INTO invoices (issuer, series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT issuer, whose, '', 1, whose || '-1', 'invoice', 'I-' || whose, 'K-' || whose, 'made-' || whose, 'v1:' || repeat('0', 64), 'EUR', 100, 0, 100, now()`+all)
	s.Exec(t, "UPDATE invoice_series SET last_number = 1")
	s.visitor = pages.Visitor{Name: "berlin", MayAct: true, MaySeePersonalData: true, Issuers: access.Issuers{"ACME-DE"}}
	return s
}

// othersOf returns a word of a page that a visitor of ACME-DE may not see, "" if there is none.
func othersOf(page string) string {
	for _, word := range []string{"FR", "NOBODY"} {
		if strings.Contains(page, word) {
			return word
		}
	}
	return ""
}

// A visitor who is limited to an issuer is shown the data of no other one, by no route. Whoever adds a route decides here whether it
// keeps to issuers.
func TestRoutesOfLimitedVisitors(t *testing.T) {
	t.Parallel()
	s := newLimitedSite(t)
	s.Exec(t, `INSERT INTO documents (invoice_id, format, language, copy, content, size, sha256, renderer, rules)
SELECT id, 'ubl', '', false, content, length(content), sha256(content), 'test', '' FROM (SELECT id, convert_to('the UBL of ' || series, 'UTF8') AS content FROM invoices) planted`)
	undecided := s.pages.Patterns()
	eventOf := func(job string) string { return s.Text(t, "SELECT id::text FROM events WHERE job_id = $1", job) }
	const refused = http.StatusForbidden
	for _, c := range []struct {
		pattern, path string
		form          url.Values
		code          int
		shows         string
	}{
		{pattern: "GET /{$}", path: "/", code: http.StatusOK, shows: "<h1>Failed jobs</h1>"}, // it leads there
		{pattern: "GET /failed", path: "/failed", code: http.StatusOK, shows: "J-DE"},
		{pattern: "GET /failed", path: "/failed?issuer=ACME-DE", code: http.StatusOK, shows: "J-DE"},
		{pattern: "GET /failed", path: "/failed?issuer=ACME-FR", code: refused},
		{pattern: "GET /failed", path: "/failed?issuer=none", code: refused},
		{pattern: "GET /failed", path: "/failed?producer=FR-producer&reason=x", code: http.StatusOK},
		{pattern: "POST /failed", path: "/failed", form: url.Values{"do": {"forecast"}}, code: http.StatusOK, shows: "A forecast of"},
		{pattern: "POST /failed", path: "/failed", form: url.Values{"do": {"forecast"}, "issuer": {"ACME-FR"}}, code: refused},
		{pattern: "GET /runs/{run}", path: "/runs/1", code: http.StatusOK, shows: "A forecast of"},
		{pattern: "POST /runs/{run}", path: "/runs/1", form: url.Values{"do": {"stop"}}, code: http.StatusOK, shows: "A forecast of"},
		{pattern: "GET /queues", path: "/queues", code: refused},
		{pattern: "POST /queues", path: "/queues", form: url.Values{"do": {"pause"}, "queue": {"default"}}, code: refused},
		{pattern: "GET /workers", path: "/workers", code: refused},
		{pattern: "GET /races", path: "/races", code: refused},
		{pattern: "GET /invoices", path: "/invoices", code: http.StatusOK, shows: "I-DE"},
		{pattern: "GET /invoices", path: "/invoices?issuer=ACME-FR", code: refused},
		{pattern: "GET /invoices", path: "/invoices?issuer=ACME-XX", code: refused},
		{pattern: "GET /invoices", path: "/invoices?series=F", code: http.StatusOK, shows: "No invoice matches"},
		{pattern: "GET /invoices.csv", path: "/invoices.csv", code: http.StatusOK, shows: "I-DE"},
		{pattern: "GET /invoices.csv", path: "/invoices.csv?issuer=none", code: refused},
		{pattern: "GET /invoices.json", path: "/invoices.json", code: http.StatusOK, shows: "I-DE"},
		{pattern: "GET /invoices.json", path: "/invoices.json?issuer=ACME-FR", code: refused},
		{pattern: "GET /series", path: "/series", code: http.StatusOK, shows: "<td>ACME-DE/DE</td>"},
		{pattern: "GET /events", path: "/events", code: http.StatusOK, shows: "https://own.example/"},
		{pattern: "POST /events", path: "/events", form: url.Values{"do": {"enable"}, "endpoint": {"own"}}, code: http.StatusOK, shows: "https://own.example/"},
		{pattern: "POST /events", path: "/events", form: url.Values{"do": {"test"}, "endpoint": {"all"}}, code: http.StatusNotFound},
		{pattern: "POST /events", path: "/events", form: url.Values{"do": {"enable"}, "endpoint": {"of-FR"}}, code: http.StatusNotFound},
		{pattern: "POST /events", path: "/events", form: url.Values{"do": {"replay"}, "endpoint": {"of-FR"}}, code: http.StatusConflict},
		{pattern: "GET /events/told", path: "/events/told", code: http.StatusOK, shows: "J-DE"},
		{pattern: "GET /events/told", path: "/events/told?issuer=ACME-FR", code: refused},
		{pattern: "GET /events/told", path: "/events/told?transaction=J-FR", code: http.StatusOK, shows: "Nothing matches"},
		{pattern: "GET /events/{event}", path: "/events/" + eventOf("J-DE"), code: http.StatusOK, shows: "planted for DE"},
		{pattern: "GET /events/{event}", path: "/events/" + eventOf("J-FR"), code: http.StatusNotFound},
		{pattern: "GET /events/{event}", path: "/events/" + eventOf("J-NOBODY"), code: http.StatusNotFound},
		{pattern: "POST /events/{event}", path: "/events/" + eventOf("J-DE"), form: url.Values{"endpoint": {"all"}}, code: http.StatusOK, shows: "planted for DE"},
		{pattern: "POST /events/{event}", path: "/events/" + eventOf("J-FR"), form: url.Values{"endpoint": {"all"}}, code: http.StatusNotFound},
		{pattern: "GET /live", path: "/live?of=%2Fevents%2F" + eventOf("J-DE"), code: http.StatusOK},
		{pattern: "GET /handovers", path: "/handovers", code: http.StatusOK, shows: "I-DE"},
		{pattern: "GET /handovers", path: "/handovers?channel=of-DE", code: http.StatusOK, shows: "Nothing matches"},
		{pattern: "GET /handovers", path: "/handovers?issuer=ACME-FR", code: refused},
		{pattern: "GET /actions", path: "/actions", code: refused},
		{pattern: "GET /search", path: "/search?q=J-DE", code: http.StatusOK, shows: "planted for DE"},
		{pattern: "GET /search", path: "/search?q=J-DE&issuer=ACME-FR", code: refused},
		{pattern: "POST /locks", path: "/locks", form: url.Values{"transaction": {"J-DE"}, "issuer": {"ACME-DE"}}, code: refused},
		{pattern: "POST /payload", path: "/payload", form: url.Values{"job": {"J-DE"}}, code: http.StatusOK, shows: "Customer of DE"},
		{pattern: "GET /document", path: "/document?number=DE-1&format=ubl", code: http.StatusOK, shows: "SHA-256"},
		{pattern: "GET /document", path: "/document?number=FR-1&format=ubl", code: http.StatusNotFound},
		{pattern: "GET /document", path: "/document?number=FR-1&format=ubl&issuer=ACME-FR", code: refused},
		{pattern: "GET /document/file", path: "/document/file?number=DE-1&format=ubl", code: http.StatusOK, shows: "the UBL of DE"},
		{pattern: "GET /document/file", path: "/document/file?number=FR-1&format=ubl", code: http.StatusNotFound},
		{pattern: "GET /document/file", path: "/document/file?number=NOBODY-1&format=ubl&issuer=", code: refused},
		{pattern: "GET /live", path: "/live?of=%2Fqueues", code: refused},
		{pattern: "GET /live", path: "/live?of=%2F", code: refused},
		{pattern: "GET /live", path: "/live?of=%2Fworkers", code: refused},
		{pattern: "GET /style.css", path: "/style.css", code: http.StatusOK},
		{pattern: "GET /live.js", path: "/live.js", code: http.StatusOK},
		{pattern: "GET /", path: "/nothing", code: http.StatusNotFound},
	} {
		delete(undecided, c.pattern)
		method, _, _ := strings.Cut(c.pattern, " ")
		ask := answer
		if c.pattern == "GET /live" {
			ask = refusalOf
		}
		code, page := ask(t, method, s.url+c.path, c.form)
		asked := strings.NewReplacer(`value="FR-producer"`, "", `value="J-FR"`, "").Replace(page) // what the visitor wrote
		if code != c.code || !strings.Contains(page, c.shows) || othersOf(asked) != "" {
			t.Errorf("%s %s: %d, and has %q:\n%s", method, c.path, code, othersOf(asked), page)
		}
		if refusal := "may see the data of ACME-DE alone"; (code == refused) != strings.Contains(page, refusal) {
			t.Errorf("%s %s: %d, without the reason:\n%s", method, c.path, code, page)
		}
	}
	if _, page := s.get(t, "/handovers"); !strings.Contains(page, "<option>to-all</option>") || strings.Contains(page, "of-fr") {
		t.Errorf("the channels of others:\n%s", page)
	}
	for pattern := range undecided {
		t.Errorf("%s: this test must say whether it is refused to visitors who are limited to issuers, or what it shows them", pattern)
	}
	if got := s.Text(t, "SELECT coalesce(string_agg(action || ' ' || subject, ','), '') FROM actions"); got != "endpoint enable own,events replay 1 deliveries,see personal data J-DE,see personal data DE-1" {
		t.Errorf("on record: %s", got)
	}
}

// refusalOf is as [answer], but doesn't wait for the end of what isn't refused, which may have none.
func refusalOf(t *testing.T, _, address string, _ url.Values) (int, string) {
	t.Helper()
	reply, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode == http.StatusOK {
		return reply.StatusCode, ""
	}
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

// The navigation has the pages that the visitor may open, and no others.
func TestNavigationOfLimitedVisitors(t *testing.T) {
	t.Parallel()
	s := newLimitedSite(t)
	navigation := func() (paths []string) {
		_, page := s.get(t, "/series")
		_, page, _ = strings.Cut(page, `<nav aria-label="Pages">`)
		page, _, _ = strings.Cut(page, "</nav>")
		return links(page, "")
	}
	if got := navigation(); !slices.Equal(got, []string{"/failed", "/invoices", "/series", "/events", "/handovers"}) {
		t.Errorf("limited: %q", got)
	}
	for _, path := range navigation() {
		if code, _ := s.get(t, path); code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
	}
	if _, page := s.get(t, "/series"); !strings.Contains(page, "berlin, for ACME-DE<") {
		t.Errorf("it doesn't say whose data is shown:\n%s", page)
	}
	s.visitor.Issuers = nil
	if got := navigation(); len(got) != 11 {
		t.Errorf("not limited: %q", got)
	}
}

// Of what isn't theirs, visitors learn nothing: it looks like what doesn't exist.
func TestLimitedVisitorsFindWhatIsTheirs(t *testing.T) {
	t.Parallel()
	s := newLimitedSite(t)
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, transaction_id, idempotency_key, queue, state, outcome, reason)
SELECT issuer, 'shared' || issuer, 'T-1', 'key-1', 'default', 'failed', 'failed', 'planted' FROM (VALUES (''), ('ACME-DE'), ('ACME-FR')) AS all_of (issuer)`)
	for _, id := range []string{"T-1", "key-1"} {
		if code, page := s.get(t, "/search?q="+id); code != http.StatusOK || !strings.Contains(page, "sharedACME-DE") || othersOf(page) != "" {
			t.Errorf("%s, which three issuers have: %d\n%s", id, code, page)
		}
	}
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, queue, state, outcome, reason) VALUES ('ACME-FR', 'made-DE', 'default', 'failed', 'failed', 'planted for FR')`)
	if code, page := s.get(t, "/search?q=made-DE"); code != http.StatusOK || !strings.Contains(page, "DE-1") || strings.Contains(page, "ended as failed") || othersOf(page) != "" {
		t.Errorf("a job that has another issuer's job id: %d\n%s", code, page)
	}
	unknown := func(id string) string {
		code, page := s.get(t, "/search?q="+id)
		return fmt.Sprint(code, strings.ReplaceAll(page, id, "ID"))
	}
	for _, id := range []string{"J-FR", "I-FR", "K-FR", "FR-1", "made-FR", "J-NOBODY", "I-NOBODY", "sharedACME-FR"} {
		if got, want := unknown(id), unknown("XX-99"); got != want {
			t.Errorf("%s:\n%s\nwhat isn't known:\n%s", id, got, want)
		}
	}
	look := func(job string) string {
		code, page := s.post(t, "/payload", url.Values{"job": {job}})
		return fmt.Sprint(code, page)
	}
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, queue, payload, state, outcome, reason) SELECT 'ACME-DE', 'before', 'default', payload, state, outcome, reason FROM invoice_jobs WHERE job_id = 'J-FR'`)
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, queue, payload, state, outcome, reason) VALUES ('ACME-FR', 'unreadable', 'default', 'no JSON', 'failed', 'invalid', 'planted')`)
	for _, job := range []string{"J-FR", "J-NOBODY", "before", "unreadable"} {
		if got, want := look(job), look("XX-99"); got != want || !strings.HasPrefix(got, "404") {
			t.Errorf("the payload of %s: %s", job, got)
		}
	}

	s.visitor.Issuers = access.Issuers{"", "ACME-DE"}
	if _, page := s.get(t, "/search?q=T-1"); strings.Contains(page, "FR") || !strings.Contains(page, "the issuer without a name") || !strings.Contains(page, "issuer ACME-DE") {
		t.Errorf("which two of the visitor's issuers have:\n%s", page)
	}
	if _, page := s.get(t, "/search?q=T-1&issuer="); !strings.Contains(page, "<bdi>shared</bdi>") || strings.Contains(page, "ACME-FR") {
		t.Errorf("that of the one without a name:\n%s", page)
	}
	if _, page := s.get(t, "/invoices?issuer=none"); !strings.Contains(page, "I-NOBODY") || strings.Contains(page, "I-DE") || strings.Contains(page, "FR") {
		t.Errorf("the invoices of the one without a name:\n%s", page)
	}
}

// What limited visitors do to failed jobs concerns their issuers' alone, and they see no run that concerns others.
func TestRunsOfLimitedVisitors(t *testing.T) {
	t.Parallel()
	s := newLimitedSite(t)
	limited := s.visitor
	s.visitor = pages.Visitor{MayAct: true}
	for _, issuer := range []string{"", "ACME-FR", "ACME-DE"} { // runs 1 to 3
		s.act(t, url.Values{"do": {"forecast"}, "issuer": {issuer}})
	}
	s.visitor = limited
	for run, want := range map[string]int{"1": http.StatusNotFound, "2": http.StatusNotFound, "3": http.StatusOK, "99": http.StatusNotFound} {
		code, page := s.get(t, "/runs/"+run)
		if _, unknown := s.get(t, "/runs/98"); code != want || want == http.StatusNotFound && page != unknown {
			t.Errorf("run %s: %d\n%s", run, code, page)
		}
		if code, _ := s.post(t, "/runs/"+run, url.Values{"do": {"stop"}}); code != want {
			t.Errorf("stopping run %s: %d", run, code)
		}
	}
	s.Exec(t, `INSERT INTO invoice_jobs (issuer, job_id, queue, payload, state, outcome, reason) SELECT 'ACME-DE', 'before', 'default', payload, state, outcome, reason FROM invoice_jobs WHERE job_id = 'J-FR'`)
	if _, page := s.act(t, url.Values{"do": {"replay"}}); !strings.Contains(page, "A replay of 2 failed jobs by berlin has ended") || !strings.Contains(page, "job before: issuer is one whose jobs you may not see") {
		t.Errorf("the replay:\n%s", page)
	}
	if got := s.Text(t, "SELECT string_agg(job_id, ' ' ORDER BY job_id) FROM invoice_jobs WHERE state = 'failed'"); got != "J-FR J-NOBODY before" {
		t.Errorf("failed after the replay: %s", got)
	}
	if _, page := s.act(t, url.Values{"do": {"dismiss"}, "note": {"dealt with"}}); !strings.Contains(page, "A dismissal of 1 failed jobs by berlin has ended") {
		t.Errorf("the dismissal:\n%s", page)
	}
	if got := s.Text(t, "SELECT string_agg(job_id, ' ' ORDER BY job_id) FROM invoice_jobs WHERE state = 'failed'"); got != "J-FR J-NOBODY" {
		t.Errorf("failed after the dismissal: %s", got)
	}
}

// Visitors who watch the same page at the same time are shown the data of their own issuers each.
func TestLimitedVisitorsWatch(t *testing.T) {
	t.Parallel()
	issuersOf := map[string]access.Issuers{"all": nil, "berlin": {"ACME-DE"}, "paris": {"ACME-FR"}}
	s := newLimitedSite(t, func(o *pages.Options) {
		o.Visitor = func(r *http.Request) pages.Visitor {
			return pages.Visitor{MayAct: true, Issuers: issuersOf[r.Header.Get("From")]}
		}
	})
	for _, c := range []struct{ visitor, shows, hides string }{
		{"all", "<td>ACME-FR/FR</td>", "nothing"}, {"berlin", "<td>ACME-DE/DE</td>", "FR"}, {"paris", "<td>ACME-FR/FR</td>", "DE"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/live?of=%2Fseries", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("From", c.visitor)
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close() // all watch until then
		content := ""
		for scan := bufio.NewScanner(reply.Body); scan.Scan() && scan.Text() != ""; {
			content += scan.Text()
		}
		if !strings.Contains(content, c.shows) || strings.Contains(content, c.hides) {
			t.Errorf("%s watches:\n%s", c.visitor, content)
		}
	}
}
