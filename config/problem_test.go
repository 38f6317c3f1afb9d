package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"invoicer/config"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml           string
		environ, flags []string
		want           []string
	}{
		"all at once, in the order of file, environment, keys and rules": {
			yaml:    "lock:\n  tlt: 5s\n  wait: 20s\nworker:\n  concurrency: many\n",
			environ: []string{"INVOICER_LOCK_TLT=5s", "INVOICER_HTTP_ADDR=8080"},
			flags:   []string{"--worker-job-timeout=15s"},
			want: []string{
				"lock.tlt (invoicer.yaml line 2): unknown key; did you mean lock.ttl?",
				"INVOICER_LOCK_TLT (environment): unknown variable; did you mean INVOICER_LOCK_TTL?",
				`worker.concurrency (invoicer.yaml line 5): "many" is not a whole number; allowed: 1 to 10000`,
				`http.addr (environment INVOICER_HTTP_ADDR): "8080" is not host:port; write 127.0.0.1:8080, or :8080 for all interfaces, or nothing for off`,
				"worker.shutdown_timeout (default): 15s must be longer than worker.job_timeout (15s), or a stopping worker would abandon a job in mid-work; raise worker.shutdown_timeout or lower worker.job_timeout",
				"lock.ttl (default): 15s must be longer than worker.job_timeout (15s), or a lock could expire while its holder still works; raise lock.ttl or lower worker.job_timeout",
				"lock.wait (invoicer.yaml line 3): 20s must be shorter than worker.job_timeout (15s), or a job could spend all its time waiting; lower lock.wait or raise worker.job_timeout",
			},
		},
		"a rule is silent where one of its values is unreadable": {
			environ: []string{"INVOICER_LOCK_TTL=5s", "INVOICER_WORKER_JOB_TIMEOUT=10"},
			want:    []string{`worker.job_timeout (environment INVOICER_WORKER_JOB_TIMEOUT): "10" is not a duration; write a number with its unit, such as 200ms, 15s, 10m, 24h or 90d`},
		},
		"equal is not longer": {
			environ: []string{"INVOICER_LOCK_TTL=10s", "INVOICER_LOCK_WAIT=10s"},
			want: []string{
				"lock.ttl (environment INVOICER_LOCK_TTL): 10s must be longer than worker.job_timeout (10s), or a lock could expire while its holder still works; raise lock.ttl or lower worker.job_timeout",
				"lock.wait (environment INVOICER_LOCK_WAIT): 10s must be shorter than worker.job_timeout (10s), or a job could spend all its time waiting; lower lock.wait or raise worker.job_timeout",
			},
		},
		"unknown keys": {
			yaml: "Lock: {TTL: 5s}\nlock: {timeout: 5s}\nconcurrency: 5\nredis:\n  password: hunter2\nworker:\n  retry:\n    max: 3\nnonsense: 1\n? [a, b]\n: c\n",
			want: []string{
				"Lock (invoicer.yaml line 1): unknown key; did you mean lock?",
				"lock.timeout (invoicer.yaml line 2): unknown key; known here: lock.ttl, lock.wait",
				"concurrency (invoicer.yaml line 3): unknown key; did you mean worker.concurrency?",
				"redis.password (invoicer.yaml line 5): unknown key; known here: redis.queues, redis.url",
				"worker.retry (invoicer.yaml line 7): unknown key; known here: worker.concurrency, worker.direct, worker.job_timeout, worker.max_retry, worker.queues, worker.retention, worker.shutdown_timeout",
				"nonsense (invoicer.yaml line 9): unknown key; 'invoicer config --example' prints all keys",
				"(no name) (invoicer.yaml line 10): unknown key; 'invoicer config --example' prints all keys",
			},
		},
		"unknown variables": {
			environ: []string{"INVOICER_LOG=debug", "INVOICER_HTTP_PORT=80", "INVOICER_DATABASE_PASSWORD=hunter2", "INVOICER_LOCK_MODE=tcp://x"},
			want: []string{
				"INVOICER_DATABASE_PASSWORD (environment): unknown variable; known here: INVOICER_DATABASE_SCHEMA, INVOICER_DATABASE_URL",
				"INVOICER_HTTP_PORT (environment): unknown variable; known here: INVOICER_HTTP_ADDR, INVOICER_HTTP_HOSTS, INVOICER_HTTP_INSECURE, INVOICER_HTTP_METRICS, " +
					"INVOICER_HTTP_OIDC_BASE_URL, INVOICER_HTTP_OIDC_CLIENT_ID, INVOICER_HTTP_OIDC_CLIENT_SECRET, INVOICER_HTTP_OIDC_GROUPS_CLAIM, INVOICER_HTTP_OIDC_ISSUER, INVOICER_HTTP_OIDC_OPERATE, " +
					"INVOICER_HTTP_OIDC_READ, INVOICER_HTTP_OIDC_SCOPES, INVOICER_HTTP_OIDC_SESSION, INVOICER_HTTP_PERSONAL_DATA, INVOICER_HTTP_PPROF, INVOICER_HTTP_RATE_LIMIT, INVOICER_HTTP_TLS_CERT, INVOICER_HTTP_TLS_KEY",
				"INVOICER_LOCK_MODE (environment): unknown variable; known here: INVOICER_LOCK_TTL, INVOICER_LOCK_WAIT",
				"INVOICER_LOG (environment): unknown variable; known here: INVOICER_LOG_FORMAT, INVOICER_LOG_LEVEL, INVOICER_LOG_OUTCOMES",
			},
		},
		"queues in the file": {
			yaml: "worker:\n  queues:\n    Critical: 6\n    a,b: 1\n    ok: [1]\n",
			want: []string{
				"worker.queues.Critical (invoicer.yaml line 3): a queue's name consists of a-z, 0-9, _ and -",
				"worker.queues.a,b (invoicer.yaml line 4): a queue's name consists of a-z, 0-9, _ and -",
				"worker.queues.ok (invoicer.yaml line 5): must be a number: the weight of the queue",
			},
		},
		"weights in the file": {
			yaml: "worker:\n  queues: {ok: 0}\n",
			want: []string{`worker.queues (invoicer.yaml line 2): "ok=0" gives "ok" the weight "0"; a weight is a whole number from 1 to 1000`},
		},
		"no queues in the file": {
			yaml: "worker: {queues: {}}",
			want: []string{"worker.queues (invoicer.yaml line 1): the empty value names no queue; write queues as critical=6,default=3"},
		},
		"a queue twice in the file": {
			yaml: "worker: {queues: {a: 1, a: 2}}",
			want: []string{`worker.queues (invoicer.yaml line 1): "a=1,a=2" names the queue "a" twice`},
		},
		"structure of the file": {
			yaml: "lock: 5s\nhttp:\n  addr:\nlog:\n  level: [info]\nworker:\n  max_retry: {a: 1}\nlog.level: info\n",
			want: []string{
				"lock (invoicer.yaml line 1): is a section; write its keys below it, indented",
				`http.addr (invoicer.yaml line 3): has no value; write "" for an empty one, or remove the line for the default`,
				"log.level (invoicer.yaml line 5): must be a single value, not a list or a section",
				"worker.max_retry (invoicer.yaml line 7): must be a single value, not a list or a section",
				"log.level (invoicer.yaml line 8): stands in line 5 already; remove one of the two",
			},
		},
		"a time that follows what was seen": {
			yaml: "idempotency: {cache_ttl: Auto, cache_quantile: most, cache_ttl_min: 0s, cache_ttl_max: auto}",
			want: []string{
				`idempotency.cache_ttl (invoicer.yaml line 1): "Auto" is not a duration; write a number with its unit, such as 200ms, 15s, 10m, 24h or 90d, or auto`,
				`idempotency.cache_quantile (invoicer.yaml line 1): "most" is not a number; write a fraction such as 0.99; allowed: 0.5 to 0.995`,
				`idempotency.cache_ttl_min (invoicer.yaml line 1): "0s" is out of range; allowed: 1s to 365d`,
				`idempotency.cache_ttl_max (invoicer.yaml line 1): "auto" is not a duration; write a number with its unit, such as 200ms, 15s, 10m, 24h or 90d`,
			},
		},
		"a time that is none, and limits without anything between": {
			environ: []string{
				"INVOICER_IDEMPOTENCY_CACHE_TTL=0s", "INVOICER_IDEMPOTENCY_CACHE_QUANTILE=NaN",
				"INVOICER_IDEMPOTENCY_CACHE_TTL_MIN=1h", "INVOICER_IDEMPOTENCY_CACHE_TTL_MAX=1h",
			},
			want: []string{
				`idempotency.cache_ttl (environment INVOICER_IDEMPOTENCY_CACHE_TTL): "0s" is out of range; allowed: auto, 1s to 365d`,
				`idempotency.cache_quantile (environment INVOICER_IDEMPOTENCY_CACHE_QUANTILE): "NaN" is out of range; allowed: 0.5 to 0.995`,
				"idempotency.cache_ttl_max (environment INVOICER_IDEMPOTENCY_CACHE_TTL_MAX): 1h must be longer than idempotency.cache_ttl_min (1h), or auto would have no choice; raise idempotency.cache_ttl_max or lower idempotency.cache_ttl_min",
			},
		},
		"an OpenID provider, half": {
			yaml:    "http:\n  oidc:\n    client_id: invoicer\n    isuer: https://login.example\n",
			environ: []string{"INVOICER_HTTP_OIDC_CLIENT_SECRET=hunter2"},
			want: []string{
				"http.oidc.isuer (invoicer.yaml line 4): unknown key; did you mean http.oidc.issuer?",
				"http.oidc.issuer (default): is missing: signing in with an OpenID provider needs it",
				"http.oidc.base_url (default): is missing: signing in with an OpenID provider needs it",
				"http.oidc.read (default): is missing, and so is http.oidc.operate: name the groups of the provider that get these roles",
			},
		},
		"a store of documents that is none": {
			yaml: "documents: {store: 'folder:here/../there'}\n",
			want: []string{"documents.store (invoicer.yaml line 1): \"folder:here/../there\" names no folder: write folder: and an absolute path without . or .. and without * ? [ and \\ in it, and without a / at its end"},
		},
		"a bucket that can't be reached": {
			yaml: "documents: {store: 's3://invoices/a', s3: {endpoint: 'http://s3.example/invoices'}}\n",
			want: []string{
				"documents.s3.access_key (default): is missing: it is needed, as documents.store is a bucket",
				"documents.s3.secret_key (default): is missing: it is needed, as documents.store is a bucket",
				"documents.s3.endpoint (invoicer.yaml line 1): has a path: name the service alone, and the bucket in documents.store",
			},
		},
		"a service without TLS, and half of its key": {
			yaml: "documents: {s3: {endpoint: 'http://s3.example', secret_key: hunter2}}\n",
			want: []string{
				"documents.s3.access_key (default): is missing: it is needed, as another key of documents.s3 is set",
				`documents.s3.endpoint (invoicer.yaml line 1): "http://s3.example" must begin with https://, unless something else encrypts and documents.s3.insecure is true`,
			},
		},
		"links without a key, in the clear": {
			yaml: "documents: {links: {url: 'http://invoices.example/'}}\n",
			want: []string{
				"documents.links.keys (default): is missing: documents.links.url needs a key to sign links with, which `invoicer events endpoint secret` makes",
				"documents.links.url (invoicer.yaml line 1): must begin with https://, or documents cross the network readable; if something else encrypts, set http.insecure",
			},
		},
		"links without an address, and an endpoint that is to get some": {
			yaml: "documents: {links: {keys: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, lifetime: 1s}}\n",
			want: []string{
				`documents.links.lifetime (invoicer.yaml line 1): "1s" is out of range; allowed: 1m to 90d`,
				"documents.links.url (default): is missing: documents.links.keys are there, and links need an address to lead to",
			},
		},
		"an endpoint with documents, and no links": {
			yaml: "events: {endpoints: [{name: erp, url: 'https://erp.example/', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, types: [invoice.created], documents: true}]}\n",
			want: []string{"documents.links.url (default): is missing: the endpoint erp in events.endpoints is to get links to documents"},
		},
		"a key of links that is none": {
			yaml: "documents: {links: {url: 'https://invoices.example', keys: hunter2}}\n",
			want: []string{
				"documents.links.keys (invoicer.yaml line 1): the value is not right: a key must be whsec_ and 24 to 64 bytes in base64, as `invoicer events endpoint secret` makes one",
			},
		},
		"an OpenID provider by its groups alone": {
			yaml: "http: {oidc: {operate: [ops]}}\n",
			want: []string{
				"http.oidc.issuer (default): is missing: signing in with an OpenID provider needs it",
				"http.oidc.client_id (default): is missing: signing in with an OpenID provider needs it",
				"http.oidc.client_secret (default): is missing: signing in with an OpenID provider needs it",
				"http.oidc.base_url (default): is missing: signing in with an OpenID provider needs it",
			},
		},
		"an OpenID provider and pages without TLS": {
			yaml: "http: {oidc: {issuer: 'http://login.example', base_url: 'http://billing.example:8080/', client_id: i, client_secret: hunter2, read: [a]}, hosts: [other.example]}\n",
			want: []string{
				`http.oidc.issuer (invoicer.yaml line 1): "http://login.example" must begin with https://, unless something else encrypts and http.insecure is true`,
				`http.oidc.base_url (invoicer.yaml line 1): "http://billing.example:8080" must begin with https://, unless something else encrypts and http.insecure is true`,
				"http.hosts (invoicer.yaml line 1): lacks billing.example, the host of http.oidc.base_url, to which the provider sends people back: add it",
			},
		},
		"pages that the provider can't send people back to": {
			yaml: "http: {oidc: {issuer: 'https://login.example', base_url: 'https://billing.example', client_id: i, client_secret: hunter2, read: [a]}}\n",
			want: []string{"http.hosts (default): lacks billing.example, the host of http.oidc.base_url, to which the provider sends people back: add it"},
		},
		"addresses of an OpenID provider that are none": {
			yaml: "http: {oidc: {issuer: login.example, base_url: 'https://billing.example/invoicer', client_id: i, client_secret: hunter2, read: [a], groups_claim: '', session: 13h}}\n",
			want: []string{
				"http.oidc.issuer (invoicer.yaml line 1): the URL is not an address such as https://login.example",
				"http.oidc.base_url (invoicer.yaml line 1): the URL has a path: the pages are served at / only",
				"http.oidc.groups_claim (invoicer.yaml line 1): must not be empty",
				`http.oidc.session (invoicer.yaml line 1): "13h" is out of range; allowed: 1m to 12h`,
			},
		},
		"an OpenID provider's address with a password": {
			environ: []string{"INVOICER_HTTP_OIDC_ISSUER=https://a:hunter2@login.example"},
			want: []string{
				"http.oidc.issuer (environment INVOICER_HTTP_OIDC_ISSUER): the URL has more than a host and a path: leave out user, password, ? and #",
			},
		},
		"a certificate without its key": {
			yaml: "http: {tls_cert: /etc/tls.crt}",
			want: []string{"http.tls_key (default): is missing: http.tls_cert needs its private key"},
		},
		"a key without its certificate": {
			environ: []string{"INVOICER_HTTP_TLS_KEY=/etc/tls.key"},
			want:    []string{"http.tls_cert (default): is missing: http.tls_key needs its certificate"},
		},
		"hosts that are no list of names": {
			yaml: "http:\n  hosts: [a.example, [b]]\n  tls_cert: [a]\n",
			want: []string{
				"http.hosts (invoicer.yaml line 2): must be a list of single values",
				"http.tls_cert (invoicer.yaml line 3): must be a single value, not a list or a section",
			},
		},
		"a section twice": {
			yaml: "lock:\n  ttl: 20s\nlock:\n  ttl: 30s\n",
			want: []string{"lock.ttl (invoicer.yaml line 4): stands in line 2 already; remove one of the two"},
		},
		"no YAML":        {yaml: "lock: {ttl", want: []string{"invoicer.yaml: is not valid YAML: line 1: did not find expected ',' or '}'"}},
		"a list":         {yaml: "- lock", want: []string{"invoicer.yaml: holds no keys; 'invoicer config --example' prints a file to start from"}},
		"two documents":  {yaml: "lock: {ttl: 20s}\n---\nlock: {ttl: 30s}\n", want: []string{"invoicer.yaml: is not valid YAML: there is a second document after ---"}},
		"an alias cycle": {yaml: "lock: &a\n  ttl: *a\n", want: []string{"lock.ttl (invoicer.yaml line 2): must be a single value, not a list or a section"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, problems(t, sources(t, tt.yaml, tt.environ, tt.flags))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for _, tt := range []struct{ key, text, want string }{
		{"worker.concurrency", "0", `"0" is out of range; allowed: 1 to 10000`},
		{"worker.concurrency", "10001", `"10001" is out of range; allowed: 1 to 10000`},
		{"worker.concurrency", "99999999999999999999", `"99999999999999999999" is out of range; allowed: 1 to 10000`},
		{"worker.concurrency", "1.5", `"1.5" is not a whole number; allowed: 1 to 10000`},
		{"worker.concurrency", "", "the empty value is not a whole number; allowed: 1 to 10000"},
		{"worker.max_retry", "-1", `"-1" is out of range; allowed: 0 to 1000`},
		{"worker.job_timeout", "5ms", `"5ms" is out of range; allowed: 10ms to 24h`},
		{"lock.wait", "-1s", `"-1s" is out of range; allowed: 0s to 1h`},
		{"retention.jobs", "59m", `"59m" is out of range; allowed: 1h to 36500d`},
		{"retention.jobs", "106752d", `"106752d" is too long; 106751d is the most`},
		{"retention.jobs", "1.5d", `"1.5d" is not a duration; write a number with its unit, such as 200ms, 15s, 10m, 24h or 90d`},
		{"worker.queues", "", "the empty value names no queue; write queues as critical=6,default=3"},
		{"worker.queues", "a", `"a" gives "a" no weight; write queues as critical=6,default=3`},
		{"worker.queues", "a=1,", `"a=1," gives "" no weight; write queues as critical=6,default=3`},
		{"worker.queues", "Critical=6", `"Critical=6" has a queue "Critical"; a queue's name consists of a-z, 0-9, _ and -`},
		{"worker.queues", "a=1001", `"a=1001" gives "a" the weight "1001"; a weight is a whole number from 1 to 1000`},
		{"worker.queues", "a=1,a=2", `"a=1,a=2" names the queue "a" twice`},
		{"database.schema", "", "must not be empty"},
		{"database.schema", "Billing", `"Billing" is not a plain name; it starts with a-z or _ and goes on with a-z, 0-9 and _`},
		{"database.schema", "1st", `"1st" is not a plain name; it starts with a-z or _ and goes on with a-z, 0-9 and _`},
		{"database.schema", "pg_x", `"pg_x" belongs to Postgres; choose another name`},
		{"database.schema", "information_schema", `"information_schema" belongs to Postgres; choose another name`},
		{"database.schema", long, `"` + long + `" is longer than 63 characters`},
		{"numbering.period", "month", `"month" is none of: none, year`},
		{"numbering.timezone", "Mars", `"Mars" is not a time zone; use a name such as UTC or Europe/Berlin`},
		{"numbering.timezone", "Local", `"Local" is not a time zone; use a name such as UTC or Europe/Berlin`},
		{"numbering.timezone", "", "must not be empty"},
		{"numbering.format", "", "must not be empty"},
		{"http.addr", "localhost", `"localhost" is not host:port; write 127.0.0.1:8080, or :8080 for all interfaces, or nothing for off`},
		{"http.addr", ":65536", `":65536" has no port from 0 to 65535`},
		{"http.addr", ":http", `":http" has no port from 0 to 65535`},
		{"http.insecure", "yes", `"yes" is none of: true, false`},
		{"http.insecure", "", "the empty value is none of: true, false"},
		{"http.metrics", "closed", `"closed" is none of: token, open`},
		{"http.hosts", "https://shop.example", `"https://shop.example" has "https://shop.example", which is no host name; write the name alone, such as billing.example, without https:// and port`},
		{"http.hosts", "a.example, b.example:80", `"a.example, b.example:80" has "b.example:80", which is no host name; write the name alone, such as billing.example, without https:// and port`},
		{"http.hosts", "*.example", `"*.example" has "*.example", which is no host name; write the name alone, such as billing.example, without https:// and port`},
		{"log.level", "loud", `"loud" is none of: debug, info, warn, error`},
		{"log.format", "xml", `"xml" is none of: empty, text, json`},
		{"redis.url", "", "must not be empty"},
		{"database.url", "", "must not be empty"},
	} {
		t.Run(tt.key+"="+tt.text, func(t *testing.T) {
			t.Parallel()
			env := "INVOICER_" + strings.ToUpper(strings.ReplaceAll(tt.key, ".", "_"))
			want := []string{tt.key + " (environment " + env + "): " + tt.want}
			if diff := cmp.Diff(want, problems(t, sources(t, "", []string{env + "=" + tt.text}, nil))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsOfUnknownSectionPanic(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("AddFlags took a section that doesn't exist")
		}
	}()
	config.AddFlags(nil, "locks")
}
