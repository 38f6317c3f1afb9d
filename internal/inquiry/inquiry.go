// Package inquiry answers what people ask about jobs, queues and workers: it reads the database, asks Redis, and puts the
// answers together as the types of internal/report. Commands and pages print what it returns. Its [Controller] does what they ask
// for, and has it on record.
//
// An answer's cost is bounded, however many jobs there are: the database is read by indexes and up to a limit, and Redis is
// asked about single tasks and about lengths.
package inquiry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/fit"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/locking"
	"invoicer/worker/queue"
)

// A Store has the records.
type Store interface {
	Identify(ctx context.Context, issuers []string, id string) ([]report.Match, error)
	Lookup(ctx context.Context, issuer, transactionID string, limit int) (*report.Records, error)
	LookupJob(ctx context.Context, issuer *string, jobID string) (*report.Records, error)
	Attempts(ctx context.Context, jobID string) ([]report.Attempt, error)
	Payload(ctx context.Context, issuers []string, jobID string) ([]byte, error)
	Backlogs(ctx context.Context) ([]report.Queue, error)
}

// Invoices are the stored invoices.
type Invoices interface {
	Read(ctx context.Context, invoiceID int64) (*invoice.Invoice, error)
}

// Options of a [Reporter].
type Options struct {
	Store    Store
	Invoices Invoices
	// Late has the late duplicates, for [Reporter.Cache] alone. Default: none.
	Late fit.Source
	// Redis is asked within Patience.
	Redis redis.UniversalClient
	// DatabaseID returns the database's identity, by which locks and queues are known as this installation's.
	DatabaseID func(context.Context) (string, error)
	// Issuers returns the issuers whose locks are looked at for a transaction of which nothing is on record. Default: "" alone, the one
	// without a name.
	Issuers func(context.Context) ([]string, error)
	// Queues are the names of the queues that are shown although nobody has used them yet. Default: none.
	Queues []string
	// Patience is how long Redis may take to answer one inquiry. An answer without Redis's part says so. Default: 2s.
	Patience time.Duration
}

// A Reporter answers. It is safe for concurrent use.
type Reporter struct{ options Options }

// New returns a Reporter. The caller closes the store and the Redis client.
func New(o Options) (*Reporter, error) {
	if o.Store == nil || o.Invoices == nil || o.Redis == nil || o.DatabaseID == nil {
		return nil, errors.New("inquiry: a Store, Invoices, Redis and DatabaseID are needed")
	}
	if o.Issuers == nil {
		o.Issuers = nameless
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	return &Reporter{o}, nil
}

// nameless returns the issuer that has no name.
func nameless(context.Context) ([]string, error) { return []string{""}, nil }

// ErrRedisAway means that Redis doesn't answer, where an answer without its part would be of no use.
var ErrRedisAway = errors.New("redis doesn't answer")

// redisAway is what an answer lacks if Redis doesn't answer. The error's text might hold an address with a password.
const redisAway = "Redis doesn't answer: what only Redis knows is missing"

// askRedis calls ask within the patience, and returns what the answer then lacks, "" if nothing.
func (r *Reporter) askRedis(ctx context.Context, ask func(context.Context) error) (problem string) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Patience)
	defer cancel()
	err := ask(ctx)
	var refusal redis.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return fmt.Sprintf("Redis refuses (%.100q): what only Redis knows is missing", refusal.Error())
	}
	return redisAway
}

// locker returns a locker that only looks.
func (r *Reporter) locker(databaseID string) (*locking.Locker, error) {
	return locking.New(r.options.Redis, locking.Options{Prefix: LockPrefix(databaseID)})
}

// LockPrefix begins the names of all locks and done entries of an installation, by the identity of its database.
func LockPrefix(databaseID string) string { return "invoicer:" + databaseID + ":" }

// names returns the queues of Redis and of the configuration.
func (r *Reporter) names(ctx context.Context) ([]string, error) {
	names, err := queue.Names(ctx, r.options.Redis)
	if err != nil {
		return nil, err
	}
	return distinct(append(names, r.options.Queues...)), nil
}
