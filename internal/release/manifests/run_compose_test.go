package manifests_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"invoicer/internal/sandbox/programs"
)

// A composition runs the services of a project that are invoicer's, on private servers that are set up as the others say.
type composition struct {
	*site
	*image
	*types.Project
	port string // that replaces 8080
}

// TestHeavyCompose runs the services in their order, with their users, arguments and environments: login roles, roles, tables, rights,
// workers and pages. Only the servers' addresses and the port are others.
func TestHeavyCompose(t *testing.T) {
	t.Parallel()
	p := composed(t)
	settings, password := redisSettings(p.Services["redis"].Command)
	s := newSite(t, settings)
	s.protect(t, password)
	c := &composition{site: s, image: unpacked(t), Project: p, port: freePort(t)}
	c.makeLogins(t)
	for _, name := range c.order(t, "rights") {
		if p.Services[name].Build != nil {
			c.run(t, name, p.Services[name].Command, c.environ(t, name))
		}
	}
	before := c.files(t)
	for _, name := range []string{"worker-1", "worker-2"} {
		worker := c.start(t, name)
		c.invoices(t, "of-"+name)
		if code, body, err := get(t, "http://127.0.0.1:"+c.port+"/metrics"); err != nil || code != http.StatusOK || !strings.Contains(body, "invoicer_ready 1") {
			t.Errorf("metrics of %s: %d %v", name, code, err)
		}
		c.stop(t, name, worker)
	}
	serve := c.start(t, "serve")
	if code, body, err := get(t, "http://127.0.0.1:"+c.port+"/jobs"); err != nil || code != http.StatusForbidden || !strings.Contains(body, "invoicer token make") {
		t.Errorf("pages without a token: %d %s %v", code, body, err)
	}
	c.Services["operator"] = p.DisabledServices["operator"] // which runs on demand
	c.run(t, "token", []string{"token", "make", "--role", "operate", "--name", "ada"}, c.environ(t, "operator"))
	c.stop(t, "serve", serve)
	if after := c.files(t); after != before {
		t.Errorf("files were written:\n%s\nbefore:\n%s", after, before)
	}
}

// redisSettings returns what the command sets, but for the password.
func redisSettings(command []string) (settings map[string]string, password string) {
	settings = make(map[string]string)
	for i := 1; i+1 < len(command); i += 2 {
		settings[strings.TrimPrefix(command[i], "--")] = command[i+1]
	}
	password = settings["requirepass"]
	delete(settings, "requirepass")
	return settings, password
}

// makeLogins runs the script that the image of Postgres runs, with the service's environment.
func (c *composition) makeLogins(t *testing.T) {
	t.Helper()
	found, err := programs.Find(programs.Postgres)
	must(t, err)
	at, port := host(t, c.postgres.URL)
	mounted := c.Services["postgres"].Volumes[slices.IndexFunc(c.Services["postgres"].Volumes, func(v types.ServiceVolumeConfig) bool {
		return filepath.Dir(v.Target) == "/docker-entrypoint-initdb.d"
	})]
	script := exec.CommandContext(t.Context(), "sh", mounted.Source)
	script.Env = append(c.environ(t, "postgres"), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(found[programs.Postgres]), "PGHOST="+strings.TrimSuffix(at, ":"+port), "PGPORT="+port)
	if said, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// order returns a service and those that it depends on, in the order in which they are started.
func (c *composition) order(t *testing.T, name string) (list []string) {
	t.Helper()
	for _, before := range slices.Sorted(maps.Keys(c.Services[name].DependsOn)) {
		list = append(list, c.order(t, before)...)
	}
	return append(list, name)
}

func (c *composition) environ(t *testing.T, name string) (list []string) {
	t.Helper()
	for variable, value := range c.Services[name].Environment {
		switch {
		case strings.HasSuffix(variable, "_URL"):
			list = append(list, variable+"="+c.moved(t, *value))
		case variable == "INVOICER_HTTP_ADDR":
			list = append(list, variable+"="+strings.Replace(*value, "8080", c.port, 1))
		default:
			list = append(list, variable+"="+*value)
		}
	}
	return list
}

// start starts a service, and returns once it is healthy, by the image's own check.
func (c *composition) start(t *testing.T, name string) *container {
	t.Helper()
	s := c.Services[name]
	if s.User != "" || len(s.Entrypoint) > 0 || s.HealthCheck != nil {
		t.Fatalf("%s isn't run as the image says", name)
	}
	process := c.image.start(t, name, s.Command, c.environ(t, name))
	eventually(t, c.config.Healthcheck.StartPeriod, func() error {
		for _, more := range [][]string{nil, {"--ready"}} {
			if code := c.healthcheck(t, c.environ(t, name), more...); code != 0 {
				return fmt.Errorf("health %v exits with %d", more, code)
			}
		}
		return nil
	})
	return process
}

func (c *composition) stop(t *testing.T, name string, process *container) {
	t.Helper()
	must(t, process.Process.Signal(syscall.SIGTERM))
	if code := process.exit(t, time.Duration(*c.Services[name].StopGracePeriod)); code != 0 {
		t.Errorf("%s exits with %d", name, code)
	}
}
