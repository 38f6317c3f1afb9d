// Package locking keeps two workers from doing the same work at once, and a third from doing it again.
//
// [Locker.Acquire] asks Redis, in one round trip, for the right to work on a key, and gets one of three answers: a
// [*Lock]; a [*HeldError], which names the holder of the lock and the time that remains; or a [*DoneError], which
// holds the result of the work. The holder ends its work with [Lock.Finish], which stores the result, or with
// [Lock.Release], which doesn't, so that another worker may try.
//
// # What it guarantees
//
//   - As long as Redis has a lock, no other holder gets one for the same key.
//   - Only its holder can extend or free a lock: each attempt has a token of its own, which Redis compares in the same
//     step.
//   - No lock outlives its holder for ever: it is set together with its expiry, in one command. A lock that isn't
//     extended lasts [Options.MaxTTL] at most, whichever program has set it: if it would last longer, the next Acquire
//     shortens it to that.
//   - No value under its keys makes a call fail: a value that isn't text counts neither as a lock nor as a done entry,
//     and is replaced.
//   - Work that starts again doesn't wait for its own lock: the [Holder.ID] that has the lock gets it again at once,
//     under a new token. The old token is void from then on. If the predecessor is still alive, it gets [ErrLost] and
//     does no harm to its successor.
//   - A lost reply loses no lock: when go-redis sends Acquire again, it gets the lock that it set the first time.
//   - A key's two entries, <prefix>lock:{<key>} and <prefix>done:{<key>}, are in one slot of a Redis Cluster, and
//     belong to no other key. Braces and percent signs of the key are written %7B, %7D and %25 in them.
//
// # What it doesn't do
//
// It doesn't make sure that the work is done only once. A lock expires even if its holder still works, as after a
// long pause. A failover loses the locks that weren't yet copied to the replica, and a Redis that evicts keys may
// drop a lock when its memory is full. The holder isn't notified, but its next call returns an error. So use the lock
// to save useless work, and let the store of the result refuse a second one, for example by a unique constraint in a
// database.
//
// An Acquire that returns any error other than a HeldError or a DoneError may still have set the lock, and a delayed
// command may set it later. Such a lock ends with its expiry, or with the next Acquire by the same [Holder.ID].
//
// There is no waiting, no queue of waiters and no extension in the background. Build them, if needed, with
// [HeldError.Remaining] and [Lock.Extend].
//
// # Contexts and errors
//
// A context's deadline bounds a call only if the go-redis client was made with ContextTimeoutEnabled, which is off by
// default. Without it, a call that gets no reply waits for the client's read timeout. A call whose context is
// cancelled while it waits does so in any case, but isn't sent again.
//
// Errors of the network and of Redis are wrapped, for [errors.Is] and [errors.As].
//
// Release and Finish belong in deferred clean-up, where the work's context has often ended already. Pass them a
// context of their own, made with [context.WithoutCancel] and a timeout.
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
	// Prefix of all keys in Redis, which separates the locks of different applications. It must not contain braces.
	// Default: none.
	Prefix string

	// TTL is how long a lock lasts after Acquire, unless it is extended. It should be longer than the work takes. It
	// must be at least a millisecond; fractions of a millisecond are dropped. Default: 15s.
	TTL time.Duration

	// MaxTTL is the longest time that a lock can last, and that [Lock.Extend] accepts. All users of the same keys
	// should have the same MaxTTL: a lock that would last longer wasn't written by this package, or Redis's clock was
	// set back since, and is shortened to MaxTTL. Default: TTL.
	MaxTTL time.Duration

	// NewToken returns a text that is unique among all processes and calls. It must be safe for concurrent use.
	// Default: [rand.Text].
	NewToken func() string
}

// A Holder identifies the holder of a lock.
type Holder struct {
	// ID identifies the work. It stays the same if the work starts again: an Acquire with the same ID takes over the
	// lock of its predecessor. It must be valid UTF-8 and not empty.
	ID string

	// Worker names the process that does the work. It is information for people and has no effect.
	Worker string
}

// A Locker acquires locks. It is safe for concurrent use.
type Locker struct {
	client   redis.Scripter
	prefix   string
	scope    string
	ttl      time.Duration
	maxTTL   time.Duration
	newToken func() string
}

// New returns a Locker that uses a client of a single Redis, of Sentinels or of a Cluster. It doesn't connect. The
// caller has to close the client.
func New(client redis.Scripter, opts Options) (*Locker, error) {
	if client == nil {
		return nil, errors.New("locking: no Redis client")
	}
	if strings.ContainsAny(opts.Prefix, "{}") {
		return nil, fmt.Errorf("locking: prefix %q: braces would put a key's entries into different slots of a cluster", opts.Prefix)
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

// Within returns a Locker whose keys are apart from those of any other scope: their entries are <prefix>lock:<scope>:{<key>} and
// <prefix>done:<scope>:{<key>}. The empty scope has the entries of a Locker without one. A scope must not contain braces.
func (l *Locker) Within(scope string) *Locker {
	if scope == l.scope {
		return l
	}
	within := *l
	within.scope = scope
	return &within
}

// Acquire returns the lock for the key if it is free or held by the same [Holder.ID]. It returns a [*HeldError] if
// another holder has the lock, and a [*DoneError] if the work is done.
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
		return nil, fmt.Errorf("locking: acquire %q: unknown reply %v", key, answer)
	}
}

// Holder returns the holder of the lock and the time that remains, as in [HeldError], or [ErrNotHeld]. It changes
// nothing. For a lock without an expiry the remaining time is negative, until an Acquire gives the lock one.
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

// Break frees a lock by hand, if the given holder has it; a zero Holder stands for a value that this package didn't write. It
// returns [ErrNotHeld] if another holder has the lock, or nobody. The holder isn't told: its next call returns [ErrLost], and until
// then two may work on the key.
func (l *Locker) Break(ctx context.Context, key string, h Holder) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("locking: break %q: %w", key, err)
	}
	broke, err := breakLock.Run(ctx, l.client, l.keys(key), h.ID, h.Worker).Bool()
	if err == nil && !broke {
		err = ErrNotHeld
	}
	if err != nil {
		return fmt.Errorf("locking: break %q: %w", key, err)
	}
	return nil
}

// Forget deletes the value that [Lock.Finish] stored for the key, if it is still this value, and reports whether it
// did. The key can then be acquired again.
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

// Drop deletes the value that [Lock.Finish] stored for the key, whatever it is, and reports whether there was one. The key can then be
// acquired again.
func (l *Locker) Drop(ctx context.Context, key string) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, fmt.Errorf("locking: drop %q: %w", key, err)
	}
	dropped, err := drop.Run(ctx, l.client, l.keys(key)).Bool()
	if err != nil {
		return false, fmt.Errorf("locking: drop %q: %w", key, err)
	}
	return dropped, nil
}

// keys returns the names of the lock and of the done entry, in the order that the scripts expect.
func (l *Locker) keys(key string) []string {
	tag := hashTag(key)
	if l.scope != "" {
		tag = l.scope + ":" + tag
	}
	return []string{l.prefix + "lock:" + tag, l.prefix + "done:" + tag}
}

// hashTag returns the key in the form in which names contain it. A cluster chooses the slot by the text between the
// first { and the next } of a name, or by the whole name if there is no such text.
func hashTag(key string) string {
	if strings.ContainsAny(key, "{}%") {
		key = strings.NewReplacer("{", "%7B", "}", "%7D", "%", "%25").Replace(key)
	}
	return "{" + key + "}"
}

// checkKey refuses an empty key, which makes no hash tag.
func checkKey(key string) error {
	if key == "" {
		return errors.New("the key is empty")
	}
	return nil
}

// checkTTL refuses a duration below a millisecond, which would be zero in Redis.
func checkTTL(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("TTL %v is below a millisecond", ttl)
	}
	return nil
}

// remaining converts Redis's PTTL to a duration. Negative values stay negative.
func remaining(pttl int64) time.Duration {
	return time.Duration(pttl) * time.Millisecond
}

// entry is the value of the lock's key in Redis. The token makes each entry unique, so comparing whole entries
// compares the tokens.
type entry struct {
	Holder string `json:"holder"`
	Worker string `json:"worker"`
	Token  string `json:"token"`
}

func (e entry) encode() (string, error) {
	b, err := json.Marshal(e)
	return string(b), err
}

// decodeHolder returns the zero Holder for a value that this package didn't write.
func decodeHolder(value string) Holder {
	var e entry
	if err := json.Unmarshal([]byte(value), &e); err != nil {
		return Holder{}
	}
	return Holder{ID: e.Holder, Worker: e.Worker}
}
