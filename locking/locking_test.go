package locking_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"invoicer/internal/sandbox/servers"
	"invoicer/locking"
)

// exampleURL is a Redis for the examples, which have no test to start one of their own.
var exampleURL string

func TestMain(m *testing.M) {
	server, err := servers.StartRedis(context.Background(), servers.RedisOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	exampleURL = server.URL
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// TestLocker holds wherever Redis runs.
func TestLocker(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *bundle){
		"held until released":          testHeld,
		"defaults and injection":       testOptions,
		"done":                         testDone,
		"forget":                       testForget,
		"expiry":                       testExpiry,
		"extend":                       testExtend,
		"taken over by the same work":  testTakeOver,
		"late calls of a lost lock":    testLate,
		"keys written by others":       testForeign,
		"keys of other types":          testOtherTypes,
		"prefixes":                     testPrefixes,
		"scripts flushed":              testScriptsFlushed,
		"any key":                      testKeys,
		"keys with braces":             testBraces,
		"one holder at a time":         testExclusion,
		"any history":                  testHistories,
		"any holder":                   testHolderIDs,
		"clean-up after cancellation":  testCleanUp,
		"both entries of a key expire": testAllExpires,
	}
	for name, topology := range topologies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := topology(t)
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, setup(t, client))
				})
			}
			if client, ok := client.(*redis.ClusterClient); ok {
				t.Run("keys on all masters", func(t *testing.T) {
					t.Parallel()
					testSpread(t, setup(t, client), client)
				})
			}
		})
	}
}

const ttl = time.Minute

var (
	anna = locking.Holder{ID: "anna's work", Worker: "anna"}
	bert = locking.Holder{ID: "bert's work", Worker: "bert"}
)

// bundle is what each test has for itself: the keys, that is; the server is shared.
type bundle struct {
	client redis.UniversalClient
	locker *locking.Locker
	prefix string
	key    string
}

func setup(t *testing.T, client redis.UniversalClient) *bundle {
	t.Helper()
	b := &bundle{client: client, prefix: rand.Text() + ":", key: "stock:7"}
	b.locker = b.newLocker(t, b.prefix, ttl)
	return b
}

func (b *bundle) newLocker(t *testing.T, prefix string, ttl time.Duration) *locking.Locker {
	t.Helper()
	locker, err := locking.New(b.client, locking.Options{Prefix: prefix, TTL: ttl, MaxTTL: 10 * ttl})
	must(t, err)
	return locker
}

func (b *bundle) lockKey() string { return b.prefix + "lock:{" + b.key + "}" }
func (b *bundle) doneKey() string { return b.prefix + "done:{" + b.key + "}" }

func (b *bundle) acquire(t *testing.T, h locking.Holder) *locking.Lock {
	t.Helper()
	lock, err := b.locker.Acquire(t.Context(), b.key, h)
	must(t, err)
	return lock
}

// wantHeld asks as somebody else, and returns for how much longer.
func (b *bundle) wantHeld(t *testing.T, by locking.Holder) (remaining time.Duration) {
	t.Helper()
	lock, err := b.locker.Acquire(t.Context(), b.key, locking.Holder{ID: "somebody else"})
	held, ok := errors.AsType[*locking.HeldError](err)
	if !ok || lock != nil {
		t.Fatalf("got %v, %v; want a HeldError", lock, err)
	}
	if held.Key != b.key || held.Holder != by {
		t.Fatalf("held: %+v; want key %q, holder %+v", held, b.key, by)
	}
	return held.Remaining
}

func (b *bundle) wantDone(t *testing.T, h locking.Holder, value string) {
	t.Helper()
	lock, err := b.locker.Acquire(t.Context(), b.key, h)
	done, ok := errors.AsType[*locking.DoneError](err)
	if !ok || lock != nil {
		t.Fatalf("got %v, %v; want a DoneError", lock, err)
	}
	if diff := cmp.Diff(&locking.DoneError{Key: b.key, Value: value}, done); diff != "" {
		t.Fatal(diff)
	}
}

func (b *bundle) wantNotHeld(t *testing.T) {
	t.Helper()
	h, _, err := b.locker.Holder(t.Context(), b.key)
	if !errors.Is(err, locking.ErrNotHeld) || h != (locking.Holder{}) {
		t.Fatalf("holder %+v, %v; want ErrNotHeld", h, err)
	}
}

// expire ends the lock as its expiry would.
func (b *bundle) expire(t *testing.T) {
	t.Helper()
	must(t, b.client.Del(t.Context(), b.lockKey()).Err())
}

func (b *bundle) pttl(t *testing.T, key string) time.Duration {
	t.Helper()
	d, err := b.client.PTTL(t.Context(), key).Result()
	must(t, err)
	return d
}

// now is Redis's time, by which locks expire.
func (b *bundle) now(t *testing.T) time.Time {
	t.Helper()
	now, err := b.client.Time(t.Context()).Result()
	must(t, err)
	return now
}

func wantLost(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, locking.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

func wantWithin(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got <= low || got > high {
		t.Errorf("%s: %v, want more than %v and up to %v", what, got, low, high)
	}
}
