package locking_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/locking"
)

func testHeld(t *testing.T, b *bundle) {
	b.wantNotHeld(t)
	lock := b.acquire(t, anna)
	if lock.Key() != b.key || lock.Token() == "" {
		t.Errorf("key %q, token %q", lock.Key(), lock.Token())
	}
	wantWithin(t, "remaining", b.wantHeld(t, anna), ttl/2, ttl)

	h, remaining, err := b.locker.Holder(t.Context(), b.key)
	if err != nil || h != anna {
		t.Errorf("holder %+v, %v; want %+v", h, err, anna)
	}
	wantWithin(t, "remaining", remaining, ttl/2, ttl)

	must(t, lock.Release(t.Context()))
	b.wantNotHeld(t)
	wantLost(t, lock.Release(t.Context()))
	b.acquire(t, bert)
}

func testOptions(t *testing.T, b *bundle) {
	locker, err := locking.New(b.client, locking.Options{Prefix: b.prefix, NewToken: func() string { return "t-1" }})
	must(t, err)
	lock, err := locker.Acquire(t.Context(), b.key, anna)
	must(t, err)
	if lock.Token() != "t-1" {
		t.Errorf("token %q, want the injected one", lock.Token())
	}
	wantWithin(t, "default TTL", b.wantHeld(t, anna), 10*time.Second, 15*time.Second)

	// Another release of this package must be able to read it.
	got, err := b.client.Get(t.Context(), b.lockKey()).Result()
	must(t, err)
	if want := `{"holder":"anna's work","worker":"anna","token":"t-1"}`; got != want {
		t.Errorf("Redis has %s, want %s", got, want)
	}
}

func testDone(t *testing.T, b *bundle) {
	for _, value := range []string{"", "paid", "\xff\x00{\"braces\"}"} {
		b.key += "+"
		lock := b.acquire(t, anna)
		must(t, lock.Finish(t.Context(), value, ttl))
		b.wantNotHeld(t)
		b.wantDone(t, anna, value)
		b.wantDone(t, bert, value)
		wantWithin(t, "done entry's expiry", b.pttl(t, b.doneKey()), ttl/2, ttl)
		wantLost(t, lock.Release(t.Context()))
	}
}

func testForget(t *testing.T, b *bundle) {
	must(t, b.acquire(t, anna).Finish(t.Context(), "stale", ttl))
	for _, step := range []struct {
		value string
		want  bool
	}{{"newer", false}, {"", false}, {"stale", true}, {"stale", false}} {
		got, err := b.locker.Forget(t.Context(), b.key, step.value)
		if err != nil || got != step.want {
			t.Errorf("forget %q: %v, %v; want %v", step.value, got, err, step.want)
		}
		if step.value != "stale" {
			b.wantDone(t, bert, "stale")
		}
	}
	b.acquire(t, bert)
}

// testExpiry sees a lock end by itself, and not before its time.
func testExpiry(t *testing.T, b *bundle) {
	const brief = 50 * time.Millisecond
	before := b.now(t)
	lock, err := b.newLocker(t, b.prefix, brief).Acquire(t.Context(), b.key, anna)
	must(t, err)
	var next *locking.Lock
	rig.Eventually(t, "the lock's expiry", func() bool {
		next, err = b.locker.Acquire(t.Context(), b.key, bert)
		if _, held := errors.AsType[*locking.HeldError](err); !held {
			must(t, err)
		}
		return err == nil
	})
	wantWithin(t, "the lock lasted", b.now(t).Sub(before), brief-time.Millisecond, patience)
	wantLost(t, lock.Release(t.Context()))
	must(t, next.Release(t.Context()))
}

func testExtend(t *testing.T, b *bundle) {
	lock := b.acquire(t, anna)
	for _, d := range []time.Duration{10 * ttl, ttl / 10} {
		must(t, lock.Extend(t.Context(), d))
		wantWithin(t, "extended", b.pttl(t, b.lockKey()), d/2, d)
	}
	if err := lock.Extend(t.Context(), 10*ttl+time.Millisecond); err == nil || errors.Is(err, locking.ErrLost) {
		t.Errorf("extend beyond the longest: %v, want a refusal", err)
	}
	for _, d := range []time.Duration{0, -time.Second, time.Millisecond - 1} {
		if err := lock.Extend(t.Context(), d); err == nil || errors.Is(err, locking.ErrLost) {
			t.Errorf("extend by %v: %v, want a refusal", d, err)
		}
		if err := lock.Finish(t.Context(), "x", d); err == nil || errors.Is(err, locking.ErrLost) {
			t.Errorf("finish for %v: %v, want a refusal", d, err)
		}
	}
	b.wantHeld(t, anna)
}

func testTakeOver(t *testing.T, b *bundle) {
	old := b.acquire(t, anna)
	must(t, old.Extend(t.Context(), ttl/10))

	rerun := locking.Holder{ID: anna.ID, Worker: "another machine"}
	lock := b.acquire(t, rerun)
	if lock.Token() == old.Token() {
		t.Error("the old token is still good")
	}
	wantWithin(t, "expiry", b.pttl(t, b.lockKey()), ttl/2, ttl)

	wantLost(t, old.Extend(t.Context(), 10*ttl))
	wantLost(t, old.Release(t.Context()))
	wantWithin(t, "expiry", b.pttl(t, b.lockKey()), ttl/2, ttl)
	b.wantHeld(t, rerun)

	wantLost(t, old.Finish(t.Context(), "early", ttl))
	if h, _, err := b.locker.Holder(t.Context(), b.key); err != nil || h != rerun {
		t.Errorf("holder %+v, %v; want %+v", h, err, rerun)
	}
	must(t, lock.Finish(t.Context(), "late", ttl))
	b.wantDone(t, anna, "late")
}

func testLate(t *testing.T, b *bundle) {
	old := b.acquire(t, anna)
	b.expire(t)
	wantLost(t, old.Extend(t.Context(), ttl))
	b.wantNotHeld(t)

	lock := b.acquire(t, bert)
	must(t, lock.Extend(t.Context(), 5*ttl))
	wantLost(t, old.Extend(t.Context(), ttl))
	wantLost(t, old.Release(t.Context()))
	wantLost(t, old.Finish(t.Context(), "fact", ttl))

	if h, remaining, err := b.locker.Holder(t.Context(), b.key); err != nil || h != bert || remaining <= 4*ttl {
		t.Errorf("holder %+v for %v, %v; want %+v for about %v", h, remaining, err, bert, 5*ttl)
	}
	b.wantDone(t, anna, "fact")
	must(t, lock.Release(t.Context()))
	b.wantDone(t, anna, "fact")
}

// testForeign bounds the wait for a lock that nobody of us has set.
func testForeign(t *testing.T, b *bundle) {
	nobody := locking.Holder{}
	for _, value := range []string{
		"", "1", "locked", `{"holder":`, `"holder"`, `[]`, `null`, `{}`, `{"holder":1}`, `{"holder":null}`,
		`{"holder":["anna's work"]}`, "\xff\x00", strings.Repeat("[", 10_000),
	} {
		for _, expiry := range []time.Duration{0, 1000 * time.Hour} {
			must(t, b.client.Set(t.Context(), b.lockKey(), value, expiry).Err())
			h, remaining, err := b.locker.Holder(t.Context(), b.key)
			if err != nil || h != nobody || (remaining < 0) != (expiry == 0) {
				t.Errorf("%.20q: holder %+v for %v, %v; want nobody's, as it is", value, h, remaining, err)
			}
			wantWithin(t, "remaining", b.wantHeld(t, nobody), 9*ttl, 10*ttl)
			wantWithin(t, "cut to", b.pttl(t, b.lockKey()), 9*ttl, 10*ttl)
		}
		must(t, b.client.Set(t.Context(), b.lockKey(), value, ttl).Err())
		wantWithin(t, "remaining", b.wantHeld(t, nobody), ttl/2, ttl)
		wantWithin(t, "left alone", b.pttl(t, b.lockKey()), ttl/2, ttl)
	}
	must(t, b.client.Set(t.Context(), b.lockKey(), `{"holder":"anna's work","worker":"anna","token":"forged"}`, 0).Err())
	wantWithin(t, "remaining", b.wantHeld(t, anna), 9*ttl, 10*ttl)
	b.acquire(t, anna)
	wantWithin(t, "remaining", b.wantHeld(t, anna), ttl/2, ttl)
}

// testOtherTypes finds what is no text in the place of a lock and of a done entry.
func testOtherTypes(t *testing.T, b *bundle) {
	for name, put := range map[string]func(key string) error{
		"list":       func(key string) error { return b.client.RPush(t.Context(), key, "a").Err() },
		"hash":       func(key string) error { return b.client.HSet(t.Context(), key, "holder", anna.ID).Err() },
		"set":        func(key string) error { return b.client.SAdd(t.Context(), key, "a").Err() },
		"sorted set": func(key string) error { return b.client.ZAdd(t.Context(), key, redis.Z{Member: "a"}).Err() },
		"stream": func(key string) error {
			return b.client.XAdd(t.Context(), &redis.XAddArgs{Stream: key, Values: []string{"a", "b"}}).Err()
		},
	} {
		b.key = name
		must(t, put(b.lockKey()))
		if h, remaining, err := b.locker.Holder(t.Context(), b.key); err != nil || h != (locking.Holder{}) || remaining >= 0 {
			t.Errorf("%s: holder %+v for %v, %v; want nobody's, for ever", name, h, remaining, err)
		}
		must(t, put(b.doneKey()))
		if ok, err := b.locker.Forget(t.Context(), b.key, "x"); ok || err != nil {
			t.Errorf("%s: forgot %v, %v", name, ok, err)
		}
		lock := b.acquire(t, anna)
		wantWithin(t, name+": expiry", b.pttl(t, b.lockKey()), ttl/2, ttl)
		b.wantHeld(t, anna)
		if n, err := b.client.Exists(t.Context(), b.doneKey()).Result(); n != 0 || err != nil {
			t.Errorf("%s: it still stands in the done entry's place, %v", name, err)
		}

		b.expire(t)
		must(t, put(b.lockKey()))
		must(t, put(b.doneKey()))
		wantLost(t, lock.Extend(t.Context(), ttl))
		wantLost(t, lock.Release(t.Context()))
		wantLost(t, lock.Finish(t.Context(), "x", ttl))
		b.wantDone(t, bert, "x")
	}
}

func testPrefixes(t *testing.T, b *bundle) {
	b.acquire(t, anna)
	other := b.newLocker(t, b.prefix+"other:", ttl)
	lock, err := other.Acquire(t.Context(), b.key, bert)
	must(t, err)
	must(t, lock.Finish(t.Context(), "x", ttl))
	b.wantHeld(t, anna)
}

func testScriptsFlushed(t *testing.T, b *bundle) {
	lock := b.acquire(t, anna)
	must(t, b.client.ScriptFlush(t.Context()).Err())
	b.wantHeld(t, anna)
	must(t, b.client.ScriptFlush(t.Context()).Err())
	must(t, lock.Finish(t.Context(), "x", ttl))
	b.wantDone(t, bert, "x")
}

func testAllExpires(t *testing.T, b *bundle) {
	lock := b.acquire(t, anna)
	wantWithin(t, "lock's expiry", b.pttl(t, b.lockKey()), ttl/2, ttl)
	must(t, lock.Finish(t.Context(), "x", time.Millisecond))
	rig.Eventually(t, "the done entry's expiry", func() bool {
		n, err := b.client.Exists(t.Context(), b.doneKey()).Result()
		return err == nil && n == 0
	})
	b.acquire(t, bert)
}

func testCleanUp(t *testing.T, b *bundle) {
	ctx, cancel := context.WithCancel(t.Context())
	lock, err := b.locker.Acquire(ctx, b.key, anna)
	must(t, err)
	cancel()
	if err := lock.Release(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("release: %v, want context.Canceled", err)
	}
	if _, err := b.locker.Acquire(ctx, b.key, bert); !errors.Is(err, context.Canceled) {
		t.Errorf("acquire: %v, want context.Canceled", err)
	}
	b.wantHeld(t, anna)
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	must(t, lock.Release(ctx))
	b.wantNotHeld(t)
}
