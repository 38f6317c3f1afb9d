package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"invoicer/internal/doctor"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// A process that serves the pages and the API does all that they offer as the role that is made for it.
func TestServeHasARoleOfItsOwn(t *testing.T) {
	t.Parallel()
	i := installOn(t, durablePostgres(t).URL, sandboxtest.PrivateRedis(t).URL)
	i.site = i.with("INVOICER_WORKER_QUEUES=default=1", "INVOICER_EVENTS_ALLOW=127.0.0.1", "INVOICER_HTTP_PERSONAL_DATA=operate")
	i.queue = "default"
	i.KnowQueue(t, "default")
	served := i.of(t, "serve").start(t, "serve")
	served.awaitReadyz(t, http.StatusOK)
	address := served.pages(t)
	ask := func(method, path, body string, status int) map[string]any {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, strings.NewReader(body))
		must(t, err)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		if answer.StatusCode != status {
			t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, text)
		}
		var read map[string]any
		if len(text) > 0 {
			must(t, json.Unmarshal(text, &read))
		}
		return read
	}
	job, _ := ask(http.MethodPost, "/v1/jobs", payloadOf("T1", "GBP"), http.StatusAccepted)["job_id"].(string)
	ask(http.MethodPost, "/v1/jobs", payloadOf("T1", "GBP"), http.StatusAccepted)
	ask(http.MethodPost, "/v1/jobs/batch", "["+payloadOf("T2", "GBP")+","+payloadOf("T2", "GBP")+"]", http.StatusOK)
	i.awaitCount(t, 3, "SELECT count(*) FROM invoice_jobs WHERE state = 'enqueued'") // it sends what it has accepted
	ask(http.MethodPost, "/v1/previews", payloadOf("T3", "GBP"), http.StatusOK)
	for _, path := range []string{
		"/v1/jobs", "/v1/jobs?order=oldest", "/v1/invoices", "/v1/invoices?order=oldest", "/v1/duplicates?order=oldest", "/v1/series", "/v1/events", "/v1/replays", "/v1/endpoints", "/v1/transactions/T1",
		"/v1/jobs/" + job,
	} {
		ask(http.MethodGet, path, "", http.StatusOK)
	}
	i.fail(t, "one", "T4", "failed", "planted", "p", "default", payloadOf("T4", "GBP"), "1h")
	ask(http.MethodPost, "/v1/jobs/one/replay", `{"by":"ada"}`, http.StatusAccepted)
	i.fail(t, "two", "T5", "failed", "planted", "p", "default", payloadOf("T5", "GBP"), "1h")
	ask(http.MethodPost, "/v1/jobs/two/dismiss", `{"by":"ada","note":"n"}`, http.StatusOK)
	i.fail(t, "three", "T6", "failed", "planted", "p", "default", payloadOf("T6", "GBP"), "1h")
	replay, _ := ask(http.MethodPost, "/v1/replays", `{"all":true,"by":"ada"}`, http.StatusAccepted)["replay_id"].(string)
	rig.Eventually(t, "the replay's end", func() bool {
		r := ask(http.MethodGet, "/v1/replays/"+replay, "", http.StatusOK)
		return r["state"] == "finished" && r["replayed"] == 1.0
	})
	ask(http.MethodPost, "/v1/replays/"+replay+"/cancel", `{"by":"ada"}`, http.StatusConflict)
	ask(http.MethodPost, "/v1/endpoints", `{"name":"erp","url":"http://127.0.0.1:1/","types":["invoice.created"],"by":"ada"}`, http.StatusCreated)
	ask(http.MethodPatch, "/v1/endpoints/erp", `{"types":["job.failed"],"by":"ada"}`, http.StatusOK)
	for _, action := range []string{"rotate", "disable", "enable", "deliveries/replay"} {
		ask(http.MethodPost, "/v1/endpoints/erp/"+action, `{"by":"ada"}`, http.StatusOK)
	}
	ask(http.MethodPost, "/v1/endpoints/erp/test", `{"by":"ada"}`, http.StatusAccepted)
	ask(http.MethodGet, "/v1/endpoints/erp/deliveries", "", http.StatusOK)
	ask(http.MethodDelete, "/v1/endpoints/erp?by=ada", "", http.StatusNoContent)

	i.fail(t, "four", "T7", "failed", "planted", "p", "default", payloadOf("T7", "GBP"), "1h")
	for _, form := range []struct{ path, fields string }{
		{"/failed", "do=forecast"}, {"/failed", "do=dismiss&by=ada&note=n"}, {"/queues", "do=pause&queue=default&by=ada"}, {"/queues", "do=resume&queue=default&by=ada"},
	} {
		values, err := url.ParseQuery(form.fields)
		must(t, err)
		answer, err := http.PostForm(address+form.path, values)
		must(t, err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK { // of the page to which it leads
			t.Errorf("%s: %d", form.path, answer.StatusCode)
		}
	}
	i.awaitCount(t, 1, "SELECT count(*) FROM invoice_jobs WHERE job_id = 'four' AND state = 'dismissed'")
	for _, path := range []string{"/", "/failed", "/invoices", "/jobs", "/duplicates", "/series", "/queues", "/races", "/history", "/handovers", "/search?q=T1", "/metrics", "/monitor/"} {
		if code, body := get(t, address+path); code >= http.StatusInternalServerError {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	i.of(t, "worker").start(t, "worker")
	rig.Eventually(t, "an invoice", func() bool { return i.Count(t, "SELECT count(*) FROM invoices") > 0 })
	for path, begins := range map[string]string{
		"/v1/invoices/INV-000001/document?by=ada": "%PDF-", "/document?number=INV-000001&format=pdf&by=ada": "<!doctype html>", "/document/file?number=INV-000001&format=ubl&by=ada": "<?xml",
	} {
		if code, body := get(t, address+path); code != http.StatusOK || !strings.HasPrefix(strings.ToLower(body), strings.ToLower(begins)) {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	i.Exec(t, "INSERT INTO handovers (invoice_id, channel) SELECT min(id), 'gateway' FROM invoices")
	for _, path := range []string{"/v1/handovers", "/v1/handovers?order=oldest", "/v1/handovers/1", "/v1/handovers/1?words=true&by=ada"} {
		ask(http.MethodGet, path, "", http.StatusOK)
	}
	ask(http.MethodPost, "/v1/handovers/1/resend", `{"by":"ada","anyway":true}`, http.StatusOK)
	ask(http.MethodPost, "/v1/handovers/1/answer", `{"by":"ada","state":"rejected"}`, http.StatusOK)
	ask(http.MethodPost, "/v1/handovers/1/cancel", `{"by":"ada"}`, http.StatusOK)
	i.of(t, "serve").diagnose(t).has(t, doctor.Warning, "rights", "GRANT", "role serve may serve the pages and the API, but not work")
	for _, text := range []string{"lacks rights", "may not", "permission denied", "42501"} {
		if served.said(text) {
			t.Errorf("it lacks rights: %s", served.stderr())
		}
	}
}
