package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The Dockerfile and the image that is built without an engine are the same: how the program is compiled, and how a container runs.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	must(t, err)
	s := source{version: "${VERSION}", revision: "${REVISION}"}
	want := s.imageConfig()
	want.Labels["org.opencontainers.image.created"] = "${CREATED}"
	build, last := stages(string(text))
	if got := last.config(t); !same(got, want) {
		t.Errorf("the Dockerfile says\n%s\nand image.go\n%s", asJSON(t, got), asJSON(t, want))
	}
	flags := strings.ReplaceAll(s.linkerFlags(), s.time.Format(time.RFC3339), "${CREATED}")
	compile := ""
	for _, i := range build {
		if i.name == "RUN" && strings.Contains(i.rest, "go build") {
			compile = strings.Join(strings.Fields(i.rest), " ")
		}
	}
	if want := "CGO_ENABLED=0 go build -buildvcs=false -trimpath -mod=readonly -tags " + buildTags + ` -ldflags "` + flags + `" -o /invoicer ./cmd/invoicer`; compile != want {
		t.Errorf("the Dockerfile runs\n%s\nand source.go\n%s", compile, want)
	}
	if base := last[0]; base.rest != "scratch" {
		t.Errorf("the image is made from %s", base.rest)
	}
	for _, i := range last {
		if i.name == "RUN" {
			t.Errorf("the image has what this made: %s", i.rest)
		}
	}
}

// Whatever the program is compiled from gets into the build: .dockerignore leaves nothing of it out.
func TestDockerContext(t *testing.T) {
	t.Parallel()
	ignored, err := os.ReadFile("../../.dockerignore")
	must(t, err)
	root := strings.TrimSpace(shell(t, ".", "cd ../.. && pwd"))
	compiled := shell(t, root, "go list -tags timetzdata -deps -f '{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}' ./cmd/invoicer", "GOFLAGS=")
	found := 0
	for folder := range strings.FieldsSeq(compiled) {
		found++
		for pattern := range strings.FieldsSeq(string(ignored)) {
			if inside := strings.TrimPrefix(folder, root+"/"); inside == pattern || strings.HasPrefix(inside, pattern+"/") {
				t.Errorf("%s is compiled, and is left out by %s", inside, pattern)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d packages were found", found)
	}
}

// An instruction of a Dockerfile, with its continued lines in one.
type instruction struct{ name, rest string }

type stage []instruction

// stages returns the first stage and the last.
func stages(text string) (first, last stage) {
	var all []stage
	text = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		if name == "FROM" {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, strings.TrimSpace(rest)})
	}
	return all[0], all[len(all)-1]
}

var (
	pair   = regexp.MustCompile(`([\w.]+)="([^"]*)"`)
	option = regexp.MustCompile(`--([a-z-]+)=(\S+)`)
)

// config returns what an engine makes of the instructions.
func (s stage) config(t *testing.T) (c v1.Config) {
	t.Helper()
	list := func(text string) (words []string) {
		must(t, json.Unmarshal([]byte(text), &words))
		return words
	}
	for _, i := range s {
		switch i.name {
		case "USER":
			c.User = i.rest
		case "ENV":
			c.Env = append(c.Env, i.rest)
		case "EXPOSE":
			c.ExposedPorts = map[string]struct{}{i.rest + "/tcp": {}}
		case "ENTRYPOINT":
			c.Entrypoint = list(i.rest)
		case "CMD":
			c.Cmd = list(i.rest)
		case "LABEL":
			c.Labels = make(map[string]string)
			for _, p := range pair.FindAllStringSubmatch(i.rest, -1) {
				c.Labels[p[1]] = p[2]
			}
		case "HEALTHCHECK":
			flags, command, _ := strings.Cut(i.rest, "CMD ")
			c.Healthcheck = &v1.HealthConfig{Test: append([]string{"CMD"}, list(command)...)}
			for _, f := range option.FindAllStringSubmatch(flags, -1) {
				switch f[1] {
				case "interval":
					c.Healthcheck.Interval = duration(t, f[2])
				case "timeout":
					c.Healthcheck.Timeout = duration(t, f[2])
				case "start-period":
					c.Healthcheck.StartPeriod = duration(t, f[2])
				case "retries":
					must(t, json.Unmarshal([]byte(f[2]), &c.Healthcheck.Retries))
				default:
					t.Errorf("the health check has --%s", f[1])
				}
			}
		case "FROM", "ARG", "COPY":
		default:
			t.Errorf("nothing is known of %s %s", i.name, i.rest)
		}
	}
	return c
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

func same(a, b v1.Config) bool {
	return a.User == b.User && slices.Equal(a.Env, b.Env) && maps.Equal(a.ExposedPorts, b.ExposedPorts) && slices.Equal(a.Entrypoint, b.Entrypoint) &&
		slices.Equal(a.Cmd, b.Cmd) && maps.Equal(a.Labels, b.Labels) && a.Healthcheck != nil && b.Healthcheck != nil &&
		slices.Equal(a.Healthcheck.Test, b.Healthcheck.Test) && a.Healthcheck.Interval == b.Healthcheck.Interval && a.Healthcheck.Timeout == b.Healthcheck.Timeout &&
		a.Healthcheck.StartPeriod == b.Healthcheck.StartPeriod && a.Healthcheck.Retries == b.Healthcheck.Retries
}

func asJSON(t *testing.T, c v1.Config) string {
	t.Helper()
	text, err := json.MarshalIndent(c, "", " ")
	must(t, err)
	return string(text)
}
