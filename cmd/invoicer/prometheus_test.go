package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
)

// deployed has the rules that are delivered.
const deployed = "../../deploy/prometheus"

// promtool runs Prometheus's own checks.
func promtool(t *testing.T, prometheus, stdin string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(prometheus), "promtool"), args...)
	c.Dir, c.Stdin = deployed, strings.NewReader(stdin)
	if output, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, output)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// A Prometheus that scrapes a worker with a token, and evaluates the delivered rules without their delays.
type scraper struct{ url string }

func startPrometheus(t *testing.T, program, target, token string) scraper {
	t.Helper()
	folder := t.TempDir()
	rules, err := os.ReadFile(filepath.Join(deployed, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yml", regexp.MustCompile(`(?m)^ +for: .*\n`).ReplaceAllString(string(rules), ""))
	write("prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: invoicer
    authorization: {credentials: %q}
    static_configs: [{targets: [%q]}]
`, token, target))
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, program, "--config.file="+filepath.Join(folder, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address, "--enable-feature=exemplar-storage")
	var said bytes.Buffer
	c.Stderr = &said
	dieWithParent(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", &said)
		}
	})
	return scraper{"http://" + address}
}

// ask returns the data of an answer of Prometheus.
func (s scraper) ask(t *testing.T, path string, data any) error {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	return json.NewDecoder(reply.Body).Decode(&struct{ Data any }{data})
}

// await returns once the alert fires, or once it doesn't.
func (s scraper) await(t *testing.T, alert string, fires bool) {
	t.Helper()
	rig.Within(t, 2*time.Minute, func() error {
		var data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
		if err := s.ask(t, "/api/v1/alerts", &data); err != nil {
			return err
		}
		var firing []string
		for _, a := range data.Alerts {
			if a.State == "firing" {
				firing = append(firing, a.Labels["alertname"])
			}
		}
		if slices.Contains(firing, alert) != fires {
			return fmt.Errorf("%s fires: %t is wanted, and firing are %q", alert, fires, firing)
		}
		return nil
	})
}

// Prometheus reads what a worker shows; the delivered alerts fire when something is wrong, and clear once it is mended.
func TestHeavyPrometheus(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	found, err := programs.Find(programs.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	program := found[programs.Prometheus]
	promtool(t, program, "", "check", "rules", "rules.yml")
	promtool(t, program, "", "test", "rules", "rules_test.yml")

	s := sharedSite(t)
	address := freeAddress(t)
	s = s.with("INVOICER_HTTP_ADDR=" + address).traced(newReceiver(t))
	begun := time.Now()
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
	token := s.token(t, "--role", "read", "--name", "prometheus")
	awaitCode(t, http.StatusOK, "http://"+address+"/metrics", bearer(token))
	_, shown := get(t, "http://"+address+"/metrics", bearer(token))
	promtool(t, program, shown, "check", "metrics")

	p := startPrometheus(t, program, address, token)
	rig.Within(t, time.Minute, func() error {
		var data struct {
			Result []struct{ Value [2]any }
		}
		if err := p.ask(t, `/api/v1/query?query=invoicer_jobs_total{outcome="created"}`, &data); err != nil {
			return err
		}
		if len(data.Result) != 1 || data.Result[0].Value[1] != "1" {
			return fmt.Errorf("one created job, and not %v", data.Result)
		}
		return nil
	})
	rig.Within(t, time.Minute, func() error {
		var data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		if err := p.ask(t, fmt.Sprintf("/api/v1/query_exemplars?query=invoicer_job_duration_seconds_bucket&start=%d&end=%d", begun.Unix()-1, time.Now().Unix()+1), &data); err != nil {
			return err
		}
		if len(data) != 1 || len(data[0].Exemplars) != 1 || len(data[0].Exemplars[0].Labels["trace_id"]) != 32 {
			return fmt.Errorf("one job is traced, and not %v", data)
		}
		return nil
	})
	p.await(t, "InvoicerFailedJobs", false)
	s.fail(t, "j1", "T2", "failed", "disk full", "shop", s.queue, payloadOf("T2", "GBP"), "1 minute")
	p.await(t, "InvoicerFailedJobs", true)
	s.must(t, "dismiss", "j1", "--reason", "billed by hand")
	p.await(t, "InvoicerFailedJobs", false)

	p.await(t, "InvoicerNoWorker", false)
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	p.await(t, "InvoicerNoWorker", true)
	s.start(t, "worker").awaitReadyz(t, http.StatusOK)
	p.await(t, "InvoicerNoWorker", false)
}
