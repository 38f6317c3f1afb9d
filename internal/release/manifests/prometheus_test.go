package manifests_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"invoicer/internal/sandbox/programs"
)

// TestHeavyPrometheus has Prometheus check what it would be given: its configuration in Compose with the rules beside it, and the queries that
// KEDA sends.
func TestHeavyPrometheus(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it needs Prometheus")
	}
	found, err := programs.Find(programs.Prometheus)
	must(t, err)
	promtool := filepath.Join(filepath.Dir(found[programs.Prometheus]), "promtool")
	folder := t.TempDir()
	for from, to := range map[string]string{"/compose/prometheus.yml": "prometheus.yml", "/prometheus/rules.yml": "rules.yml"} {
		text, err := os.ReadFile(deploy + from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(folder, to), text, 0o600))
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, query := range queriesOf(withKEDA(t).scaled[0]) {
		rules = append(rules, rule{"keda:query", query})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "keda", "rules": rules}}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "keda.yml"), text, 0o600))
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"check", "rules", "--lint=none", "keda.yml"}} {
		c := exec.CommandContext(t.Context(), promtool, args...)
		c.Dir = folder
		if said, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, said)
		}
	}
}
