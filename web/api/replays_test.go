package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/web/api"
	"invoicer/worker/dispatch"
)

// workOnReplays has a process work on replays until the test ends.
func (s *site) workOnReplays(t *testing.T) {
	t.Helper()
	process := dispatch.NewBulk(dispatch.BulkOptions{
		Bulks: s.store.Replays, Failures: s.store.Ledger, Forecaster: invoice.NewForecaster(s.generator), Holder: t.Name(), Look: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { process.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func TestReplaysOfMany(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR", "ACME-DE")
	for _, job := range [][]byte{jobOf("T1", `"issuer":"ACME-FR"`), jobOf("T2", `"issuer":"ACME-DE"`), jobOf("T3"), jobOf("T4")} {
		s.fail(t, into[api.JobAnswer](t, s.post(t, "nightly", job), http.StatusAccepted).JobID)
	}
	s.Exec(t, `UPDATE invoice_jobs SET payload = '{"transaction_id":"T4"}' WHERE transaction_id = 'T4'`)
	post := func(token, body string, headers ...string) reply {
		return s.ask(t, token, http.MethodPost, "/v1/replays", []byte(body), headers...)
	}
	first := post("operator", `{"filter":{"issuer":"none","outcomes":["failed"]},"rate":1000,"note":"mended"}`, "Idempotency-Key", "k")
	begun := into[api.Replay](t, first, http.StatusAccepted)
	if begun.State != "waiting" || begun.By != "operator" || begun.Note != "mended" || begun.Filter.Until == nil || begun.Filter.Issuer != "none" || first.Header.Get("Location") != "/v1/replays/"+begun.ID {
		t.Errorf("%s", first)
	}
	again := post("operator", `{"rate":1000,"filter":{"outcomes":["failed"],"issuer":"none"},"note":"mended"}`, "Idempotency-Key", "k")
	if same := into[api.Replay](t, again, http.StatusAccepted); same.ID != begun.ID || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s", again)
	}
	into[api.ProblemError](t, post("operator", `{"filter":{"issuer":"none"}}`, "Idempotency-Key", "k"), http.StatusUnprocessableEntity)
	s.workOnReplays(t)
	get := func(token, id string) reply { return s.ask(t, token, http.MethodGet, "/v1/replays/"+id, nil) }
	var ended api.Replay
	rig.Eventually(t, "the end", func() bool {
		ended = into[api.Replay](t, get("reader", begun.ID), http.StatusOK)
		return ended.EndedAt != nil
	})
	if ended.State != "finished" || *ended.Counted != 2 || ended.Replayed != 1 || ended.Refused != 1 || ended.Forecasts["created"] != 1 ||
		len(ended.Refusals) != 1 || ended.Refusals[0].TransactionID != "T4" || len(ended.Refusals[0].Errors) != 3 || ended.Refusals[0].Errors[0].Pointer == "" {
		t.Errorf("%+v", ended)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws(' ', transaction_id, state), ', ' ORDER BY transaction_id) FROM invoice_jobs"); got != "T1 failed, T2 failed, T3 accepted, T4 failed" {
		t.Errorf("%s", got)
	}
	if again := into[api.Replay](t, post("operator", `{"filter":{"issuer":"none","outcomes":["failed"]},"rate":1000,"note":"mended"}`, "Idempotency-Key", "k"), http.StatusAccepted); again.State != "finished" {
		t.Errorf("%+v", again)
	}

	// Who is limited to issuers replays their jobs, and sees their replays alone.
	into[api.ProblemError](t, post("paris", `{"filter":{"issuer":"ACME-DE"}}`), http.StatusForbidden)
	theirs := into[api.Replay](t, post("paris", `{"all":true}`), http.StatusAccepted)
	rig.Eventually(t, "the end", func() bool { return into[api.Replay](t, get("paris", theirs.ID), http.StatusOK).EndedAt != nil })
	if got := s.Text(t, "SELECT string_agg(concat_ws(' ', transaction_id, state), ', ' ORDER BY transaction_id) FROM invoice_jobs"); got != "T1 accepted, T2 failed, T3 accepted, T4 failed" {
		t.Errorf("%s", got)
	}
	into[api.ProblemError](t, get("paris", begun.ID), http.StatusNotFound)
	into[api.ProblemError](t, s.ask(t, "paris", http.MethodPost, "/v1/replays/"+begun.ID+"/cancel", []byte("{}")), http.StatusNotFound)
	if page := into[api.ReplayPage](t, s.ask(t, "paris", http.MethodGet, "/v1/replays?limit=1", nil), http.StatusOK); len(page.Replays) != 1 || page.Replays[0].ID != theirs.ID || page.Next != theirs.ID {
		t.Errorf("%+v", page)
	} else if page = into[api.ReplayPage](t, s.ask(t, "reader", http.MethodGet, "/v1/replays?limit=2&after="+page.Next, nil), http.StatusOK); len(page.Replays) != 1 || page.Replays[0].ID != begun.ID || page.Next != "" {
		t.Errorf("%+v", page)
	}
}

func TestRequestsForReplaysAreChecked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for body, pointers := range map[string][]string{
		`{}`:                                  {"/filter"},
		`{"all":true,"filter":{"queue":"q"}}`: {"/all"},
		`{"filter":{"since":"2026-02-01T00:00:00Z","until":"2026-01-01T00:00:00Z","reason":"\u0000"}}`: {"/filter/reason", "/filter/since"},
		`{"all":true,"by":"eve"}`:             {"/by"},
		`{"all":true,"rate":-1}`:              {"/rate"},
		`{"filter":{"outcomes":["created"]}}`: {"/filter/outcomes/0"},
		`{"filter":{"sinc":"x"}}`:             {"/filter/sinc"},
	} {
		p := into[api.ProblemError](t, s.ask(t, "operator", http.MethodPost, "/v1/replays", []byte(body)), http.StatusUnprocessableEntity)
		got := make(map[string]bool)
		for _, f := range p.Errors {
			got[f.Pointer] = true
		}
		for _, pointer := range pointers {
			if !got[pointer] || len(got) != len(pointers) {
				t.Errorf("%s: %+v", body, p)
			}
		}
	}
	into[api.ProblemError](t, s.ask(t, "local", http.MethodPost, "/v1/replays", []byte(`{"all":true}`)), http.StatusUnprocessableEntity)
	if r := into[api.Replay](t, s.ask(t, "local", http.MethodPost, "/v1/replays", []byte(`{"all":true,"by":"ada"}`)), http.StatusAccepted); r.By != "ada" {
		t.Errorf("%+v", r)
	}
}
