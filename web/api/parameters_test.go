package api_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/rig"
	"invoicer/migrations"
	"invoicer/web/api"
)

// A parameter that there isn't is refused by what reads and writes by itself, too: it might be a queue or a filter that was mistyped.
func TestUnknownParameters(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, c := range []struct{ token, method, path, parameter string }{
		{"nightly", http.MethodPost, "/v1/jobs/batch?que=" + s.Queue, "que"},
		{"nightly", http.MethodPost, "/v1/jobs/batch?queue=default&queue=" + s.Queue, "queue"},
		{"reader", http.MethodGet, "/v1/stream?types=job.failed", "types"},
		{"reader", http.MethodGet, "/v1/stream?issuer=none&issuer=ACME", "issuer"},
	} {
		p := into[api.ProblemError](t, s.ask(t, c.token, c.method, c.path, []byte("["+string(jobOf("T1"))+"]")), http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || p.Errors[0].Parameter != c.parameter {
			t.Errorf("%s: %+v", c.path, p)
		}
	}
	s.ledgerHas(t, 0)
}

// Who waits for an invoice keeps no share of the memory for bodies: others can send theirs.
func TestWhoWaitsKeepsNoMemory(t *testing.T) {
	t.Parallel()
	s := setup(t, func(o *api.Options) { o.Bodies = 3 << 20 })
	post := func(transaction, wait string) (reply, error) { // of a length that isn't said, so that it counts as the largest
		return s.try(t.Context(), "nightly", http.MethodPost, "/v1/jobs?queue="+s.Queue, io.MultiReader(strings.NewReader(string(jobOf(transaction)))), "Prefer", "wait="+wait)
	}
	waited := make(chan reply, 1)
	go func() {
		r, err := post("T1", "20")
		if err != nil {
			t.Error(err)
		}
		waited <- r
	}()
	rig.Eventually(t, "the job of the one who waits", func() bool { return s.Count(t, "SELECT count(*) FROM invoice_jobs") == 1 })
	r, err := post("T2", "0")
	if err != nil || r.StatusCode != http.StatusAccepted {
		t.Errorf("another one: %s, %v", r, err)
	}
	s.work(t, s.Text(t, "SELECT job_id FROM invoice_jobs WHERE transaction_id = 'T1'"))
	if r := rig.Receive(t, waited, "the answer of the one who waits"); r.StatusCode != http.StatusCreated {
		t.Errorf("the one who waits: %s", r)
	}
}

// A cursor of the server from which the data was restored would hide events: it is refused.
func TestCursorsOfAnotherServer(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Exec(t, "INSERT INTO event_recording VALUES ('job.failed')")
	s.happens(t, "job.failed", "", "j1")
	for _, path := range []string{"/v1/events?after=", "/v1/stream?after="} {
		p := into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, path+"900000000000-7", nil), http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || p.Errors[0].Parameter != "after" || !strings.Contains(p.Errors[0].Detail, "restored") {
			t.Errorf("%s: %+v", path, p)
		}
	}
	// What the other server wrote comes first, once the schema was brought up to date.
	s.Exec(t, "UPDATE events SET xid = '900000000000'")
	s.happens(t, "job.failed", "", "j2")
	jobs := func() (list []string) {
		for _, e := range into[api.EventPage](t, s.ask(t, "reader", http.MethodGet, "/v1/events", nil), http.StatusOK).Events {
			list = append(list, e.JobID)
		}
		return list
	}
	rig.Eventually(t, "the new event", func() bool { return len(jobs()) == 1 })
	m, err := migrations.New(s.URL, s.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "the events of both servers", func() bool { return slices.Equal(jobs(), []string{"j1", "j2"}) })
}
