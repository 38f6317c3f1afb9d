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
	value  string // what stands in Redis
	maxTTL time.Duration
}

// Key is what is locked, as it was given to [Locker.Acquire].
func (k *Lock) Key() string { return k.key }

// Token is this lock's own; no other has the same.
func (k *Lock) Token() string { return k.token }

// Extend makes the lock last for ttl from now on. The ttl is at least a millisecond and at most [Options.MaxTTL]. [ErrLost] means that this holder
// has no lock any more, and must not act as if it had.
func (k *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return k.failed("extend", err)
	}
	if ttl > k.maxTTL {
		return k.failed("extend", fmt.Errorf("TTL %v is above MaxTTL %v", ttl, k.maxTTL))
	}
	return k.run(ctx, "extend", extend, ttl.Milliseconds())
}

// Release frees the lock, and the next may try. [ErrLost] means that there was nothing of ours to free.
func (k *Lock) Release(ctx context.Context) error {
	return k.run(ctx, "release", release)
}

// Finish frees the lock and stores the value, in one round trip: for ttl from now on, whoever asks for the key gets a
// [*DoneError] with it. The ttl is at least a millisecond.
//
// The value is taken for a fact, true whoever had the lock; call Finish only after it has been committed. So it is
// stored even if the lock was lost, which is then reported as [ErrLost].
func (k *Lock) Finish(ctx context.Context, value string, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return k.failed("finish", err)
	}
	return k.run(ctx, "finish", finish, value, ttl.Milliseconds())
}

// run runs a script that answers whether the lock was ours.
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
