package config_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"invoicer/config"
	"invoicer/invoice"
)

// sources is a directory of its own with an invoicer.yaml (none when yaml is ""), variables and flags.
func sources(t *testing.T, yaml string, environ, flags []string) config.Sources {
	t.Helper()
	dir := t.TempDir()
	if yaml != "" {
		if err := os.WriteFile(filepath.Join(dir, "invoicer.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs, "redis", "database", "worker", "lock", "idempotency", "numbering", "retention", "witness", "events", "documents", "http", "metrics", "log", "allow_unsafe", "strict", "dates", "credit_notes", "zero", "replaces", "ignore", "profile")
	if err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return config.Sources{Dir: dir, Environ: environ, Flags: fs}
}

// problems loads and returns the error's lines, with the file's directory cut off.
func problems(t *testing.T, src config.Sources) []string {
	t.Helper()
	cfg, err := config.Load(src)
	var problems *config.Error
	if !errors.As(err, &problems) {
		t.Fatalf("Load = %v, %v; want an *Error", cfg, err)
	}
	text := err.Error()
	if src.Dir != "" {
		text = strings.ReplaceAll(text, src.Dir+string(filepath.Separator), "")
	}
	return strings.Split(text, "\n")
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.Load(config.Sources{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Redis:     config.Redis{URL: "redis://127.0.0.1:6379/0"},
		Database:  config.Database{URL: "postgres://127.0.0.1:5432/invoicer", Schema: "invoicer"},
		Documents: config.Documents{Profile: "none", Store: "database", S3: config.S3{Region: "us-east-1"}, Email: config.Email{TLS: "starttls", Auth: "auto", MaxSize: 10_000_000, Timeout: 30 * time.Second}, Links: config.Links{Lifetime: 7 * 24 * time.Hour}},
		Worker: config.Worker{
			Concurrency: 768, Queues: map[string]int{"critical": 6, "default": 3, "bulk": 1},
			JobTimeout: 10 * time.Second, ShutdownTimeout: 15 * time.Second, MaxRetry: 25, Retention: 10 * time.Minute, Direct: "allow",
		},
		Lock:        config.Lock{TTL: 15 * time.Second, Wait: 200 * time.Millisecond},
		Idempotency: config.Idempotency{CacheTTL: 24 * time.Hour, CacheQuantile: 0.99, CacheTTLMin: time.Minute, CacheTTLMax: 7 * 24 * time.Hour},
		Numbering: invoice.NumberingOptions{
			InvoiceSeries: "INV", CreditNoteSeries: "{series}-CN", Period: "none",
			Format: "{series}-{number:06}", Timezone: "UTC",
		},
		Retention: config.Retention{
			Jobs: 90 * 24 * time.Hour, Duplicates: 365 * 24 * time.Hour, FailedPayloads: 90 * 24 * time.Hour, Events: 30 * 24 * time.Hour, APIRequests: 30 * 24 * time.Hour,
		},
		HTTP: config.HTTP{
			Addr: "127.0.0.1:8080", Pprof: "off", Metrics: "token", PersonalData: "hidden", RateLimit: 5000,
			OIDC: config.OIDC{GroupsClaim: "groups", Scopes: []string{"profile", "email"}, Session: 12 * time.Hour},
		},
		Metrics: config.Metrics{Producers: 50},
		Log:     config.Log{Level: slog.LevelInfo, Outcomes: "all"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(config.Config{}, "Origins")); diff != "" {
		t.Errorf("Load without sources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(config.Default(), *got); diff != "" {
		t.Errorf("Default differs from Load without sources (-Default +Load):\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const (
		file = "lock:\n  ttl: 21s\n"
		env  = "INVOICER_LOCK_TTL=22s"
		flag = "--lock-ttl=23s"
	)
	for name, tt := range map[string]struct {
		yaml           string
		environ, flags []string
		want           time.Duration
		origin         string
	}{
		"default":                 {"", nil, nil, 15 * time.Second, "default"},
		"file over default":       {file, nil, nil, 21 * time.Second, "invoicer.yaml line 2"},
		"environment over file":   {file, []string{env}, nil, 22 * time.Second, "environment INVOICER_LOCK_TTL"},
		"flag over environment":   {file, []string{env}, []string{flag}, 23 * time.Second, "flag --lock-ttl"},
		"flag over file":          {file, nil, []string{flag}, 23 * time.Second, "flag --lock-ttl"},
		"flag set to its default": {file, nil, []string{"--lock-ttl=15s"}, 15 * time.Second, "flag --lock-ttl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := sources(t, tt.yaml, tt.environ, tt.flags)
			cfg, err := config.Load(src)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Lock.TTL != tt.want {
				t.Errorf("lock.ttl = %s, want %s", cfg.Lock.TTL, tt.want)
			}
			if got := strings.TrimPrefix(cfg.Origins["lock.ttl"], src.Dir+"/"); got != tt.origin {
				t.Errorf("origin of lock.ttl = %q, want %q", got, tt.origin)
			}
			if cfg.Lock.Wait != 200*time.Millisecond {
				t.Errorf("lock.wait = %s: a key beside the one that was set changed too", cfg.Lock.Wait)
			}
		})
	}
}

// Every key can be set by each of its sources: none is forgotten in one of them.
func TestEveryKeyFromEverySource(t *testing.T) {
	t.Parallel()
	other := map[string]string{
		"redis.url": "unix:///run/redis.sock?db=3", "redis.queues": "slow", "documents.render": "pdf, ubl", "documents.profile": "peppol", "documents.template": "/etc/invoicer/page.yaml",
		"documents.email.server": "mail.example:465", "documents.email.tls": "implicit", "documents.email.auth": "plain", "documents.email.user": "billing",
		"documents.email.password": "s", "documents.email.from": "Acme <a@acme.example>", "documents.email.reply_to": "b@acme.example", "documents.email.envelope": "c@acme.example",
		"documents.email.helo": "worker.acme.example", "documents.email.templates": "/etc/invoicer/mail.yaml", "documents.email.max_size": "20000", "documents.email.timeout": "45s",
		"documents.email.allow": "10.0.0.0/8",
		"documents.links.url":   "https://invoices.example", "documents.links.keys": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "documents.links.lifetime": "12h",
		"database.url": "postgres:///billing?host=/tmp/x", "database.schema": "billing",
		"worker.concurrency": "7", "worker.queues": "slow=2", "worker.job_timeout": "9s", "worker.shutdown_timeout": "16s",
		"worker.max_retry": "0", "worker.retention": "0s", "worker.direct": "refuse", "lock.ttl": "16s", "lock.wait": "0s", "idempotency.cache_ttl": "1h30m",
		"idempotency.cache_quantile": "0.9", "idempotency.cache_ttl_min": "2m", "idempotency.cache_ttl_max": "3d",
		"numbering.invoice_series": "2024", "numbering.credit_note_series": "CN-{series}", "numbering.period": "year",
		"numbering.format": "{number}", "numbering.timezone": "Europe/Berlin", "retention.jobs": "1d12h",
		"retention.duplicates": "2d", "retention.failed_payloads": "3d", "retention.invoices": "ACME-DE=3650d, *=40d", "witness.folder": "/mnt/witness", "retention.events": "3d", "retention.api_requests": "4d", "events.allow": "10.0.0.0/8, fd00::/8", "events.record": "invoice.created, job.failed",
		"events.endpoints":   `[{"name":"erp","url":"https://erp.example/hook","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","types":["invoice.created"],"issuers":["ACME-DE"]}]`,
		"documents.channels": `[{"name":"peppol","kind":"https","url":"https://gateway.example/invoices","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","formats":["ubl"],"ask_every":"1m","await_clearance":true}]`,
		"http.addr":          "", "http.pprof": "on",
		"http.tls_cert": "/etc/tls.crt", "http.tls_key": "/etc/tls.key", "http.insecure": "true", "http.hosts": "billing.example, [fd00::1]", "http.metrics": "open", "http.personal_data": "read", "http.rate_limit": "0",
		"metrics.producers": "7", "log.level": "debug", "log.format": "json", "log.outcomes": "problems",
		"documents.store": "s3://invoices/documents", "documents.s3.endpoint": "https://s3.example", "documents.s3.region": "eu-central-1", "documents.s3.access_key": "AKID",
		"documents.s3.secret_key": "s", "documents.s3.virtual_hosts": "true", "documents.s3.insecure": "true",
		"http.oidc.issuer": "https://login.example", "http.oidc.client_id": "i", "http.oidc.client_secret": "s", "http.oidc.base_url": "https://localhost/",
		"http.oidc.read": "all", "http.oidc.operate": "on call, /ops", "http.oidc.groups_claim": "roles", "http.oidc.scopes": "groups", "http.oidc.session": "1h",
		"allow_unsafe": "true", "strict": "true", "dates.earliest": "2020-01-01", "dates.latest": "30d", "credit_notes": "must_credit", "zero": "refuse", "replaces": "must_credit", "profile": "xrechnung", "ignore": "issued_at, presentation",
	}
	beside := map[string][]string{ // what a key needs beside it
		"http.tls_cert": {"INVOICER_HTTP_TLS_KEY=k"}, "http.tls_key": {"INVOICER_HTTP_TLS_CERT=c"},
	}
	oidc := []string{"http.oidc.issuer", "http.oidc.client_id", "http.oidc.client_secret", "http.oidc.base_url", "http.oidc.read", "http.oidc.operate"}
	bucket := []string{"documents.store", "documents.s3.endpoint", "documents.s3.access_key", "documents.s3.secret_key"}
	links := []string{"documents.links.url", "documents.links.keys"}
	for _, together := range [][]string{oidc, bucket, links} {
		for _, key := range together {
			for _, needed := range together {
				if needed != key {
					beside[key] = append(beside[key], "INVOICER_"+strings.ToUpper(strings.ReplaceAll(needed, ".", "_"))+"="+other[needed])
				}
			}
		}
	}
	defaults := config.Default()
	for _, k := range config.Keys() {
		text, ok := other[k.Name]
		if !ok {
			t.Errorf("%s: no value to try", k.Name)
			continue
		}
		var loaded []*config.Config
		for name, src := range map[string]config.Sources{
			"file":        sources(t, strings.Replace(k.Name, ".", ":\n  ", 1)+": '"+text+"'\n", nil, nil),
			"environment": sources(t, "", []string{k.Env() + "=" + text}, nil),
			"flag":        sources(t, "", nil, []string{"--" + k.Flag() + "=" + text}),
		} {
			src.Environ = append(src.Environ, beside[k.Name]...)
			cfg, err := config.Load(src)
			if err != nil {
				t.Errorf("%s=%s from %s: %v", k.Name, text, name, err)
				continue
			}
			if cfg.Origins[k.Name] == "default" {
				t.Errorf("%s from %s is still the default", k.Name, name)
			}
			cfg.Origins = defaults.Origins
			if cmp.Equal(*cfg, defaults) {
				t.Errorf("%s=%s from %s changed nothing", k.Name, text, name)
			}
			loaded = append(loaded, cfg)
		}
		for _, cfg := range loaded {
			if diff := cmp.Diff(loaded[0], cfg); diff != "" {
				t.Errorf("%s=%s means different things in different sources:\n%s", k.Name, text, diff)
			}
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml    string
		environ []string
		want    func(*config.Config)
	}{
		"the file's queues replace the default ones": {
			yaml: "worker:\n  queues: {default: 2, fast-lane_1: 4}\n",
			want: func(c *config.Config) { c.Worker.Queues = map[string]int{"default": 2, "fast-lane_1": 4} },
		},
		"the environment's queues replace the file's": {
			yaml: "worker:\n  queues: {default: 2, bulk: 4}\n", environ: []string{"INVOICER_WORKER_QUEUES=default = 5, other=1"},
			want: func(c *config.Config) { c.Worker.Queues = map[string]int{"default": 5, "other": 1} },
		},
		"queues as text in the file": {
			yaml: "worker: {queues: 'default=2'}",
			want: func(c *config.Config) { c.Worker.Queues = map[string]int{"default": 2} },
		},
		"an empty variable counts": {
			yaml: "http: {addr: ':9090'}", environ: []string{"INVOICER_HTTP_ADDR="},
			want: func(c *config.Config) { c.HTTP.Addr = "" },
		},
		"a name with a dot": {
			yaml: "lock.ttl: 40s\n",
			want: func(c *config.Config) { c.Lock.TTL = 40 * time.Second },
		},
		"anchors": {
			yaml: "worker:\n  job_timeout: &t 9s\nlock: {wait: 1s, ttl: 9.5s}\nretention: {jobs: &keep 30d, duplicates: *keep}\n",
			want: func(c *config.Config) {
				c.Worker.JobTimeout, c.Lock.Wait, c.Lock.TTL = 9*time.Second, time.Second, 9500*time.Millisecond
				c.Retention.Jobs, c.Retention.Duplicates = 30*24*time.Hour, 30*24*time.Hour
			},
		},
		"hosts as a list": {
			yaml: "http:\n  hosts: [billing.example, 10.0.0.7, 'fd00::1']\n",
			want: func(c *config.Config) { c.HTTP.Hosts = []string{"billing.example", "10.0.0.7", "fd00::1"} },
		},
		"hosts as text": {
			yaml: "http: {hosts: Billing.example.}", environ: []string{"INVOICER_HTTP_HOSTS=a.example , b,"},
			want: func(c *config.Config) { c.HTTP.Hosts = []string{"a.example", "b"} },
		},
		"no hosts":                        {yaml: "http: {hosts: []}", want: func(*config.Config) {}},
		"a section that is commented out": {yaml: "lock:\n  # ttl: 40s\n", want: func(*config.Config) {}},
		"an empty file":                   {yaml: "# nothing yet\n", want: func(*config.Config) {}},
		"null":                            {yaml: "---\n", want: func(*config.Config) {}},
		"JSON":                            {yaml: `{"worker":{"max_retry":3}}`, want: func(c *config.Config) { c.Worker.MaxRetry = 3 }},
		"white space around a value": {
			environ: []string{"INVOICER_DATABASE_URL=postgres://db/x\n", "INVOICER_LOG_LEVEL= WARN "},
			want: func(c *config.Config) {
				c.Database.URL = "postgres://db/x"
				c.Log.Level = slog.LevelWarn
			},
		},
		"other programs' variables": {
			environ: []string{
				"INVOICER_TEST_DATA=/data", "INVOICER_SERVICE_HOST=10.0.0.1", "INVOICER_PORT=tcp://10.0.0.1:80",
				"INVOICER_REDIS_SERVICE_HOST=10.0.0.2", "INVOICER_REDIS_SERVICE_PORT_TCP=6379", "INVOICER_REDIS_PORT=tcp://10.0.0.2:6379",
				"INVOICER_REDIS_PORT_6379_TCP=tcp://10.0.0.2:6379", "INVOICER_REDIS_PORT_6379_TCP_ADDR=10.0.0.2", "LOCK_TTL=1s", "novalue",
			},
			want: func(*config.Config) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.Load(sources(t, tt.yaml, tt.environ, nil))
			if err != nil {
				t.Fatal(err)
			}
			want := config.Default()
			tt.want(&want)
			if diff := cmp.Diff(want, *got, cmpopts.IgnoreFields(config.Config{}, "Origins")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	src := sources(t, "lock: {ttl: 20s}", nil, nil)
	elsewhere := t.TempDir()
	named := filepath.Join(elsewhere, "named.yaml")
	if err := os.WriteFile(named, []byte("lock: {ttl: 30s}"), 0o600); err != nil {
		t.Fatal(err)
	}
	ttl := func(src config.Sources) time.Duration {
		t.Helper()
		cfg, err := config.Load(src)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Lock.TTL
	}
	if got := ttl(src); got != 20*time.Second {
		t.Errorf("invoicer.yaml in the directory: lock.ttl = %s", got)
	}
	src.Environ = []string{"INVOICER_CONFIG=" + named}
	if got := ttl(src); got != 30*time.Second {
		t.Errorf("INVOICER_CONFIG over the directory: lock.ttl = %s", got)
	}
	src.File = filepath.Join(src.Dir, "invoicer.yaml")
	if got := ttl(src); got != 20*time.Second {
		t.Errorf("--config over INVOICER_CONFIG: lock.ttl = %s", got)
	}

	missing := filepath.Join(elsewhere, "missing.yaml")
	for _, tt := range []struct {
		src  config.Sources
		want string
	}{
		{config.Sources{File: missing}, missing + " (flag --config): the configuration file can't be read: no such file or directory"},
		{config.Sources{Environ: []string{"INVOICER_CONFIG=" + elsewhere}}, elsewhere + " (environment INVOICER_CONFIG): the configuration file can't be read: is a directory"},
	} {
		if got := problems(t, tt.src); !cmp.Equal(got, []string{tt.want}) {
			t.Errorf("problems = %q, want %q", got, tt.want)
		}
	}
}

func TestChecksJoinIn(t *testing.T) {
	t.Parallel()
	src := sources(t, "", []string{"INVOICER_LOCK_TTL=never", "INVOICER_NUMBERING_FORMAT=x"}, nil)
	src.Checks = []func(*config.Config) []config.Problem{func(c *config.Config) []config.Problem {
		return []config.Problem{
			{Key: "numbering.format", Message: "lacks {number} in " + c.Numbering.Format},
			{Key: "lock.ttl", Message: "is checked although it couldn't be read"},
		}
	}}
	want := []string{
		`lock.ttl (environment INVOICER_LOCK_TTL): "never" is not a duration; write a number with its unit, such as 200ms, 15s, 10m, 24h or 90d`,
		"numbering.format (environment INVOICER_NUMBERING_FORMAT): lacks {number} in x",
	}
	if diff := cmp.Diff(want, problems(t, src)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
