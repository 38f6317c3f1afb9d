package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/rig"
)

// Jobs in hand may take a while. A load balancer and an orchestrator learn meanwhile that the worker drains, and lives.
func TestPagesAnswerWhileDraining(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.enqueue(t, "T1")
	release := s.hold(t)
	w := s.start(t, "worker")
	url := w.pages(t)
	s.awaitInHand(t, 1)
	w.signal(t, syscall.SIGTERM)
	w.await(t, "draining")
	rig.Await(t, func() error {
		if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
			return fmt.Errorf("/readyz says that it drains: %d %s", code, body)
		}
		return nil
	})
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	release()
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
