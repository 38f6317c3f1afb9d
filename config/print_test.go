package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"invoicer/config"
)

func TestExampleConfiguresTheDefaults(t *testing.T) {
	t.Parallel()
	example := string(config.Example())
	got, err := config.Load(sources(t, example, nil, nil))
	if err != nil {
		t.Fatalf("%v\n%s", err, example)
	}
	if diff := cmp.Diff(config.Default(), *got, cmpopts.IgnoreFields(config.Config{}, "Origins")); diff != "" {
		t.Errorf("(-default +example):\n%s", diff)
	}
	for _, k := range config.Keys() {
		if origin := got.Origins[k.Name]; origin == "default" {
			t.Errorf("the example lacks %s", k.Name)
		}
		if !strings.Contains(example, "# "+k.Doc+"\n") || !strings.Contains(example, " "+k.Env()+"\n") {
			t.Errorf("the example doesn't say what %s means, or its variable", k.Name)
		}
	}
}

func unusual(t *testing.T) *config.Config {
	t.Helper()
	cfg, err := config.Load(sources(t, "worker:\n  queues: {\"null\": 3, 007: 2, \"-\": 1}\nnumbering:\n  invoice_series: '2024'\n"+
		"http:\n  oidc:\n    issuer: https://login.example/realms/x/\n    operate: ['on call', /ops]\n    session: 1h\n  metrics: open\nhttp.oidc.client_id: i\n", []string{
		"INVOICER_HTTP_OIDC_BASE_URL=https://billing.example/", "INVOICER_HTTP_OIDC_CLIENT_SECRET=xxxxx", "INVOICER_HTTP_OIDC_SCOPES=",
		"INVOICER_HTTP_ADDR=", "INVOICER_NUMBERING_FORMAT=# {series}: {number}", "INVOICER_REDIS_URL=redis://cache/0?pool_size=5&pool_fifo=true",
		"INVOICER_RETENTION_JOBS=400d", "INVOICER_LOG_LEVEL=error", "INVOICER_IDEMPOTENCY_CACHE_TTL=auto",
	}, []string{"--lock-ttl=1h0m30s", "--strict=true", "--dates-latest=36h"}))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestYAMLLoadsAgain(t *testing.T) {
	t.Parallel()
	want := unusual(t)
	got, err := config.Load(sources(t, string(want.YAML()), nil, nil))
	if err != nil {
		t.Fatalf("%v\n%s", err, want.YAML())
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(config.Config{}, "Origins")); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, want.YAML())
	}
	for _, line := range []string{
		"  ttl: 1h0m30s # flag --lock-ttl\n", `  addr: "" # environment INVOICER_HTTP_ADDR` + "\n", "  wait: 200ms # default\n",
		`  queues: {"null": 3, "007": 2, '-': 1} # `, "  jobs: 400d # ", "  cache_ttl: auto # ", "  cache_quantile: 0.99 # ", "\nlog:\n  level: error # ",
		"\n  oidc:\n    issuer: https://login.example/realms/x/ # ", "\n    client_id: i # ", "\n    client_secret: xxxxx # ",
		"    base_url: https://billing.example # ", "    read: [] # ", "    operate: [on call, /ops] # ", "    scopes: [] # ",
		"\nstrict: \"true\" # flag --strict", "\ndates:\n  earliest: \"\" # default\n  latest: 36h # ",
	} {
		if !strings.Contains(string(want.YAML()), line) {
			t.Errorf("no line %q in\n%s", line, want.YAML())
		}
	}
}

func TestJSONLoadsAgain(t *testing.T) {
	t.Parallel()
	want := unusual(t)
	document, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(sources(t, string(document), nil, nil))
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(config.Config{}, "Origins")); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, document)
	}
	var tree struct{ Worker map[string]any }
	if err := json.Unmarshal(document, &tree); err != nil {
		t.Fatal(err)
	}
	if got := tree.Worker["concurrency"]; got != 768.0 {
		t.Errorf("worker.concurrency is %#v, no number", got)
	}
}

func TestPrintsWithoutPasswords(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(sources(t, "", []string{
		"INVOICER_REDIS_URL=redis://:hunter2@cache", "INVOICER_DATABASE_URL=postgres://bob:hunter2@db/x?sslpassword=hunter2",
		"INVOICER_HTTP_OIDC_ISSUER=https://login.example", "INVOICER_HTTP_OIDC_CLIENT_ID=i", "INVOICER_HTTP_OIDC_CLIENT_SECRET=hunter2",
		"INVOICER_HTTP_OIDC_BASE_URL=http://localhost:8080", "INVOICER_HTTP_OIDC_OPERATE=ops", "INVOICER_DOCUMENTS_EMAIL_PASSWORD=hunter2",
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "oidc", cfg.HTTP.OIDC.ClientSecret, "url", cfg.Database.URL)
	for _, text := range []string{string(cfg.YAML()), string(document), fmt.Sprintf("%v %+v %#v", cfg, *cfg, cfg), log.String()} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "bob:xxxxx@db") {
			t.Errorf("a password, or no URL, in\n%s", text)
		}
	}
}
