package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"invoicer/web"
)

func TestServeShowsAndTakesNoJobs(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	if code, _, stderr := s.run(t, strings.ReplaceAll(oneJob, "X1", "T1"), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatalf("enqueue exits with %d: %s", code, stderr)
	}
	served := s.start(t, "serve")
	served.awaitReadyz(t, http.StatusOK)
	url := served.pages(t)
	for path, want := range map[string]string{
		"/": "has no worker, and 1 job waits in it", "/search?q=T1": "Why it isn’t at its end", "/queues": "no worker consumes it",
		"/monitor/": "Asynq", "/metrics": "invoicer_ready 1", "/series": "no series yet",
	} {
		if code, page := get(t, url+path); code != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("%s: %d, without %q:\n%s", path, code, want, page)
		}
	}
	if reply, err := http.Head(url + "/"); err != nil || reply.Header.Get("Content-Security-Policy") != web.PagePolicy {
		t.Errorf("the pages' policy: %v, error %v", reply, err)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != 1 {
		t.Error("the job is on its way, though nobody may take it")
	}
	served.signal(t, syscall.SIGTERM)
	if code := served.exit(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
