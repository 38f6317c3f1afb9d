package metrics_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"invoicer/internal/health"
	"invoicer/internal/metrics"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
	"invoicer/invoice/outbox"
	"invoicer/worker"
)

// exported returns the names of all metrics of a worker, as Prometheus stores them.
func exported(t *testing.T) []string {
	t.Helper()
	m := metrics.New(metrics.Options{Queues: []string{"default"}})
	m.Pools(nothing, noPool)
	m.ShowZeros()
	health.New(health.Options{Logger: slog.New(slog.DiscardHandler), Registry: m.Registry})
	m.ObserveWorker(worker.Event{What: worker.Ended, Queue: "default", Outcome: invoice.Created})
	m.SeeEndpoints([]outbox.Endpoint{{Name: "erp"}})
	m.ObserveDocument(document.Owed{Format: document.AsPDF}, time.Second, nil)
	m.ObserveDelivery("erp", outbox.Delivered, time.Second)
	m.ObserveHandover("mail", "sent", time.Second)
	m.SeeHandovers([]handover.Count{{Channel: "mail", State: "queued", N: 1}})
	names := []string{"invoicer_outage"} // there while there is one
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names = append(names, f.GetName())
		if f.GetType().String() == "HISTOGRAM" {
			names = append(names, f.GetName()+"_bucket", f.GetName()+"_sum", f.GetName()+"_count")
		}
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What rules and dashboard ask for is exported, by a rule or by a worker, and what a worker exports is in the documentation.
func TestDeployUsesNamesThatAreExported(t *testing.T) {
	t.Parallel()
	names := exported(t)
	rules, operations := read(t, "../../deploy/prometheus/rules.yml"), read(t, "../../docs/operations.md")
	for _, recorded := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(rules, -1) {
		names = append(names, recorded[1])
	}
	var board map[string]any
	dashboard := read(t, "../../deploy/grafana/invoicer.json")
	if err := json.Unmarshal([]byte(dashboard), &board); err != nil {
		t.Fatalf("the dashboard is no JSON: %v", err)
	}
	exprs := regexp.MustCompile(`"expr": "(.*)"`).FindAllStringSubmatch(dashboard, -1)
	if len(exprs) < 15 {
		t.Errorf("%d queries in the dashboard", len(exprs))
	}
	used := rules
	for _, e := range exprs {
		used += e[1] + "\n"
	}
	found := regexp.MustCompile(`\binvoicer[_:][a-z0-9_:]+`).FindAllString(used, -1)
	if len(found) < 40 {
		t.Errorf("only %d names are used", len(found))
	}
	for _, name := range found {
		if !slices.Contains(names, name) {
			t.Errorf("%s is used in deploy/, and not exported", name)
		}
	}
	for _, name := range exported(t) { // whoever looks into an alarm about an endpoint, a document or a hand-over finds it there
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if regexp.MustCompile(`^invoicer_(event|document|handover)`).MatchString(name) && !strings.Contains(dashboard, base) {
			t.Errorf("%s isn't in the dashboard", base)
		}
	}
	for _, name := range exported(t) {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "invoicer_") && !strings.Contains(operations, "`"+base+"`") {
			t.Errorf("%s isn't in docs/operations.md", base)
		}
	}
}

// Each alert has a severity and a section in the runbook, and no alert about duplicates pages.
func TestAlertsHaveARunbook(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../deploy/prometheus/rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, "../../docs/operations.md"), -1) {
		anchor := strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")
		anchors["docs/operations.md#"+regexp.MustCompile(`[^a-z0-9-]`).ReplaceAllString(anchor, "")] = true
	}
	alerts := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			alerts++
			if severity := r.Labels["severity"]; !slices.Contains([]string{"page", "ticket", "info"}, severity) {
				t.Errorf("%s: severity %q", r.Alert, severity)
			}
			if runbook := r.Annotations["runbook"]; !anchors[runbook] {
				t.Errorf("%s: there is no section %s", r.Alert, runbook)
			}
			if r.Labels["severity"] == "page" && regexp.MustCompile(`race|duplicate|contention|producer`).MatchString(r.Expr) {
				t.Errorf("%s pages on duplicates", r.Alert)
			}
		}
	}
	if alerts < 8 {
		t.Errorf("%d alerts", alerts)
	}
}
