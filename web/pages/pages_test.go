package pages_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/invoice/ledger"
	"invoicer/web/pages"
)

func TestFailedJobsAreGroupedByCause(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 3 {
		s.fail(t, fmt.Sprint("down-", i), func(e *ledger.End) { e.Detail = fmt.Sprintf("dial tcp 10.0.0.%d:5432: refused", i) })
	}
	s.fail(t, "other", func(e *ledger.End) { e.Detail = `series "FR-9" is closed` })
	_, page := s.get(t, "/failed")
	down, closed := links(page, "dial tcp # refused"), links(page, `series "#" is closed`)
	if len(down) != 1 || len(closed) != 1 {
		t.Fatalf("causes: %q and %q, in\n%s", down, closed, page)
	}
	_, page = s.get(t, down[0])
	if !strings.Contains(page, "<strong>3</strong> failed jobs match") || strings.Contains(page, "T-other") {
		t.Errorf("the jobs of one cause:\n%s", page)
	}
	if _, page := s.get(t, "/"); len(links(page, "4 failed jobs wait")) != 1 {
		t.Errorf("the first page doesn't say that four jobs have failed:\n%s", page)
	}
}

func TestFailedJobsAreFiltered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail(t, "a")
	s.fail(t, "b", func(e *ledger.End) {
		e.Producer, e.Queue, e.Outcome, e.Detail = "webhook", "night", invoice.Invalid, "lines: none"
		e.Payload = []byte(`{"series":"INV-UK"}`)
	})
	for query, want := range map[string]string{
		"outcome=invalid": "b", "outcome=failed": "a", "reason=LINES": "b", "producer=checkout": "a", "queue=night": "b", "since=1h": "ab",
		"series=INV": "a", "series=INV-UK": "b", "series=NONE": "", "until=1h": "", "producer=checkout&queue=night": "", "since=2000-01-01T00:00:00Z": "ab", "reason=%25": "",
	} {
		status, page := s.get(t, "/failed?"+query)
		got := ""
		for _, id := range []string{"a", "b"} {
			if strings.Contains(page, "T-"+id) {
				got += id
			}
		}
		if status != http.StatusOK || got != want {
			t.Errorf("%s: status %d, jobs %q, want %q", query, status, got, want)
		}
	}
	for query, want := range map[string]string{
		"outcome=created": "outcome", "since=yesterday": "since", "until=-1h": "until", "since=1h&until=2h": "later", "after=x": "after", "reason=%ff": "reason", "producer=%00": "producer",
	} {
		if status, page := s.get(t, "/failed?"+query); status != http.StatusBadRequest || !strings.Contains(page, want) {
			t.Errorf("%s: status %d, page\n%s", query, status, page)
		}
	}
}

func TestFailedJobsHavePages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, queue, payload, state, outcome, reason, updated_at)
SELECT 'j' || n, 'T-' || n, 'default', '{}', 'failed', 'failed', 'why', now() - interval '1 day' + n / 7 * interval '1 second' FROM generate_series(1, 120) n`)
	seen := map[string]bool{}
	pages := 0
	for path := "/failed"; path != ""; pages++ {
		_, page := s.get(t, path)
		for _, m := range regexp.MustCompile(`T-\d+`).FindAllString(page, -1) {
			if seen[m] {
				t.Errorf("%s is on two pages", m)
			}
			seen[m] = true
		}
		path = ""
		if next := links(page, "Older jobs"); len(next) > 0 {
			path = next[0]
		}
	}
	if len(seen) != 120 || pages != 3 {
		t.Errorf("%d jobs on %d pages, want 120 on 3", len(seen), pages)
	}
}

func TestForecastReplayAndDismissal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const jobs = 250
	for i := range jobs {
		s.fail(t, fmt.Sprint(i))
	}
	s.fail(t, "bad", func(e *ledger.End) { e.Payload = []byte("{}") })
	s.fail(t, "conflict", func(e *ledger.End) { e.Outcome = invoice.Conflict })
	_, page := s.get(t, "/failed?outcome=failed")
	form := hiddenForm(page)
	s.fail(t, "later") // nobody who looks at the page has seen it

	form.Set("do", "forecast")
	_, page = s.act(t, form)
	if !strings.Contains(page, "would become an invoice</td><td class=\"n\">250<") || !strings.Contains(page, "job bad: transaction_id is required") {
		t.Errorf("the forecast:\n%s", page)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'"); n != jobs+3 {
		t.Fatalf("%d failed jobs after the forecast, want %d", n, jobs+3)
	}

	form.Set("do", "replay")
	if status, page := s.act(t, form); status != http.StatusBadRequest || !strings.Contains(page, "your name must be given") {
		t.Errorf("a replay without a name: %d\n%s", status, page)
	}
	form.Set("by", "ann")
	form.Set("note", "TICKET-17")
	_, page = s.act(t, form)
	if !strings.Contains(page, "A replay of 251 failed jobs by ann has ended") {
		t.Errorf("the replay:\n%s", page)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != jobs {
		t.Errorf("%d jobs were sent again, want %d", n, jobs)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_job_actions WHERE action = 'replay' AND actor = 'ann' AND note = 'TICKET-17'"); n != jobs {
		t.Errorf("%d replays on record, want %d", n, jobs)
	}

	_, page = s.get(t, "/failed")
	form = hiddenForm(page)
	form.Set("do", "dismiss")
	form.Set("by", "ann")
	if status, page := s.act(t, form); status != http.StatusBadRequest || !strings.Contains(page, "needs a reason") {
		t.Errorf("a dismissal without a reason: %d\n%s", status, page)
	}
	form.Set("note", "billed by hand")
	if _, page = s.act(t, form); !strings.Contains(page, "dismissed</td><td class=\"n\">3<") {
		t.Errorf("the dismissal:\n%s", page)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'dismissed'"); n != 3 {
		t.Errorf("%d jobs are dismissed, want 3", n)
	}
	if _, page = s.get(t, "/actions"); !strings.Contains(page, "billed by hand") || !strings.Contains(page, "TICKET-17") {
		t.Errorf("the actions:\n%s", page)
	}
}

func TestOnlyThoseWhoMayAct(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.visitor = pages.Visitor{Name: "reader"}
	s.fail(t, "a")
	_, page := s.get(t, "/failed")
	if strings.Contains(page, `name="do"`) {
		t.Error("the page offers what its visitor may not do")
	}
	for _, do := range []string{"forecast", "replay", "dismiss"} {
		if status, _ := s.act(t, url.Values{"do": {do}, "by": {"x"}, "note": {"x"}}); status != http.StatusForbidden {
			t.Errorf("%s: status %d", do, status)
		}
	}
	s.visitor = pages.Visitor{Name: "operator", MayAct: true}
	s.act(t, url.Values{"do": {"replay"}, "by": {"somebody else"}})
	if n := s.Count(t, "SELECT count(*) FROM invoice_job_actions WHERE actor = 'operator'"); n != 1 {
		t.Error("an action isn't on record under the name of the token")
	}
}

func TestReplayIsStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 30 {
		s.fail(t, fmt.Sprint(i))
	}
	_, page := s.get(t, "/failed")
	form := hiddenForm(page)
	form.Set("do", "replay")
	form.Set("by", "ann")
	form.Set("rate", "5")
	_, page = s.post(t, "/failed", form)
	if !strings.Contains(page, "is under way") {
		t.Fatalf("the run:\n%s", page)
	}
	rig.Eventually(t, "the first job sent again", func() bool { return s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'") > 0 })
	address := regexp.MustCompile(`action="(/runs/[^"]+)"`).FindStringSubmatch(page)
	if address == nil {
		t.Fatalf("the run can't be stopped:\n%s", page)
	}
	_, page = s.post(t, address[1], url.Values{"do": {"stop"}})
	if !strings.Contains(page, "was stopped") {
		t.Errorf("after Stop:\n%s", page)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'"); n == 0 || n == 30 {
		t.Errorf("%d of 30 jobs are still failed", n)
	}
	if status, _ := s.post(t, "/runs/99", nil); status != http.StatusNotFound {
		t.Errorf("stopping a run that isn't there: %d", status)
	}
}

const jobID = "019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77"

func TestTheStoryOfATransaction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if status, page := s.get(t, "/search?q=T1"); status != http.StatusNotFound || !strings.Contains(page, "Nothing is known of <bdi>T1</bdi>") {
		t.Errorf("before anything has happened: %d\n%s", status, page)
	}
	if err := s.store.Ledger.Accept(t.Context(), jobID, "default", invoicetest.Payload(t, "T1")); err != nil {
		t.Fatal(err)
	}
	_, page := s.get(t, "/search?q="+jobID)
	for _, want := range []string{"the id of a job", "Why it isn’t at its end", `href="/search?q=T1"`} {
		if !strings.Contains(page, want) {
			t.Errorf("an accepted job's page lacks %q:\n%s", want, page)
		}
	}
	result, err := s.generator.Generate(t.Context(), invoice.NewRequest("another job", 1, invoicetest.Job("T1")))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"T1", "another job", result.Invoice.Number} {
		status, page := s.get(t, "/search?q="+url.QueryEscape(q))
		if status != http.StatusOK || !strings.Contains(page, "Invoice <bdi>"+result.Invoice.Number) {
			t.Errorf("%s: status %d, page\n%s", q, status, page)
		}
	}
	for _, q := range []string{"", "%00", "%ff", strings.Repeat("x", 1001)} {
		if status, _ := s.get(t, "/search?q="+q); status != http.StatusBadRequest {
			t.Errorf("searching %.10q: status %d", q, status)
		}
	}
}

func TestQueuesAndWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := s.store.Ledger.AcceptIntoNew(t.Context(), jobID, "nightly", invoicetest.Payload(t, "T1")); err != nil {
		t.Fatal(err)
	}
	if _, page := s.get(t, "/queues"); !strings.Contains(page, "<bdi>nightly</bdi>") || !strings.Contains(page, "no worker consumes it") {
		t.Errorf("the queues:\n%s", page)
	}
	if _, page := s.get(t, "/"); !strings.Contains(page, "Queue <bdi>nightly</bdi> has no worker, and 1 job waits in it") {
		t.Errorf("the first page:\n%s", page)
	}
	if status, page := s.get(t, "/workers"); status != http.StatusOK || !strings.Contains(page, "<h1>Workers</h1>") {
		t.Errorf("the workers: %d\n%s", status, page)
	}
}

// All texts of jobs are somebody else's.
func TestTextsOfJobsStayTexts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>` + "\u202egnp.exe\x1b[31m"
	s.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, producer, queue, payload, state, outcome, reason) VALUES ($1, $1, $1, $1, '{}', 'failed', 'failed', $1)`, evil)
	s.Exec(t, `INSERT INTO invoice_job_actions (job_id, action, actor, note, dispatch, outcome, reason) VALUES ($1, 'replay', $1, $1, 0, 'failed', $1)`, evil)
	for _, path := range []string{"/", "/failed", "/failed?reason=" + url.QueryEscape(evil), "/actions", "/series", "/search?q=" + url.QueryEscape(evil), "/queues", "/failed?outcome=" + url.QueryEscape(evil)} {
		_, page := s.get(t, path)
		page = strings.Replace(page, `<script src="/live.js" defer></script>`, "", 1)
		page = regexp.MustCompile(`value="[^"<]*"`).ReplaceAllString(page, "") // what the visitor wrote, to be sent again as it is
		for _, wrong := range []string{"<script", "<img", "\u202e", "\x1b"} {
			if strings.Contains(page, wrong) {
				t.Errorf("%s has %q", path, wrong)
			}
		}
	}
}

func TestPagesMayLoadNothingOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	size := 0
	for _, path := range []string{"/", "/failed", "/series", "/actions", "/style.css", "/live.js", "/nothing"} {
		reply, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(reply.Body)
		reply.Body.Close()
		size += len(body)
		if regexp.MustCompile(`(?i)(src|href)="(https?:)?//`).Match(body) || strings.Contains(string(body), "style=") {
			t.Errorf("%s loads what the policy forbids", path)
		}
	}
	if size > 100<<10 {
		t.Errorf("the pages take %d bytes", size)
	}
}

func TestWatching(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/live?of=%2F", nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(reply.Body); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	rig.Find(t, lines, "the first content", func(line string) bool { return strings.Contains(line, "o failed job waits") })
	s.fail(t, "a")
	rig.Find(t, lines, "the new content", func(line string) bool { return strings.Contains(line, "1 failed") })
	s.pages.Close()
	rig.Eventually(t, "the end of the events", func() bool {
		select {
		case _, more := <-lines:
			return !more
		default:
			return false
		}
	})
	for _, of := range []string{"", "/failed", "//evil.example/", "x", "/actions", "/live?of=%2F"} {
		if status, _ := s.get(t, "/live?of="+url.QueryEscape(of)); status != http.StatusBadRequest {
			t.Errorf("watching %q: status %d", of, status)
		}
	}
}

func TestPagesWithoutTheirDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *pages.Options) {
		o.DatabaseTime = func(context.Context) (time.Time, error) { return time.Time{}, errors.New("secret address is away") }
	})
	status, page := s.get(t, "/failed")
	if status != http.StatusServiceUnavailable || strings.Contains(page, "secret") || !strings.Contains(page, "couldn&#39;t be read") {
		t.Errorf("status %d, page\n%s", status, page)
	}
}
