package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"invoicer/internal/report"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

func TestReads(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var jobs []api.JobAnswer
	for _, id := range []string{"T1", "a/b%.c", "T3", "T1"} {
		one := into[api.JobAnswer](t, s.post(t, "nightly", jobOf(id, `"producer":"nightly"`, `"version":2`)), http.StatusAccepted)
		s.work(t, one.JobID)
		jobs = append(jobs, one)
	}
	story := into[report.Story](t, s.ask(t, "reader", http.MethodGet, "/v1/transactions/a%2Fb%25.c", nil), http.StatusOK)
	if story.Invoice == nil || story.Invoice.InvoiceNumber != "INV-000002" || len(story.Jobs) != 1 || story.Jobs[0].JobID != jobs[1].JobID {
		t.Errorf("%+v", story)
	}
	into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, "/v1/transactions/"+jobs[0].JobID, nil), http.StatusNotFound) // it is a job's
	one := into[report.Invoice](t, s.ask(t, "reader", http.MethodGet, "/v1/invoices/INV-000003", nil), http.StatusOK)
	if one.TransactionID != "T3" || one.Lines != 1 || len(one.Taxes) != 1 {
		t.Errorf("%+v", one)
	}
	series := into[api.SeriesList](t, s.ask(t, "reader", http.MethodGet, "/v1/series", nil), http.StatusOK)
	if len(series.Series) != 1 || series.Series[0].LastNumber != 3 {
		t.Errorf("%+v", series)
	}
	duplicates := into[report.Page[report.ListedDuplicate]](t, s.ask(t, "reader", http.MethodGet, "/v1/duplicates?producer=nightly", nil), http.StatusOK)
	if len(duplicates.Rows) != 0 { // the generator doesn't record them
		t.Errorf("%+v", duplicates)
	}
	var numbers []string
	for after, pages := "", 0; pages < 5; pages++ {
		page := into[report.Page[report.Invoice]](t, s.ask(t, "reader", http.MethodGet, "/v1/invoices?limit=2&after="+after, nil), http.StatusOK)
		for _, row := range page.Rows {
			numbers = append(numbers, row.InvoiceNumber)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if got := strings.Join(numbers, " "); got != "INV-000003 INV-000002 INV-000001" {
		t.Errorf("the pages have %s", got)
	}
	numbers = nil
	for after, pages := "", 0; pages < 4; pages++ {
		page := into[report.Page[report.Invoice]](t, s.ask(t, "reader", http.MethodGet, "/v1/invoices?limit=2&order=oldest&after="+after, nil), http.StatusOK)
		for _, row := range page.Rows {
			numbers = append(numbers, row.InvoiceNumber)
		}
		if after = page.Next; after == "" {
			t.Error("a list from the oldest has no next")
		}
	}
	if got := strings.Join(numbers, " "); got != "INV-000001 INV-000002 INV-000003" {
		t.Errorf("the pages from the oldest have %s", got)
	}
	filtered := into[report.Page[report.ListedJob]](t, s.ask(t, "reader", http.MethodGet, "/v1/jobs?state=done&outcome=created&limit=10&since=2020-01-01T00:00:00Z", nil), http.StatusOK)
	if len(filtered.Rows) != 3 {
		t.Errorf("%+v", filtered)
	}
	for _, bad := range []string{"after=x", "limit=0", "limit=1001", "state=gone", "since=yesterday", "after=o1", "order=x"} {
		p := into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, "/v1/jobs?"+bad, nil), http.StatusUnprocessableEntity)
		if name, _, _ := strings.Cut(bad, "="); len(p.Errors) != 1 || p.Errors[0].Parameter != name {
			t.Errorf("%s: %+v", bad, p)
		}
	}
}

func TestETags(t *testing.T) {
	t.Parallel()
	s := setup(t)
	posted := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	path := "/v1/jobs/" + posted.JobID
	first := s.ask(t, "reader", http.MethodGet, path, nil)
	etag := first.Header.Get("ETag")
	for _, header := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		if r := s.ask(t, "reader", http.MethodGet, path, nil, "If-None-Match", header); r.StatusCode != http.StatusNotModified || len(r.body) != 0 || r.Header.Get("ETag") != etag {
			t.Errorf("%s: %s", header, r)
		}
	}
	s.work(t, posted.JobID)
	if r := s.ask(t, "reader", http.MethodGet, path, nil, "If-None-Match", etag); r.StatusCode != http.StatusOK || r.Header.Get("ETag") == etag {
		t.Errorf("once it is done: %s", r)
	}
}

func TestPreviews(t *testing.T) {
	t.Parallel()
	s := setup(t)
	preview := func(body []byte) api.Preview {
		t.Helper()
		return into[api.Preview](t, s.ask(t, "nightly", http.MethodPost, "/v1/previews", body), http.StatusOK)
	}
	good := preview(jobOf("T1"))
	if good.Outcome != "created" || len(good.Violations) != 0 || good.Totals.TotalMinor != 1836 || good.Totals.Taxes[0].TaxMinor != 306 || good.Series != "INV" || good.NumberExample != "INV-000001" {
		t.Errorf("%+v", good)
	}
	bad := preview([]byte(`{"transaction_id":"T1"}`))
	if bad.Outcome != "invalid" || len(bad.Violations) != 3 || bad.Totals != nil {
		t.Errorf("%+v", bad)
	}
	if unknown := preview(jobOf("T1", `"issuer":"NOBODY"`)); unknown.Outcome != "invalid" || len(unknown.Violations) != 1 || unknown.Violations[0].Pointer != "/issuer" || unknown.Totals == nil {
		t.Errorf("%+v", unknown)
	}
	s.ledgerHas(t, 0)
	if n := s.Count(t, "SELECT count(*) FROM series"); n != 0 {
		t.Error("a series was made")
	}
	posted := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	s.work(t, posted.JobID)
	if same := preview(jobOf("T1")); same.Outcome != "duplicate" || same.InvoiceNumber != "INV-000001" {
		t.Errorf("%+v", same)
	}
	if other := preview([]byte(strings.ReplaceAll(string(jobOf("T1")), "GBP", "EUR"))); other.Outcome != "conflict" || len(other.Violations) != 1 || other.Violations[0].Pointer != "/currency" {
		t.Errorf("%+v", other)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first := into[api.JobAnswer](t, s.post(t, "checkout", jobOf("T1")), http.StatusAccepted)
	s.work(t, first.JobID)
	jobs := [][]byte{jobOf("T1"), jobOf("T2"), []byte(`{"transaction_id":"T3"}`), []byte(`[]`), jobOf("T4", `"producer":"other"`), jobOf("T5", `"issuer":"NOBODY"`), jobOf("T6"), jobOf("T6")}
	path := "/v1/jobs/batch?queue=" + s.Queue
	check := func(results []api.BatchResult, want string) {
		t.Helper()
		var got []string
		for i, r := range results {
			status := 0
			if r.Problem != nil {
				status = r.Problem.Status
			}
			got = append(got, fmt.Sprintf("%s%s%d", r.Status, r.InvoiceNumber, status))
			if r.Index != i || (r.JobID == "") != (r.Status == "refused") || (r.KnownJobID == "") != (r.Status != "known") || r.KnownJobID != "" && r.KnownJobID == r.JobID {
				t.Errorf("%+v", r)
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s", got)
		}
	}
	batch := into[api.Batch](t, s.ask(t, "checkout", http.MethodPost, path, fmt.Appendf(nil, "[%s]", bytes.Join(jobs, []byte(", ")))), http.StatusOK)
	check(batch.Jobs, "duplicateINV-0000010 inserted0 refused422 refused422 refused403 refused422 inserted0 known0")
	if batch.Accepted != 4 || batch.Refused != 4 || batch.Jobs[7].KnownJobID != batch.Jobs[6].JobID {
		t.Errorf("%+v", batch)
	}
	s.ledgerHas(t, 5)
	r := s.ask(t, "checkout", http.MethodPost, path, append(bytes.Join(jobs, []byte("\n\r\n")), '\n'), "Content-Type", "application/x-ndjson")
	var results []api.BatchResult
	for line := range bytes.Lines(r.body) {
		var one api.BatchResult
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%v in %s", err, r)
		}
		results = append(results, one)
	}
	check(results, "duplicateINV-0000010 known0 refused422 refused422 refused403 refused422 known0 known0")
	if results[1].KnownJobID != batch.Jobs[1].JobID || results[7].KnownJobID != batch.Jobs[6].JobID {
		t.Errorf("%+v", results)
	}
	s.ledgerHas(t, 9)
	for _, bad := range []string{"", "{}", "[", "[{]", "[] 1", "[" + strings.Repeat("{},", 1000) + "{}]"} {
		into[api.ProblemError](t, s.ask(t, "checkout", http.MethodPost, path, []byte(bad)), http.StatusUnprocessableEntity)
	}
	if none := into[api.Batch](t, s.ask(t, "checkout", http.MethodPost, path, []byte("[]")), http.StatusOK); none.Jobs == nil || len(none.Jobs) != 0 {
		t.Errorf("%+v", none)
	}
	for kind, body := range map[string]string{"application/json": "[" + string(jobs[1]) + "]", "application/x-ndjson": string(jobs[1])} {
		r := s.ask(t, "checkout", http.MethodPost, "/v1/jobs/batch?queue=unheard_of", []byte(body), "Content-Type", kind)
		if p := into[api.ProblemError](t, r, http.StatusUnprocessableEntity); len(p.Errors) != 1 || p.Errors[0].Parameter != "queue" {
			t.Errorf("%s", r)
		}
	}
	s.ledgerHas(t, 9)
}

// A stream is answered while it is being sent, and what is sent isn't read on while nobody reads the answers.
func TestAStreamIsAnsweredWhileItComes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/jobs/batch?queue="+s.Queue, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.Header.Set("Authorization", "Bearer nightly")
	answers := make(chan *http.Response)
	go func() {
		answer, err := s.oracle.next.RoundTrip(r)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	var lines *bufio.Scanner
	for i := range 5 {
		if _, err := writer.Write(append(jobOf(fmt.Sprintf("T%d", i)), '\n')); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			answer := <-answers
			defer answer.Body.Close()
			lines = bufio.NewScanner(answer.Body)
		}
		var one api.BatchResult
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &one) != nil || one.Index != i || one.Status != "inserted" {
			t.Fatalf("answer %d: %s", i, lines.Text())
		}
		s.ledgerHas(t, i+1)
	}
	writer.Close()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the end: %q %v", lines.Text(), lines.Err())
	}
}

// A stream outlives an outage: what wasn't accepted is told, and what comes after it is accepted.
func TestAStreamGoesOnAfterAnOutage(t *testing.T) {
	t.Parallel()
	var away atomic.Pointer[postgres.DB]
	s := setup(t, func(o *api.Options) { o.Settings = settings{o.Settings, &away} })
	gone := awayDB(t)
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/jobs/batch?queue="+s.Queue, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.Header.Set("Authorization", "Bearer nightly")
	answers := make(chan *http.Response)
	go func() {
		answer, err := s.oracle.next.RoundTrip(r)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	var results *json.Decoder
	for i, want := range []string{"inserted", "unavailable", "unavailable", "inserted"} {
		away.Store(nil)
		if want == "unavailable" {
			away.Store(gone)
		}
		if _, err := writer.Write(append(jobOf(fmt.Sprintf("T%d", i)), '\n')); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			answer := <-answers
			defer answer.Body.Close()
			results = json.NewDecoder(answer.Body)
		}
		var one api.BatchResult
		if err := results.Decode(&one); err != nil || one.Index != i || one.Status != want || (one.JobID != "") != (want == "inserted") {
			t.Fatalf("result %d: %+v, %v", i, one, err)
		}
	}
	writer.Close()
	if err := results.Decode(new(api.BatchResult)); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	s.ledgerHas(t, 2)
}

func TestReplayAndDismiss(t *testing.T) {
	t.Parallel()
	var told []string
	s := setup(t, func(o *api.Options) { o.Accepted = func(ids ...string) { told = append(told, ids...) } })
	posted := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	path := "/v1/jobs/" + posted.JobID
	act := func(token, action, body string, status int) reply {
		t.Helper()
		r := s.ask(t, token, http.MethodPost, path+"/"+action, []byte(body))
		if r.StatusCode != status {
			t.Fatalf("%s %s by %s: want %d, got %s", action, body, token, status, r)
		}
		return r
	}
	if p := into[api.ProblemError](t, act("operator", "replay", "", http.StatusConflict), http.StatusConflict); p.State != "accepted" {
		t.Errorf("%+v", p)
	}
	s.fail(t, posted.JobID)
	act("reader", "replay", "{}", http.StatusForbidden)
	act("local", "replay", "", http.StatusUnprocessableEntity)
	act("operator", "dismiss", `{}`, http.StatusUnprocessableEntity)
	act("operator", "dismiss", `{"note":"n","by":"somebody else"}`, http.StatusUnprocessableEntity)
	act("paris", "replay", "", http.StatusNotFound)
	told = nil
	again := into[report.JobState](t, act("operator", "replay", `{"note":"the fire is out"}`, http.StatusAccepted), http.StatusAccepted)
	if again.State != "accepted" || len(told) != 1 {
		t.Errorf("%+v, told of %v", again, told)
	}
	s.fail(t, posted.JobID)
	gone := into[report.JobState](t, act("local", "dismiss", `{"by":"ada","note":"paid by hand"}`, http.StatusOK), http.StatusOK)
	if gone.State != "dismissed" {
		t.Errorf("%+v", gone)
	}
	if p := into[api.ProblemError](t, act("operator", "dismiss", `{"note":"n"}`, http.StatusConflict), http.StatusConflict); p.State != "dismissed" {
		t.Errorf("%+v", p)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws('|', action, actor, note), ', ' ORDER BY id) FROM invoice_job_actions"); got != "replay|operator|the fire is out, dismiss|ada|paid by hand" {
		t.Errorf("on record is %s", got)
	}
	invalid := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T2")), http.StatusAccepted)
	path = "/v1/jobs/" + invalid.JobID
	s.fail(t, invalid.JobID)
	s.Exec(t, "UPDATE invoice_jobs SET payload = '{}' WHERE job_id = $1", invalid.JobID)
	if p := into[api.ProblemError](t, act("operator", "replay", "", http.StatusUnprocessableEntity), http.StatusUnprocessableEntity); len(p.Errors) == 0 || p.JobID != invalid.JobID {
		t.Errorf("%+v", p)
	}
}

// A job as it was asked for is shown to those whom the configuration names, and that they look goes on record.
func TestPayloads(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR")
	posted := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1", `"customer_name":"Ada"`, `"metadata":{"for":"Ada"}`)), http.StatusAccepted)
	path := "/v1/jobs/" + posted.JobID + "/payload"
	into[api.ProblemError](t, s.ask(t, "reader", http.MethodPost, path, nil), http.StatusForbidden)
	into[api.ProblemError](t, s.ask(t, "paris", http.MethodPost, path, nil), http.StatusNotFound)
	into[api.ProblemError](t, s.ask(t, "local", http.MethodPost, path, nil), http.StatusUnprocessableEntity)
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d looks are on record", n)
	}
	if r := s.ask(t, "operator", http.MethodPost, path, nil); r.StatusCode != http.StatusOK || !bytes.Contains(r.body, []byte(`"customer_name":"Ada"`)) {
		t.Errorf("%s", r)
	}
	if got := s.Text(t, "SELECT concat_ws('|', action, subject, actor) FROM actions"); got != "see personal data|"+posted.JobID+"|operator" {
		t.Errorf("on record is %s", got)
	}
	s.work(t, posted.JobID)
	for _, path := range []string{"/v1/invoices", "/v1/invoices/INV-000001", "/v1/jobs", "/v1/transactions/T1", "/v1/jobs/" + posted.JobID} {
		if r := s.ask(t, "operator", http.MethodGet, path, nil); r.StatusCode != http.StatusOK || bytes.Contains(r.body, []byte("Ada")) {
			t.Errorf("%s: %s", path, r)
		}
	}
	hidden := serve(t, s.Rig, func(o *api.Options) { o.PersonalData = "" })
	into[api.ProblemError](t, hidden.ask(t, "operator", http.MethodPost, path, nil), http.StatusForbidden)
}
