package config

import (
	"slices"
	"strings"
	"time"

	"invoicer/invoice"
)

const day = 24 * time.Hour

// A Key describes one setting.
type Key struct {
	Name    string // as in the file: lock.ttl
	Default string // as written in a variable
	Doc     string // one line
	Secret  bool   // the value may contain a password

	value func(*Config) value // the value's place in a Config
}

// Env returns the name of the variable that sets the key: INVOICER_LOCK_TTL.
func (k Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Flag returns the name of the flag that sets the key, without dashes: lock-ttl.
func (k Key) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(k.Name) }

// Section returns the first part of the name: lock.
func (k Key) Section() string {
	section, _, _ := strings.Cut(k.Name, ".")
	return section
}

// Form returns the value's type in a word, such as duration, and the allowed values, "" if all are allowed.
func (k Key) Form() (kind, allowed string) { return k.value(new(Config)).form() }

// path returns the parts of the name: http, oidc, issuer.
func (k Key) path() []string { return strings.Split(k.Name, ".") }

// leaf returns the last part of the name: issuer.
func (k Key) leaf() string { return k.Name[strings.LastIndexByte(k.Name, '.')+1:] }

// Keys returns all keys, section by section.
func Keys() []Key {
	numbering := invoice.DefaultNumbering()
	keys := []Key{
		{
			Name: "redis.url", Default: "redis://127.0.0.1:6379/0", Secret: true,
			Doc:   "the Redis server, Sentinel group or Cluster that carries the queues and the locks",
			value: func(c *Config) value { return redisURL(&c.Redis.URL) },
		},
		{
			Name: "redis.queues", Default: "",
			Doc:   "the queues that lie on this Redis, where others lie on another one: no accepted job of another queue is sent to it; empty: all",
			value: func(c *Config) value { return queueNames(&c.Redis.Queues) },
		},
		{
			Name: "database.url", Default: "postgres://127.0.0.1:5432/invoicer", Secret: true,
			Doc:   "the Postgres database that keeps the invoices",
			value: func(c *Config) value { return databaseURL(&c.Database.URL) },
		},
		{
			Name: "database.schema", Default: "invoicer",
			Doc:   "the schema that holds all tables",
			value: func(c *Config) value { return schemaName(&c.Database.Schema) },
		},
		{
			Name: "worker.concurrency", Default: "768",
			Doc:   "jobs that one process works on at the same time",
			value: func(c *Config) value { return integer{&c.Worker.Concurrency, 1, 10_000} },
		},
		{
			Name: "worker.queues", Default: "critical=6,default=3,bulk=1",
			Doc:   "the queues to consume with their weights: a queue of weight 6 is asked for jobs twice as often as one of weight 3",
			value: func(c *Config) value { return weights{&c.Worker.Queues} },
		},
		{
			Name: "worker.job_timeout", Default: "10s",
			Doc:   "how long one attempt at a job may take; shorter than lock.ttl",
			value: func(c *Config) value { return duration{&c.Worker.JobTimeout, 10 * time.Millisecond, day} },
		},
		{
			Name: "worker.shutdown_timeout", Default: "15s",
			Doc:   "how long a stopping worker waits for its running jobs; longer than worker.job_timeout",
			value: func(c *Config) value { return duration{&c.Worker.ShutdownTimeout, 10 * time.Millisecond, day} },
		},
		{
			Name: "worker.max_retry", Default: "25",
			Doc:   "how often a job is retried after real failures before it counts as failed; outages and lock contention use up no retries",
			value: func(c *Config) value { return integer{&c.Worker.MaxRetry, 0, 1_000} },
		},
		{
			Name: "worker.retention", Default: "10m",
			Doc:   "how long an ended task stays visible in its queue; 0s removes it at once",
			value: func(c *Config) value { return duration{&c.Worker.Retention, 0, 365 * day} },
		},
		{
			Name: "worker.direct", Default: "allow",
			Doc:   "whether jobs that were enqueued straight into Redis are invoiced; refuse records them as invalid, so that only jobs that were accepted in the database are invoiced",
			value: func(c *Config) value { return choice(&c.Worker.Direct, []string{"allow", "refuse"}) },
		},
		{
			Name: "lock.ttl", Default: "15s",
			Doc:   "how long the lock of a worker that died lasts before it expires; longer than worker.job_timeout",
			value: func(c *Config) value { return duration{&c.Lock.TTL, 10 * time.Millisecond, day} },
		},
		{
			Name: "lock.wait", Default: "200ms",
			Doc:   "how long a job waits for a lock that another job holds before it goes back to its queue; 0s never waits",
			value: func(c *Config) value { return duration{&c.Lock.Wait, 0, time.Hour} },
		},
		{
			Name: "idempotency.cache_ttl", Default: "24h",
			Doc: "how long Redis remembers the invoice of a transaction, which saves a query to Postgres; auto follows the late duplicates that were seen",
			value: func(c *Config) value {
				return durationOrAuto{duration{&c.Idempotency.CacheTTL, time.Second, 365 * day}}
			},
		},
		{
			Name: "idempotency.cache_quantile", Default: "0.99",
			Doc:   "with auto, the share of late duplicates that Redis should answer",
			value: func(c *Config) value { return fraction{&c.Idempotency.CacheQuantile, 0.5, 0.995} },
		},
		{
			Name: "idempotency.cache_ttl_min", Default: "1m",
			Doc:   "with auto, the shortest time that Redis remembers an invoice",
			value: func(c *Config) value { return duration{&c.Idempotency.CacheTTLMin, time.Second, 365 * day} },
		},
		{
			Name: "idempotency.cache_ttl_max", Default: "7d",
			Doc:   "with auto, the longest time that Redis remembers an invoice; longer than idempotency.cache_ttl_min",
			value: func(c *Config) value { return duration{&c.Idempotency.CacheTTLMax, time.Second, 365 * day} },
		},
		{
			Name: "numbering.invoice_series", Default: numbering.InvoiceSeries,
			Doc:   "the series of invoices whose job names none",
			value: func(c *Config) value { return text(&c.Numbering.InvoiceSeries) },
		},
		{
			Name: "numbering.credit_note_series", Default: numbering.CreditNoteSeries,
			Doc:   "the series of credit notes, made from the {series} that an invoice would have had",
			value: func(c *Config) value { return text(&c.Numbering.CreditNoteSeries) },
		},
		{
			Name: "numbering.period", Default: numbering.Period,
			Doc:   "when numbers start again at 1: never, or each year of issued_at",
			value: func(c *Config) value { return choice(&c.Numbering.Period, invoice.Periods()) },
		},
		{
			Name: "numbering.format", Default: numbering.Format,
			Doc:   "an invoice number as printed, made of {series}, {number} or {number:06}, and with periods {period}",
			value: func(c *Config) value { return text(&c.Numbering.Format) },
		},
		{
			Name: "numbering.timezone", Default: numbering.Timezone,
			Doc:   "the time zone that decides which year issued_at lies in",
			value: func(c *Config) value { return timezone(&c.Numbering.Timezone) },
		},
		{
			Name: "retention.jobs", Default: "90d",
			Doc:   "how long invoicer prune keeps done jobs in the ledger",
			value: func(c *Config) value { return duration{&c.Retention.Jobs, time.Hour, 36_500 * day} },
		},
		{
			Name: "retention.duplicates", Default: "365d",
			Doc:   "how long invoicer prune keeps recorded duplicate attempts; those of jobs that are still in the ledger stay",
			value: func(c *Config) value { return duration{&c.Retention.Duplicates, time.Hour, 36_500 * day} },
		},
		{
			Name: "retention.failed_payloads", Default: "90d",
			Doc:   "how long invoicer prune keeps the payloads of failed jobs, without which they can't be replayed",
			value: func(c *Config) value { return duration{&c.Retention.FailedPayloads, time.Hour, 36_500 * day} },
		},
		{
			Name: "retention.events", Default: "30d",
			Doc:   "how long invoicer prune keeps events, and what endpoints were told of them; those that an endpoint is still to be told stay",
			value: func(c *Config) value { return duration{&c.Retention.Events, time.Hour, 36_500 * day} },
		},
		{
			Name: "retention.api_requests", Default: "30d",
			Doc:   "how long a request by HTTP is remembered by its key, so that it gets the same answer again, and a replay by HTTP after its end, before `invoicer prune` deletes it",
			value: func(c *Config) value { return duration{&c.Retention.APIRequests, time.Hour, 36_500 * day} },
		},
		{
			Name: "retention.invoices", Default: "",
			Doc:   "after which age invoicer erase --due erases the personal data of each issuer's invoices; without it, never",
			value: func(c *Config) value { return invoicesKept(&c.Retention.Invoices) },
		},
		{
			Name: "witness.folder", Default: "",
			Doc:   "a folder in which workers keep a line for each document, for when the database and Redis are lost together; empty keeps none",
			value: func(c *Config) value { return optional(&c.Witness.Folder) },
		},
		{
			Name: "documents.render", Default: "",
			Doc:   "the formats in which a document is made of each invoice, as soon as it is there: pdf, ubl, cii, facturx; others are made when they are asked for",
			value: func(c *Config) value { return documentFormats(&c.Documents.Render) },
		},
		{
			Name: "documents.profile", Default: "none",
			Doc: "by whose rules ubl, cii and facturx are written: none, en16931, xrechnung, peppol, facturx, facturx-basic",
			value: func(c *Config) value {
				return choice(&c.Documents.Profile, Profiles())
			},
		},
		{
			Name: "documents.template", Default: "",
			Doc:   "a file that says how a page looks: colours, logo, texts, columns; empty: as invoicer draws it",
			value: func(c *Config) value { return optional(&c.Documents.Template) },
		},
		{
			Name: "documents.channels", Default: "", Secret: true,
			Doc:   "to whom invoices are handed over, and who answers: each channel has a name, a kind (https with url and secret, program with command, or email) and formats; docs/handover.md has the other keys",
			value: func(c *Config) value { return channels{&c.Documents.Channels} },
		},
		{
			Name: "events.endpoints", Default: "", Secret: true,
			Doc:   "who is told of events: each endpoint has a name, a url, a secret with which events are signed, and types; with issuers it is told of theirs alone, and with documents: true its events have links to documents",
			value: func(c *Config) value { return eventEndpoints{&c.Events.Endpoints} },
		},
		{
			Name: "events.allow", Default: "",
			Doc:   "networks that may be called though they aren't public, and without TLS, by events and by documents.channels",
			value: func(c *Config) value { return networks(&c.Events.Allow) },
		},
		{
			Name: "events.record", Default: "",
			Doc:   "types of events that are recorded though no endpoint wants them, for invoicer events tail",
			value: func(c *Config) value { return eventTypes(&c.Events.Record) },
		},
		{
			Name: "http.addr", Default: "127.0.0.1:8080",
			Doc:   "where the worker answers health checks and shows its queues; empty turns it off",
			value: func(c *Config) value { return listenAddr(&c.HTTP.Addr) },
		},
		{
			Name: "http.pprof", Default: "off",
			Doc:   "whether http.addr also serves profiles under /debug/pprof/, to clients on this machine only",
			value: func(c *Config) value { return choice(&c.HTTP.Pprof, []string{"off", "on"}) },
		},
		{
			Name: "http.tls_cert", Default: "",
			Doc:   "the file with the TLS certificate and its chain, in PEM; read again when it changes",
			value: func(c *Config) value { return optional(&c.HTTP.TLSCert) },
		},
		{
			Name: "http.tls_key", Default: "",
			Doc:   "the file with the private key of http.tls_cert, in PEM",
			value: func(c *Config) value { return optional(&c.HTTP.TLSKey) },
		},
		{
			Name: "http.insecure", Default: "false",
			Doc:   "whether an address beyond loopback serves more than health without TLS; tokens then cross the network readable, unless something else encrypts them",
			value: func(c *Config) value { return boolean{&c.HTTP.Insecure} },
		},
		{
			Name: "http.hosts", Default: "",
			Doc:   "the host names by which the pages may be asked for, beside those of loopback; empty allows any beyond loopback, and only those of loopback on loopback",
			value: func(c *Config) value { return hostNames(&c.HTTP.Hosts) },
		},
		{
			Name: "http.metrics", Default: "token",
			Doc:   "who may read /metrics: holders of a token and visitors on this machine, or everybody",
			value: func(c *Config) value { return choice(&c.HTTP.Metrics, []string{"token", "open"}) },
		},
		{
			Name: "http.personal_data", Default: "hidden",
			Doc:   "who may see a job as it was asked for, with names and descriptions, and the documents of invoices, by the pages and the API, which goes on record: nobody (hidden), or holders of the role operate or read, and with them visitors on this machine",
			value: func(c *Config) value { return choice(&c.HTTP.PersonalData, []string{"hidden", "operate", "read"}) },
		},
		{
			Name: "http.rate_limit", Default: "5000",
			Doc:   "how many requests to the API each token may send in a second, in all processes together, each job of a batch counting as one; 0 sets no limit",
			value: func(c *Config) value { return integer{&c.HTTP.RateLimit, 0, 1_000_000} },
		},
		{
			Name: "http.oidc.issuer", Default: "", Secret: true, // somebody may write a password into it, which is refused
			Doc:   "the OpenID provider that people may sign in with, exactly as it calls itself; empty leaves tokens as the only way in",
			value: func(c *Config) value { return webAddress(&c.HTTP.OIDC.Issuer) },
		},
		{
			Name: "http.oidc.client_id", Default: "",
			Doc:   "the name by which the provider knows invoicer",
			value: func(c *Config) value { return optional(&c.HTTP.OIDC.ClientID) },
		},
		{
			Name: "http.oidc.client_secret", Default: "", Secret: true,
			Doc:   "the password of http.oidc.client_id",
			value: func(c *Config) value { return secret(&c.HTTP.OIDC.ClientSecret) },
		},
		{
			Name: "http.oidc.base_url", Default: "", Secret: true, // as the issuer
			Doc:   "where people open the pages, such as https://billing.example; the provider sends them back to /login/oidc/callback there",
			value: func(c *Config) value { return baseURL(&c.HTTP.OIDC.BaseURL) },
		},
		{
			Name: "http.oidc.read", Default: "",
			Doc:   "the groups whose members have the role read",
			value: func(c *Config) value { return names(&c.HTTP.OIDC.Read) },
		},
		{
			Name: "http.oidc.operate", Default: "",
			Doc:   "the groups whose members have the role operate",
			value: func(c *Config) value { return names(&c.HTTP.OIDC.Operate) },
		},
		{
			Name: "http.oidc.groups_claim", Default: "groups",
			Doc:   "the claim of the ID token that lists a person's groups",
			value: func(c *Config) value { return text(&c.HTTP.OIDC.GroupsClaim) },
		},
		{
			Name: "http.oidc.scopes", Default: "profile,email",
			Doc:   "what is asked of the provider beside openid; some, such as Dex and Okta, tell groups only if asked for groups",
			value: func(c *Config) value { return names(&c.HTTP.OIDC.Scopes) },
		},
		{
			Name: "http.oidc.session", Default: "12h",
			Doc:   "how long a sign-in lasts; groups are read at sign-in only, so whoever leaves a group keeps its role until then",
			value: func(c *Config) value { return duration{&c.HTTP.OIDC.Session, time.Minute, 12 * time.Hour} },
		},
		{
			Name: "metrics.producers", Default: "50",
			Doc:   "how many producers get a label of their own in metrics; the others share the label other",
			value: func(c *Config) value { return integer{&c.Metrics.Producers, 0, 10_000} },
		},
		{
			Name: "log.level", Default: "info",
			Doc:   "the least important messages that are logged",
			value: func(c *Config) value { return logLevel{&c.Log.Level} },
		},
		{
			Name: "log.format", Default: "",
			Doc:   "how messages are written; empty means text on a terminal, else json",
			value: func(c *Config) value { return choice(&c.Log.Format, []string{"", "text", "json"}) },
		},
		{
			Name: "log.outcomes", Default: "all",
			Doc:   "which ended jobs have a line in the log: all of them, or those with problems, which leaves out created and duplicate",
			value: func(c *Config) value { return choice(&c.Log.Outcomes, []string{"all", "problems"}) },
		},
		{
			Name: "allow_unsafe", Default: "false",
			Doc:   "whether workers start although fsync, synchronous_commit or full_page_writes is off, so that the database may lose invoices; for tests",
			value: func(c *Config) value { return boolean{&c.AllowUnsafe} },
		},
	}
	// Behind the rest of documents.
	at := slices.IndexFunc(keys, func(k Key) bool { return k.Section() == "events" })
	keys = slices.Insert(keys, at, slices.Concat(storeKeys(), linkKeys(), emailKeys())...)
	return append(keys, settingKeys()...)
}

func keysByName() map[string]Key {
	byName := make(map[string]Key)
	for _, k := range Keys() {
		byName[k.Name] = k
	}
	return byName
}

// isSection reports whether there are keys below the name: http and http.oidc.
func isSection(name string) bool {
	return slices.ContainsFunc(Keys(), func(k Key) bool { return strings.HasPrefix(k.Name, name+".") })
}

// sections returns the sections that are in no other.
func sections() []string {
	var names []string
	for _, k := range Keys() {
		names = append(names, k.Section())
	}
	return slices.Compact(names)
}
