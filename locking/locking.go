// Package locking keeps two workers from doing the same work at once, and a third from doing it again.
//
// [Locker.Acquire] asks Redis, in one round trip, for the right to work on a key, and gets one of three answers: a
// [*Lock]; a [*HeldError], which says who is at it and for how much longer; or a [*DoneError], which says what came of
// it. The holder ends its work with [Lock.Finish], which stores what came of it, or with [Lock.Release], which doesn't,
// so that the next may try.
//
// # What it guarantees
//
//   - As long as Redis remembers a lock, nobody else gets one for the same key.
//   - Only its holder extends or frees a lock: each attempt has a token of its own, which Redis compares in the same
//     step.
//   - No lock outlives its holder for ever: it is set together with its expiry, in one command. Nobody waits longer than
//     [Options.MaxTTL] for a lock that its holder doesn't extend, whoever has set it: one that would last longer, or for
//     ever, is cut to that by the next Acquire.
//   - Whatever stands under its keys breaks no call: what isn't text is no lock and no done entry, and makes way for one.
//   - Work that starts again doesn't wait for its own past: the [Holder.ID] that has the lock gets it again at once,
//     under a new token. The old token is void from then on, so if the predecessor isn't dead after all, it meets
//     [ErrLost] and does no harm to its successor.
//   - A lost reply loses no lock: when go-redis sends Acquire again, it gets the lock that it set the first time.
//   - A key's two entries, <prefix>lock:{<key>} and <prefix>done:{<key>}, are in one slot of a Redis Cluster, and no
//     other key shares them. Braces and percent signs in a key are written %7B, %7D and %25 there.
//
// # What it doesn't do
//
// It doesn't make sure that the work is done only once. A lock ends with its expiry even while its holder still works,
// as after a long pause; and a lock that Redis had not yet copied to a replica is forgotten in a failover, as is every
// lock that a Redis short of memory is allowed to evict. The holder isn't told, it learns of it from its next call. So
// take the lock to spare servers and people useless work, and let what stores the result refuse a second one, such as a
// unique constraint in a database.
//
// An Acquire that ends in another error than those two may have got the lock all the same, and a command held up on its
// way may set it late; such a lock of nobody ends with its expiry, or with the next Acquire by the same [Holder.ID].
//
// There is no waiting, no queue of waiters and no extension in the background. Who wants them has [HeldError.Remaining]
// and [Lock.Extend].
//
// # Contexts and errors
//
// A call is bounded by its context's deadline only if the go-redis client was made with ContextTimeoutEnabled, which is
// off by default: without it, a call whose reply doesn't come waits out the client's read timeout. So does, either way,
// one whose context is cancelled while it waits; it isn't sent again, though.
//
// Errors of the network and of Redis come back wrapped, for [errors.Is] and [errors.As].
//
// Releasing and finishing belong into deferred clean-up, where the work's own context has often ended already. Give
// them one of their own, made with [context.WithoutCancel] and a timeout.
package locking

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// Options of a [Locker]. The zero value is usable.
type Options struct {
	// Prefix of all keys in Redis, to keep the locks of different things apart. It has no braces. Default: none.
	Prefix string

	// TTL is how long a lock lasts from Acquire on, unless it is extended. It should be longer than the work takes. It
	// is at least a millisecond, which is what Redis counts in; fractions of one are dropped. Default: 15s.
	TTL time.Duration

	// MaxTTL is the longest that a lock can last, also by [Lock.Extend]. Whoever uses the same keys should have the same:
	// a lock that lasts longer wasn't written by this package, or Redis's clock was set back since, and it is cut to this.
	// Default: TTL.
	MaxTTL time.Duration

	// NewToken returns text that it never returned before and that no other process returns. It must be safe for
	// concurrent use. Default: [rand.Text].
	NewToken func() string
}

// A Holder is whose lock it is.
type Holder struct {
	// ID is the work, which stays the same when the work starts again: the same ID takes its predecessor's lock over.
	// It is neither empty nor invalid UTF-8.
	ID string

	// Worker is who does the work. It is for people and decides nothing.
	Worker string
}

// A Locker locks keys. It is safe for concurrent use.
type Locker struct {
	client   redis.Scripter
	prefix   string
	ttl      time.Duration
	maxTTL   time.Duration
	newToken func() string
}

// New returns a Locker on a single Redis, a Sentinel, or a Cluster client, which stays the caller's to close. It
// doesn't connect.
func New(client redis.Scripter, opts Options) (*Locker, error) {
	if client == nil {
		return nil, errors.New("locking: no Redis client")
	}
	if strings.ContainsAny(opts.Prefix, "{}") {
		return nil, fmt.Errorf("locking: prefix %q: braces would tear a key's entries apart in a cluster", opts.Prefix)
	}
	if opts.TTL == 0 {
		opts.TTL = 15 * time.Second
	}
	if err := checkTTL(opts.TTL); err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	if opts.MaxTTL == 0 {
		opts.MaxTTL = opts.TTL
	}
	if opts.MaxTTL < opts.TTL {
		return nil, fmt.Errorf("locking: MaxTTL %v is below the TTL %v", opts.MaxTTL, opts.TTL)
	}
	if opts.NewToken == nil {
		opts.NewToken = rand.Text
	}
	return &Locker{client: client, prefix: opts.Prefix, ttl: opts.TTL, maxTTL: opts.MaxTTL, newToken: opts.NewToken}, nil
}

// Acquire gets the lock for the key, from nobody or from the same [Holder.ID]; or a [*HeldError], or a [*DoneError].
func (l *Locker) Acquire(ctx context.Context, key string, h Holder) (*Lock, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("locking: acquire %q: %w", key, err)
	}
	if h.ID == "" || !utf8.ValidString(h.ID) {
		return nil, fmt.Errorf("locking: acquire %q: holder ID %q is empty or not UTF-8", key, h.ID)
	}
	e := entry{Holder: h.ID, Worker: h.Worker, Token: l.newToken()}
	value, err := e.encode()
	if err != nil {
		return nil, fmt.Errorf("locking: acquire %q: %w", key, err)
	}
	keys := l.keys(key)
	reply, err := acquire.Run(ctx, l.client, keys, value, l.ttl.Milliseconds(), h.ID, l.maxTTL.Milliseconds()).Slice()
	if err != nil {
		return nil, fmt.Errorf("locking: acquire %q: %w", key, err)
	}
	switch answer := reply[0]; answer {
	case "acquired":
		return &Lock{client: l.client, key: key, keys: keys, token: e.Token, value: value, maxTTL: l.maxTTL}, nil
	case "done":
		return nil, &DoneError{Key: key, Value: reply[1].(string)}
	case "held":
		by, left := decodeHolder(reply[1].(string)), remaining(reply[2].(int64))
		return nil, &HeldError{Key: key, Holder: by, Remaining: left}
	default:
		return nil, fmt.Errorf("locking: acquire %q: unknown answer %v", key, answer)
	}
}

// Holder says who holds the lock and for how much longer, in the terms of [HeldError]; or [ErrNotHeld]. It changes
// nothing: for a lock that has no expiry, what remains is negative until somebody tries to acquire it.
func (l *Locker) Holder(ctx context.Context, key string) (Holder, time.Duration, error) {
	if err := checkKey(key); err != nil {
		return Holder{}, 0, fmt.Errorf("locking: holder of %q: %w", key, err)
	}
	reply, err := holder.Run(ctx, l.client, l.keys(key)).Slice()
	if errors.Is(err, redis.Nil) {
		err = ErrNotHeld
	}
	if err != nil {
		return Holder{}, 0, fmt.Errorf("locking: holder of %q: %w", key, err)
	}
	return decodeHolder(reply[0].(string)), remaining(reply[1].(int64)), nil
}

// Forget deletes what [Lock.Finish] stored for the key, if that is still this value, and says whether it did. The key
// can then be acquired again.
func (l *Locker) Forget(ctx context.Context, key, value string) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, fmt.Errorf("locking: forget %q: %w", key, err)
	}
	forgot, err := forget.Run(ctx, l.client, l.keys(key), value).Bool()
	if err != nil {
		return false, fmt.Errorf("locking: forget %q: %w", key, err)
	}
	return forgot, nil
}

// keys returns the names of the lock and of the done entry, in the order that the scripts have them.
func (l *Locker) keys(key string) []string {
	tag := hashTag(key)
	return []string{l.prefix + "lock:" + tag, l.prefix + "done:" + tag}
}

// hashTag is what stands for the key in a name. A cluster chooses the slot by what is between the first { and the next }
// there, and by all of the name where nothing is.
func hashTag(key string) string {
	if strings.ContainsAny(key, "{}%") {
		key = strings.NewReplacer("{", "%7B", "}", "%7D", "%", "%25").Replace(key)
	}
	return "{" + key + "}"
}

// checkKey refuses what makes no hash tag.
func checkKey(key string) error {
	if key == "" {
		return errors.New("a key is not empty")
	}
	return nil
}

// checkTTL refuses what Redis would take for no time at all.
func checkTTL(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("TTL %v is below a millisecond", ttl)
	}
	return nil
}

// remaining is Redis's PTTL as a duration; negative stays negative.
func remaining(pttl int64) time.Duration {
	return time.Duration(pttl) * time.Millisecond
}

// entry is what stands in Redis under the lock's key. The token makes each one unique, so comparing all of it compares
// the token.
type entry struct {
	Holder string `json:"holder"`
	Worker string `json:"worker"`
	Token  string `json:"token"`
}

func (e entry) encode() (string, error) {
	b, err := json.Marshal(e)
	return string(b), err
}

// decodeHolder returns the zero Holder for what is not ours to read.
func decodeHolder(value string) Holder {
	var e entry
	if err := json.Unmarshal([]byte(value), &e); err != nil {
		return Holder{}
	}
	return Holder{ID: e.Holder, Worker: e.Worker}
}
