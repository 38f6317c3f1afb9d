// Package config turns flags, environment, file and defaults into one checked [Config].
//
// The precedence is: flags, then INVOICER_* variables, then the file, then defaults. [Keys] is the one list of what can
// be configured; everything else (flags, variables, the example file, the documentation) is made from it.
package config

import (
	"log/slog"
	"time"
)

// A Config that came out of [Load] is valid: every value is in its range and the rules between keys hold. It prints
// and marshals without passwords.
type Config struct {
	Redis       Redis
	Database    Database
	Worker      Worker
	Lock        Lock
	Idempotency Idempotency
	Numbering   Numbering
	Retention   Retention
	HTTP        HTTP
	Log         Log

	// Origins says for each key where its value came from: "default", "invoicer.yaml line 3", "environment
	// INVOICER_LOCK_TTL" or "flag --lock-ttl".
	Origins map[string]string
}

// Redis is the server that carries the queues and the locks.
type Redis struct {
	URL URL // see [Redis.Options] for the forms it takes
}

// Database is the Postgres that keeps the invoices.
type Database struct {
	URL    URL    // postgres://…, also with ?host=/directory for a unix socket
	Schema string // a plain lower-case identifier that needs no quoting
}

// Worker is how jobs are consumed.
type Worker struct {
	Concurrency     int            // jobs at the same time, in one process; at least 1
	Queues          map[string]int // name → weight, at least 1; never empty
	JobTimeout      time.Duration  // less than Lock.TTL
	ShutdownTimeout time.Duration  // more than JobTimeout
	MaxRetry        int            // real failures until a job counts as failed; 0 = the first one is final
	Retention       time.Duration  // how long an ended task stays visible in its queue; 0 = not at all
	Direct          string         // "allow" or "refuse" jobs that the ledger doesn't have
}

// Lock is how long one job keeps others off its transaction.
type Lock struct {
	TTL  time.Duration // more than Worker.JobTimeout
	Wait time.Duration // less than Worker.JobTimeout; 0 = never wait
}

// Idempotency is how long Redis remembers what is done.
type Idempotency struct {
	CacheTTL time.Duration
}

// Numbering is what invoice numbers are made of. Only Period and Timezone are checked here: the rules of series and
// formats belong to whoever prints numbers, and join in through [Sources].Checks.
type Numbering struct {
	InvoiceSeries    string
	CreditNoteSeries string
	Period           string // "none" or "year"
	Format           string
	Timezone         string // a name that time.LoadLocation knows, never "Local"
}

// Retention is what may be pruned when it is older.
type Retention struct {
	Jobs           time.Duration
	Duplicates     time.Duration
	FailedPayloads time.Duration
}

// HTTP is the worker's own pages.
type HTTP struct {
	Addr  string // host:port; "" = off
	Pprof string // "on" or "off"
}

// Log is what is logged, and how.
type Log struct {
	Level  slog.Level
	Format string // "text", "json", or "" to choose: text on a terminal, else json
}

// Default is the configuration of a machine that configures nothing.
func Default() Config {
	c := Config{Origins: make(map[string]string)}
	for _, k := range Keys() {
		_ = k.value(&c).parse(k.Default) // a test proves that every default is valid
		c.Origins[k.Name] = originDefault
	}
	return c
}
