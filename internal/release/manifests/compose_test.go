package manifests_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

// composed reads the file as Docker Compose does, with the example's variables, of which each password is filled in.
func composed(t *testing.T) *types.Project {
	t.Helper()
	text, err := os.ReadFile(deploy + "/compose.yaml")
	must(t, err)
	folder, err := filepath.Abs(deploy)
	must(t, err)
	example, err := os.ReadFile(deploy + "/compose/example.env")
	must(t, err)
	environment := types.Mapping{}
	for line := range strings.Lines(string(example)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			if strings.HasSuffix(name, "_PASSWORD") {
				value = "secretOf" + name
			}
			environment[name] = value
		}
	}
	read := func(environment types.Mapping) (*types.Project, error) {
		return loader.LoadWithContext(t.Context(), types.ConfigDetails{
			WorkingDir: folder, ConfigFiles: []types.ConfigFile{{Filename: folder + "/compose.yaml", Content: text}}, Environment: environment,
		}, func(o *loader.Options) { o.SetProjectName("invoicer", true) })
	}
	project, err := read(environment)
	must(t, err)
	for name := range environment { // none has a default that everybody knows
		if strings.HasSuffix(name, "_PASSWORD") {
			without := types.Mapping{}.Merge(environment)
			delete(without, name)
			if _, err := read(without); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
	return project
}

func TestCompose(t *testing.T) {
	t.Parallel()
	p := composed(t)
	for _, name := range []string{"postgres", "redis", "roles", "migrate", "rights", "worker-1", "worker-2", "serve", "prometheus", "grafana"} {
		s, ok := p.Services[name]
		if !ok {
			t.Errorf("there is no service %s", name)
			continue
		}
		if ours := s.Build != nil; ours && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true")) {
			t.Errorf("%s may do more than it needs", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is open to other machines at %s:%s", name, port.HostIP, port.Published)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s: %s: %v, read only: %t", name, v.Source, err, v.ReadOnly)
				}
			}
		}
	}
	redis := strings.Join(p.Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction", "--requirepass secretOfREDIS_PASSWORD"} {
		if !strings.Contains(redis, want) {
			t.Errorf("Redis is started without %s: %s", want, redis)
		}
	}
	for _, name := range []string{"worker-1", "worker-2"} {
		s := p.Services[name]
		if !strings.HasPrefix(*s.Environment["INVOICER_DATABASE_URL"], "postgres://worker:") {
			t.Errorf("%s signs in as %s", name, *s.Environment["INVOICER_DATABASE_URL"])
		}
		if s.StopGracePeriod == nil || s.StopGracePeriod.String() != "30s" || s.DependsOn["rights"].Condition != types.ServiceConditionCompletedSuccessfully {
			t.Errorf("%s has %v to end, and depends on %v", name, s.StopGracePeriod, s.DependsOn)
		}
	}
	// The workers that Prometheus asks are those that there are.
	scraped, err := os.ReadFile(deploy + "/compose/prometheus.yml")
	must(t, err)
	for name, s := range p.Services {
		if worker := slices.Equal(s.Command, []string{"worker"}); worker != bytes.Contains(scraped, []byte(name+":8080")) {
			t.Errorf("service %s is a worker: %t, and is scraped: %t", name, worker, !worker)
		}
	}
	for _, name := range []string{"datasources/prometheus.yaml", "dashboards/provider.yaml"} {
		text, err := os.ReadFile(deploy + "/compose/grafana/" + name)
		must(t, err)
		var document map[string]any
		must(t, yaml.UnmarshalStrict(text, &document))
	}
}
