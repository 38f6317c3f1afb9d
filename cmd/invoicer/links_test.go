package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"invoicer/events"
	"invoicer/internal/rig"
)

// An event leads those whom the configuration says so to its document, without a token, and nobody else. An event that is posted again has a link that
// begins anew.
func TestEventsLeadToDocuments(t *testing.T) {
	t.Parallel()
	secret, key := events.NewSecret(), events.NewSecret()
	erp, stats, later := startHearing(t, secret), startHearing(t, secret), startHearing(t, secret)
	s := sharedSite(t).with(
		`INVOICER_EVENTS_ENDPOINTS=[{"name":"erp","url":"`+erp.URL+`","secret":"`+secret+`","types":["invoice.created","job.duplicate"],"documents":true},
{"name":"stats","url":"`+stats.URL+`","secret":"`+secret+`","types":["invoice.created"]}]`,
		"INVOICER_EVENTS_ALLOW=127.0.0.1", "INVOICER_DOCUMENTS_LINKS_URL=https://invoices.example/", "INVOICER_DOCUMENTS_LINKS_KEYS="+key,
	)
	s.change(t, "INSERT INTO event_endpoints (name, url, types, origin) VALUES ('later', '"+later.URL+"', '{invoice.created}', 'operator')")
	s.change(t, "INSERT INTO event_secrets (endpoint_id, secrets) SELECT id, ARRAY['"+secret+"'] FROM event_endpoints WHERE name = 'later'")
	worker := s.start(t, "worker")
	url := strings.TrimSuffix(worker.pages(t), "/")
	if code, _, stderr := s.run(t, oneJob+oneJob, "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatalf("enqueue exits with %d: %s", code, stderr)
	}
	rig.Eventually(t, "all of it to be heard", func() bool {
		a, _ := erp.count()
		b, _ := stats.count()
		c, _ := later.count()
		return a == 2 && b == 1 && c == 1
	})
	var link string
	for name, h := range map[string]*hearing{"erp": erp, "stats": stats, "later": later} {
		h.mu.Lock()
		for _, data := range h.heard {
			of, _ := data["document_url"].(string)
			if _, duplicate := data["reason"]; (of != "") != (name == "erp" && !duplicate) || (of != "") != (data["document_url_expires_at"] != nil) {
				t.Errorf("%s hears of %q: %v", name, of, data)
			}
			if of != "" {
				link = of
			}
		}
		h.mu.Unlock()
	}
	path, ok := strings.CutPrefix(link, "https://invoices.example/")
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	open := func(path string) (int, string) {
		return get(t, url+"/"+path, func(r *http.Request) { r.Host = "invoices.example" })
	}
	code, page := open(path)
	sum := sha256.Sum256([]byte(page))
	if code != http.StatusOK || !bytes.HasPrefix([]byte(page), []byte("%PDF")) || s.Count(t, "SELECT count(*) FROM documents WHERE encode(sha256, 'hex') = '"+hex.EncodeToString(sum[:])+"'") != 1 {
		t.Fatalf("%d %.100q", code, page)
	}
	if code, body := open(path[:len(path)-2]); code != http.StatusNotFound {
		t.Errorf("a forged one: %d %s", code, body)
	}
	if strings.Contains(worker.stderr(), path) {
		t.Error("the log has the link")
	}
	for name := range map[string]bool{"tail": true, "list": true} {
		args := map[string][]string{"tail": {"events", "tail", "--after", "0", "--once"}, "list": {"events", "list", "--json"}}[name]
		if code, stdout, stderr := s.run(t, "", args...); code != exitOK || strings.Contains(stdout, "document_url") {
			t.Errorf("events %s exits with %d: %s %s", name, code, stdout, stderr)
		}
	}
}
