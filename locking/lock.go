package locking

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Lock is the right to work on a key, as long as it lasts. It is safe for concurrent use.
type Lock struct {
	client redis.Scripter
	key    string
	keys   []string
	token  string
	value  string // the value of the lock's key in Redis
	maxTTL time.Duration
}

// Key returns the key that was passed to [Locker.Acquire].
func (k *Lock) Key() string { return k.key }

// Token returns the lock's token, which no other lock has.
func (k *Lock) Token() string { return k.token }

// Extend makes the lock last for ttl from now on. The ttl must be at least a millisecond and at most
// [Options.MaxTTL]. Extend returns [ErrLost] if this holder no longer has the lock.
func (k *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return k.failed("extend", err)
	}
	if ttl > k.maxTTL {
		return k.failed("extend", fmt.Errorf("TTL %v is above MaxTTL %v", ttl, k.maxTTL))
	}
	return k.run(ctx, "extend", extend, ttl.Milliseconds())
}

// Release frees the lock, so that it can be acquired again. It returns [ErrLost] if this holder no longer had the
// lock.
func (k *Lock) Release(ctx context.Context) error {
	return k.run(ctx, "release", release)
}

// Finish frees the lock and stores the value, in one round trip. For ttl from now on, [Locker.Acquire] returns a
// [*DoneError] with the value for this key. The ttl must be at least a millisecond.
//
// Call Finish only after the result that the value describes has been committed. The value is then true even if the
// lock was lost, so it is stored in that case, too; Finish then returns [ErrLost].
func (k *Lock) Finish(ctx context.Context, value string, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return k.failed("finish", err)
	}
	return k.run(ctx, "finish", finish, value, ttl.Milliseconds())
}

// run runs a script that returns whether this holder had the lock. It returns [ErrLost] if not.
func (k *Lock) run(ctx context.Context, verb string, script *redis.Script, args ...any) error {
	ours, err := script.Run(ctx, k.client, k.keys, append([]any{k.value}, args...)...).Bool()
	if err != nil {
		return k.failed(verb, err)
	}
	if !ours {
		return k.failed(verb, ErrLost)
	}
	return nil
}

func (k *Lock) failed(verb string, err error) error {
	return fmt.Errorf("locking: %s %q: %w", verb, k.key, err)
}
