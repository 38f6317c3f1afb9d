package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

// happenings are events of a database that may be away.
type happenings struct {
	there api.Events
	away  *atomic.Pointer[postgres.DB]
}

func (h happenings) Events(ctx context.Context, issuers []string, after outbox.Cursor, types []string, most int) ([]outbox.ReadEvent, outbox.Cursor, error) {
	if db := h.away.Load(); db != nil {
		return db.Outbox.Events(ctx, issuers, after, types, most)
	}
	return h.there.Events(ctx, issuers, after, types, most)
}

func (h happenings) LastEvent(ctx context.Context) (outbox.Cursor, error) {
	if db := h.away.Load(); db != nil {
		return db.Outbox.LastEvent(ctx)
	}
	return h.there.LastEvent(ctx)
}

// follow reads a stream until ctx ends.
func (s *site) follow(ctx context.Context, t *testing.T, token, query, last string) <-chan api.EventRow {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/stream"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", answer.StatusCode, answer.Header)
	}
	rows := make(chan api.EventRow, 100)
	go func() {
		defer answer.Body.Close()
		var id, kind string
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				var row api.EventRow
				if err := json.Unmarshal([]byte(value), &row); err != nil || row.Cursor != id || row.Type != kind {
					t.Errorf("%s %s: %s, %v", id, kind, value, err)
				}
				rows <- row
			}
		}
	}()
	return rows
}

// followOnce sees that a stream begins.
func (s *site) followOnce(t *testing.T, token, query string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.follow(ctx, t, token, query, "")
}

func (s *site) happens(t *testing.T, kind, issuer, job string) {
	t.Helper()
	s.Exec(t, "SELECT tell($1, $2, 'T1', $3, '{\"n\":1}')", kind, issuer, job)
}

// Whoever reads on from a cursor, by pages or as a stream, misses nothing and gets nothing twice.
func TestEventsAreReadOn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR", "ACME-DE")
	s.Exec(t, "INSERT INTO event_recording VALUES ('job.failed'), ('invoice.created')")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := s.follow(ctx, t, "reader", "", "")
	var want []string
	for n := range 7 {
		kind := []string{outbox.JobFailed, outbox.InvoiceCreated}[n%2]
		s.happens(t, kind, []string{"", "ACME-FR", "ACME-DE"}[n%3], fmt.Sprint("job-", n))
		want = append(want, fmt.Sprint("job-", n))
	}
	var got, cursors []string
	for range want {
		row := rig.Receive(t, first, "an event")
		got, cursors = append(got, row.JobID), append(cursors, row.Cursor)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the stream has %v", got)
	}
	again := s.follow(ctx, t, "reader", "", cursors[3])
	for n := 4; n < 7; n++ {
		if row := rig.Receive(t, again, "the next event"); row.JobID != want[n] {
			t.Errorf("after the fourth: %s, want %s", row.JobID, want[n])
		}
	}
	pages := func(token, query string) (jobs []string) {
		t.Helper()
		for after := "0"; ; {
			page := into[api.EventPage](t, s.ask(t, token, http.MethodGet, "/v1/events?limit=2&after="+after+query, nil), http.StatusOK)
			if page.Next == after {
				if len(page.Events) > 0 {
					t.Errorf("the end has %+v", page.Events)
				}
				return jobs
			}
			for _, e := range page.Events {
				jobs = append(jobs, e.JobID)
			}
			after = page.Next
		}
	}
	for _, c := range []struct{ token, query, want string }{
		{"reader", "", strings.Join(want, " ")},
		{"reader", "&type=job.failed", "job-0 job-2 job-4 job-6"},
		{"reader", "&type=job.failed&type=invoice.created", strings.Join(want, " ")},
		{"reader", "&issuer=ACME-DE", "job-2 job-5"},
		{"reader", "&issuer=none", "job-0 job-3 job-6"},
		{"paris", "", "job-1 job-4"}, // the token of one issuer
	} {
		if got := strings.Join(pages(c.token, c.query), " "); got != c.want {
			t.Errorf("%s%s: %s, want %s", c.token, c.query, got, c.want)
		}
	}
	paris := s.follow(ctx, t, "paris", "?after=0&type=invoice.created", "")
	if row := rig.Receive(t, paris, "an event of Paris"); row.JobID != "job-1" {
		t.Errorf("Paris is told of %s", row.JobID)
	}
	for _, refused := range []string{"/v1/events?issuer=ACME-DE", "/v1/stream?issuer=ACME-DE"} {
		into[api.ProblemError](t, s.ask(t, "paris", http.MethodGet, refused, nil), http.StatusForbidden)
	}
	into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, "/v1/events?type=invoice.made", nil), http.StatusUnprocessableEntity)
}

// Events of one kind among many others are found in bounded steps: a page may have none of them, and its cursor goes on.
func TestFewOfManyEvents(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Exec(t, "INSERT INTO event_recording VALUES ('job.failed'), ('invoice.created')")
	s.Exec(t, "INSERT INTO events (type, job_id, data) SELECT 'job.failed', n::text, '{}' FROM generate_series(1, 45000) n")
	s.happens(t, outbox.InvoiceCreated, "", "the one")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var found []string
	after, steps := "0", 0
	rig.Eventually(t, "the one event", func() bool { // which a transaction of anybody in the server may hold up
		page := into[api.EventPage](t, s.ask(t, "reader", http.MethodGet, "/v1/events?type=invoice.created&after="+after, nil), http.StatusOK)
		for _, e := range page.Events {
			found = append(found, e.JobID)
		}
		if page.Next != after {
			after = page.Next
			steps++
		}
		return len(found) > 0
	})
	if len(found) != 1 || found[0] != "the one" || steps < 3 || steps > 4 {
		t.Errorf("%v after %d steps", found, steps)
	}
	if row := rig.Receive(t, s.follow(ctx, t, "reader", "?after=0&type=invoice.created", ""), "the event"); row.JobID != "the one" {
		t.Errorf("the stream has %+v", row)
	}
}

// What is posted is as the description has it.
func TestEventsAreAsDescribed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Exec(t, "INSERT INTO event_recording SELECT unnest(ARRAY['invoice.created', 'credit_note.created', 'job.duplicate', 'job.conflict', 'job.failed', 'endpoint.disabled'])")
	first := into[api.JobAnswer](t, s.post(t, "all", jobOf("T1")), http.StatusAccepted)
	s.work(t, first.JobID)
	made := into[report.JobState](t, s.ask(t, "reader", http.MethodGet, "/v1/jobs/"+first.JobID, nil), http.StatusOK)
	credit := into[api.JobAnswer](t, s.post(t, "all", bytes.Replace(jobOf("T2", `"credits_transaction_id":"T1"`), []byte(`"quantity":6`), []byte(`"quantity":-6`), 1)), http.StatusAccepted)
	s.work(t, credit.JobID)
	s.Exec(t, "INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) SELECT 'again', 'T1', 'T1', id, 'lost_race', 'w' FROM invoices WHERE invoice_number = $1", *made.InvoiceNumber)
	for _, outcome := range []string{"conflict", "failed"} {
		s.Exec(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason) VALUES ($1, 'T3', 'T3', 'q', '{}', 'failed', $1, 'r')", outcome)
	}
	s.Exec(t, "INSERT INTO event_endpoints (name, url, types, origin) VALUES ('e', 'https://e.example', '{job.failed}', 'configuration'); UPDATE event_endpoints SET state = 'disabled', reason = 'r'")
	var description struct {
		Webhooks map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Schema struct {
							Properties map[string]struct {
								Properties map[string]any `json:"properties"`
							} `json:"properties"`
						} `json:"schema"`
					} `json:"content"`
				} `json:"requestBody"`
			} `json:"post"`
		} `json:"webhooks"`
	}
	if err := json.Unmarshal(s.ask(t, "reader", http.MethodGet, "/v1/openapi.json", nil).body, &description); err != nil {
		t.Fatal(err)
	}
	var page api.EventPage
	rig.Eventually(t, "all of them", func() bool { // transactions of other tests may be under way, which hold them up
		page = into[api.EventPage](t, s.ask(t, "reader", http.MethodGet, "/v1/events", nil), http.StatusOK)
		return len(page.Events) == 6
	})
	seen := make(map[string]bool)
	for _, e := range page.Events {
		seen[e.Type] = true
		var data map[string]any
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		described := description.Webhooks[e.Type].Post.RequestBody.Content["application/json"].Schema.Properties["data"].Properties
		for _, link := range []string{"document_url", "document_url_expires_at"} { // which are added as an event is posted
			if _, ok := data[link]; ok {
				t.Errorf("%s has %s", e.Type, link)
			}
			delete(described, link)
		}
		if got, want := slices.Sorted(maps.Keys(data)), slices.Sorted(maps.Keys(described)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, and is described with %v", e.Type, got, want)
		}
	}
	if len(seen) != len(outbox.Types()) || len(description.Webhooks) != len(outbox.Types()) {
		t.Errorf("%v of %v happened, and %d are described", seen, outbox.Types(), len(description.Webhooks))
	}
}
