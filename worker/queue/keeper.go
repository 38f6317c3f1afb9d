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

// A Witness is the installation's database, as far as it proves that it isn't a copy.
type Witness interface {
	// Nonces reads the newest nonces and writes nothing.
	Nonces(ctx context.Context) (ledger.Nonces, error)
	// RenewNonce writes a new one, unless the newest is less than a second old, and reads them.
	RenewNonce(ctx context.Context) (ledger.Nonces, error)
}

// Options of a [Keeper]. Zero values mean the defaults.
type Options struct {
	// Installation is whose the queues are to be. Its ID is required.
	Installation Installation
	// Worker tells this process from the others. Required.
	Worker string
	// Queues to claim. Required.
	Queues []string
	// Logger gets a line when somebody else's claim was found and overwritten. Default: none is written.
	Logger *slog.Logger
}

// A Keeper claims queues for an installation and keeps them. Each worker process has one; those of the same installation
// own their queues together.
//
// An owner renews its claim every second. Others judge by that whether it lives, never by a clock of their own: who sees
// that nothing is renewed for three seconds takes it for dead. Two databases may have the same identity, where one is a
// copy of the other; so each renewal in Redis also shows a nonce that was written to the database before. A worker whose
// database doesn't know it has the copy.
type Keeper struct {
	rdb     redis.UniversalClient
	witness Witness
	options Options
	claims  []*ownership
	began   time.Time
	fresh   atomic.Int64 // until when, counted from began, all queues are known to be ours

	mu     sync.Mutex
	known  knowledge
	others map[string]opinion // of queues that aren't ours to claim
}

const (
	// renewInterval is how often an owner says that it lives, and writes a nonce.
	renewInterval = time.Second
	// retryInterval is how soon it does so again when Redis or the database didn't answer.
	retryInterval = 250 * time.Millisecond
	// renewTimeout bounds one renewal. A server that answers later is as good as away.
	renewTimeout = 2 * time.Second
	// slowAnswer is for how long an answer may be under way that counts as seen: an owner's words may be as late.
	slowAnswer = time.Second / 2
	// longestBreak is how long may be between two looks at an owner that count as one.
	longestBreak = 2 * time.Second
	// lookInterval is how often somebody who waits for an owner's sign of life looks.
	lookInterval = 200 * time.Millisecond
	// claimPatience is for how long claiming outlasts servers that don't answer.
	claimPatience = 30 * time.Second
	// mostKnown bounds the nonces that a process remembers beside those that its database has.
	mostKnown = 32
)

// NewKeeper returns a keeper. The Redis connection stays the caller's to close.
func NewKeeper(rdb redis.UniversalClient, w Witness, o Options) (*Keeper, error) {
	if o.Installation.ID == "" || o.Worker == "" || len(o.Queues) == 0 {
		return nil, errors.New("queue: a keeper needs an Installation with an ID, a Worker and Queues")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{rdb: rdb, witness: w, options: o, began: time.Now(), others: make(map[string]opinion)}
	k.known.DatabaseID = o.Installation.ID
	for _, name := range slices.Sorted(slices.Values(o.Queues)) {
		k.claims = append(k.claims, &ownership{queue: name})
	}
	return k, nil
}

// Owns tells whether all queues were known to be the installation's within the last seconds. A process that was stopped
// for longer, or cut off from Redis, doesn't own them until it has renewed its claim.
func (k *Keeper) Owns() bool { return time.Since(k.began) < time.Duration(k.fresh.Load()) }

// Check returns nil if all queues are known to be the installation's.
func (k *Keeper) Check() error {
	if !k.Owns() {
		return errors.New("its queues aren't known to be its own: their owner can't be renewed in Redis")
	}
	return nil
}

// ErrAnotherDatabase says that the database isn't the one any more that the worker began with.
var ErrAnotherDatabase = errors.New("the database has become another one")

// knowledge is what a process knows of its database.
type knowledge struct {
	ledger.Nonces
	asked time.Time // when the last question began that was answered
}

// learn takes in what the database has told. Older nonces are kept: where a database is restored or fails over, what was
// written last may be gone there, and still stand in Redis.
func (k *Keeper) learn(n ledger.Nonces, asked time.Time) error {
	if n.DatabaseID != k.options.Installation.ID {
		return fmt.Errorf("schema %s of %s: %w: its identity was %s and is %s; start the workers anew", k.options.Installation.Schema,
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

// ask asks the database.
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

// An unansweredError says that a server doesn't answer now.
type unansweredError struct{ error }

func (e *unansweredError) Unwrap() error { return e.error }

func isUnanswered(err error) bool { return errors.As(err, new(*unansweredError)) }

// pause tells whether the time passed before ctx ended.
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
