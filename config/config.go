// Package config turns flags, environment, file and defaults into one checked [Config].
//
// Flags take precedence over INVOICER_* variables, these over the file, and the file over defaults. [Keys] is the
// only list of what can be configured; flags, variables, the example file and the documentation are generated from
// it.
package config

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"invoicer/invoice"
)

// A Config holds all settings. A Config that [Load] returned is valid: every value is in its range, and the rules
// between keys hold. It prints and marshals without passwords. The rules for series and number formats belong to
// package invoice; they join by [Sources].Checks.
type Config struct {
	Redis       Redis
	Database    Database
	Worker      Worker
	Lock        Lock
	Idempotency Idempotency
	Numbering   invoice.NumberingOptions
	Settings    map[string]string // what is stated of the database's settings, see [Settings]; name → value as people write it
	Retention   Retention
	Witness     Witness
	Events      Events
	Documents   Documents
	HTTP        HTTP
	Metrics     Metrics
	Log         Log
	AllowUnsafe bool // workers start although the database may lose what it has committed

	// Origins holds, for each key, where its value came from: "default", "invoicer.yaml line 3", "environment
	// INVOICER_LOCK_TTL" or "flag --lock-ttl".
	Origins map[string]string
}

// Redis is the server that carries the queues and the locks.
type Redis struct {
	URL    URL      // see [Redis.Options] for its forms
	Queues []string // the queues that lie on it, where others lie on another one; none: all
}

// Documents says how invoices become documents.
type Documents struct {
	Render   []string // the formats that are made of each invoice
	Profile  string   // by whose rules they are written
	Template string   // the file that says how a page looks; "" for the default
	Store    string   // where bytes of new ones are kept: "database", or as [objects.CheckStore] takes it
	S3       S3
	Email    Email
	Channels []Channel // to which invoices are handed over; none by default
	Links    Links
}

// Links says how links to documents are made and read, which lead there without a token.
type Links struct {
	URL      string        // where they lead: scheme, host and port, with no / at the end; "" = there are none, and no keys
	Keys     Secret        // as [Links.Secrets] takes it; "" if and only if URL is
	Lifetime time.Duration // of each
}

// Secrets returns the keys that links are signed with, the newest first.
func (l *Links) Secrets() []string { return strings.Fields(string(l.Keys)) }

// S3 says how buckets are reached.
type S3 struct {
	Endpoint     string // "" = they can't be; then the keys are empty, too
	Region       string
	AccessKey    string
	SecretKey    Secret
	VirtualHosts bool
	Insecure     bool // an endpoint beyond loopback may be without TLS
}

// Email says by which server documents are sent as e-mail. What goes together is checked by the room that sends.
type Email struct {
	Server    string        // host:port, or host; "" = none is sent, and all else is its default
	TLS       string        // "starttls", "implicit" or "none"
	Auth      string        // how we sign in
	User      string        // "" = we don't sign in
	Password  Secret        // "" if and only if User is
	From      string        // whom letters are from
	ReplyTo   string        // where answers go; "" = to From
	Envelope  string        // where bounces go; "" = to From
	HELO      string        // how this machine names itself; "" = by its name
	Templates string        // the file with what letters say; "" for the default
	MaxSize   int           // bytes of a letter as it is sent
	Timeout   time.Duration // how long the server may take for a step
	Allow     []string      // networks in which TLS may be "none"
}

// Networks returns what [Email.Allow] states.
func (e *Email) Networks() []netip.Prefix { return parsedNetworks(e.Allow) }

// Database is the Postgres that keeps the invoices.
type Database struct {
	URL    URL    // postgres://…, also with ?host=/directory for a unix socket
	Schema string // a plain lower-case identifier that needs no quoting
}

// Worker says how jobs are consumed.
type Worker struct {
	Concurrency     int            // jobs at the same time in one process; at least 1
	Queues          map[string]int // name → weight, at least 1; never empty
	JobTimeout      time.Duration  // less than Lock.TTL
	ShutdownTimeout time.Duration  // more than JobTimeout
	MaxRetry        int            // most failures after which a job is still tried again; 0 = the first failure is final
	Retention       time.Duration  // how long an ended task stays visible in its queue; 0 = not at all
	Direct          string         // "allow" or "refuse": jobs that the ledger doesn't have
}

// Lock says how long a transaction's lock lasts, and how long other jobs wait for it.
type Lock struct {
	TTL  time.Duration // more than Worker.JobTimeout
	Wait time.Duration // less than Worker.JobTimeout; 0 = never wait
}

// Idempotency says how long Redis remembers a transaction's invoice.
type Idempotency struct {
	CacheTTL      time.Duration // Auto: it follows the late duplicates that were seen
	CacheQuantile float64       // with Auto, the share of late duplicates to answer; more than 0 and less than 1
	CacheTTLMin   time.Duration // with Auto; less than CacheTTLMax
	CacheTTLMax   time.Duration // with Auto
}

// Auto is the value of a duration that is written as auto.
const Auto time.Duration = 0

// Retention says how long data is kept before it may be pruned.
type Retention struct {
	Jobs           time.Duration
	Duplicates     time.Duration
	FailedPayloads time.Duration
	Events         time.Duration
	APIRequests    time.Duration
	Invoices       []string // after which age each issuer's invoices are due to be erased, see [Retention.InvoicesOf]; none by default
}

// Witness says where documents are remembered beside both servers.
type Witness struct {
	Folder string // "" = nowhere
}

// HTTP says where the worker serves its pages, and to whom.
type HTTP struct {
	Addr     string   // host:port; "" = off
	Pprof    string   // "on" or "off"
	TLSCert  string   // a file; "" = no TLS
	TLSKey   string   // a file; "" if and only if TLSCert is
	Insecure bool     // serve more than health beyond loopback without TLS
	Hosts    []string // host names and addresses, without port; none = any beyond loopback
	Metrics  string   // "token" or "open"

	RateLimit int // requests of a token to the API in a second, in all processes together; 0 = any number

	PersonalData string // the role that may see it: "hidden" = none, "operate" or "read"

	OIDC OIDC
}

// OIDC says with which OpenID provider people sign in to the pages, and which of its groups may do what.
type OIDC struct {
	Issuer       string // "" = people sign in with tokens only; then all but the last three are empty
	ClientID     string
	ClientSecret Secret
	BaseURL      string   // where people open the pages: scheme, host and port, with no / at the end
	Read         []string // groups; there is at least one here or in Operate
	Operate      []string // groups

	GroupsClaim string        // never empty
	Scopes      []string      // asked for beside openid
	Session     time.Duration // how long a sign-in lasts
}

// Metrics bound what is shown to Prometheus.
type Metrics struct {
	Producers int // that get a label of their own
}

// Log says what is logged, and in which format.
type Log struct {
	Level  slog.Level
	Format string // "text", "json", or "" to choose: text on a terminal, else json

	Outcomes string // "all", or "problems": without the jobs that ended as created or duplicate
}

// Default returns the configuration with the default of each key.
func Default() Config {
	c := Config{Origins: make(map[string]string)}
	for _, k := range Keys() {
		_ = k.value(&c).parse(k.Default) // a test proves that every default is valid
		c.Origins[k.Name] = OriginDefault
	}
	return c
}
