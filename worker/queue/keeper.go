package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
)

// A Witness is the installation's database, whose nonces prove that it isn't a copy.
type Witness interface {
	// Nonces reads the newest nonces and writes nothing.
	Nonces(ctx context.Context) (ledger.Nonces, error)
	// RenewNonce writes a new nonce, unless the newest is less than a second old, and reads the newest nonces.
	RenewNonce(ctx context.Context) (ledger.Nonces, error)
}

// Options of a [Keeper]. Zero values mean the defaults.
type Options struct {
	// Installation is the owner to be of the queues. Its ID is required.
	Installation Installation
	// Worker is this process's unique name. Required.
	Worker string
	// Queues to claim. Required.
	Queues []string
	// Logger gets a line when another installation's claim is overwritten. Default: nothing is logged.
	Logger *slog.Logger
}

// A Keeper claims queues for an installation and keeps them. Each worker process has one; those of the same installation
// own their queues together.
//
// An owner renews its claim every second. An observer that sees no renewal for three seconds takes the owner for dead; it
// never compares the claim's time with its own clock. Two databases have the same identity if one is a copy of the other; so
// each renewal in Redis also shows a nonce that was written to the database before. If a worker's database doesn't have
// that nonce, the worker and the owner use different copies.
type Keeper struct {
	rdb     redis.UniversalClient
	witness Witness
	options Options
	claims  []*ownership
	began   time.Time
	fresh   atomic.Int64 // until when, as a time since began, all queues are known to be the installation's

	mu     sync.Mutex
	known  knowledge
	others map[string]cachedRefusal // of queues that this keeper doesn't claim
}

const (
	// renewInterval is how often an owner renews its claim, and writes a nonce.
	renewInterval = time.Second
	// retryInterval is how soon it retries when Redis or the database didn't answer.
	retryInterval = 250 * time.Millisecond
	// renewTimeout bounds one renewal. A server that answers later counts as unreachable.
	renewTimeout = 2 * time.Second
	// slowAnswer is how long an answer may take to count as an observation: the owner's renewals may take as long.
	slowAnswer = time.Second / 2
	// longestBreak is the longest time between two observations of an owner that doesn't start the watch anew.
	longestBreak = 2 * time.Second
	// lookInterval is how often a watched owner is looked at.
	lookInterval = 200 * time.Millisecond
	// claimTimeout is how long a claim goes on while servers don't answer.
	claimTimeout = 30 * time.Second
	// mostKnown bounds the nonces that a process remembers beyond those that its database has.
	mostKnown = 32
)

// NewKeeper returns a keeper. The caller closes the Redis client.
func NewKeeper(rdb redis.UniversalClient, w Witness, o Options) (*Keeper, error) {
	if o.Installation.ID == "" || o.Worker == "" || len(o.Queues) == 0 {
		return nil, errors.New("queue: a keeper needs an Installation with an ID, a Worker and Queues")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{rdb: rdb, witness: w, options: o, began: time.Now(), others: make(map[string]cachedRefusal)}
	k.known.DatabaseID = o.Installation.ID
	for _, name := range slices.Sorted(slices.Values(o.Queues)) {
		k.claims = append(k.claims, &ownership{queue: name})
	}
	return k, nil
}

// Owns reports whether the claims of all queues were renewed within the last three seconds. A process that was suspended for
// longer, or cut off from Redis, doesn't own them until it has renewed its claims.
func (k *Keeper) Owns() bool { return time.Since(k.began) < time.Duration(k.fresh.Load()) }

// Check returns an error unless [Keeper.Owns] returns true.
func (k *Keeper) Check() error {
	if !k.Owns() {
		return errors.New("the worker may not own its queues any more: it can't renew its claims in Redis")
	}
	return nil
}

// ErrAnotherDatabase means that the worker's database has another identity than when the worker started.
var ErrAnotherDatabase = errors.New("the database was replaced by another one")

// knowledge is what a process knows of its database.
type knowledge struct {
	ledger.Nonces
	asked time.Time // when the last query that was answered began
}

// learn stores the database's newest nonces, and keeps older ones: after a restore or a failover of the database, Redis may
// still have a nonce that the database has lost.
func (k *Keeper) learn(n ledger.Nonces, asked time.Time) error {
	if n.DatabaseID != k.options.Installation.ID {
		return fmt.Errorf("schema %s of %s: %w: its identity was %s and is %s; restart the workers", k.options.Installation.Schema,
			k.options.Installation.Database, ErrAnotherDatabase, k.options.Installation.ID, n.DatabaseID)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, old := range k.known.Latest {
		if len(n.Latest) >= mostKnown {
			break
		}
		if !knows(n, old) {
			n.Latest = append(n.Latest, old)
		}
	}
	k.known = knowledge{n, asked}
	return nil
}

func (k *Keeper) knows() knowledge {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known
}

// ask queries the database, and stores its answer.
func (k *Keeper) ask(ctx context.Context, question func(context.Context) (ledger.Nonces, error)) error {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	n, err := question(ctx)
	if err != nil {
		return &unansweredError{err}
	}
	return k.learn(n, asked)
}

// An unansweredError means that a server didn't answer.
type unansweredError struct{ error }

func (e *unansweredError) Unwrap() error { return e.error }

func isUnanswered(err error) bool { return errors.As(err, new(*unansweredError)) }

// pause waits for d. It returns false if ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
