package locking_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"invoicer/locking"
)

// odd draws the names that are most likely to be mistaken for one another, or for syntax.
var odd = rapid.OneOf(
	rapid.StringN(1, 20, -1),
	rapid.StringOfN(rapid.SampledFrom([]rune("{}%7BD25\"\\\x00<aA\u2028😀\ufffd")), 1, 6, -1),
)

// testKeys keeps two keys apart, whatever they are. A cluster refuses a script whose entries are in two slots.
func testKeys(t *testing.T, b *bundle) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		locker := b.newLocker(t, fmt.Sprint(b.prefix, n, ":"), ttl)
		key, other := odd.Draw(rt, "key"), odd.Draw(rt, "other")
		if key == other {
			rt.Skip("the same key")
		}
		lock, err := locker.Acquire(t.Context(), key, anna)
		must(rt, err)
		_, err = locker.Acquire(t.Context(), other, bert)
		must(rt, err)
		must(rt, lock.Finish(t.Context(), "x", ttl))
		if h, _, err := locker.Holder(t.Context(), other); err != nil || h != bert {
			rt.Fatalf("holder %+v, %v; want %+v", h, err, bert)
		}
		if ok, err := locker.Forget(t.Context(), key, "x"); err != nil || !ok {
			rt.Fatalf("forgot %v, %v", ok, err)
		}
	})
}

// testBraces has the names that two releases must agree on.
func testBraces(t *testing.T, b *bundle) {
	for key, want := range map[string]string{"T-1": "T-1", "}a{b}%": "%7Da%7Bb%7D%25", "%7D": "%257D"} {
		lock, err := b.locker.Acquire(t.Context(), key, anna)
		must(t, err)
		b.key = want
		wantWithin(t, key, b.pttl(t, b.lockKey()), ttl/2, ttl)
		must(t, lock.Finish(t.Context(), "x", ttl))
		wantWithin(t, key, b.pttl(t, b.doneKey()), ttl/2, ttl)
	}
}

// testHolderIDs lets the same ID take over, and only the same, whatever it is.
func testHolderIDs(t *testing.T, b *bundle) {
	rapid.Check(t, func(rt *rapid.T) {
		id, other := odd.Draw(rt, "id"), odd.Draw(rt, "other")
		if id == other {
			rt.Skip("the same ID")
		}
		b.expire(t)
		b.acquire(t, locking.Holder{ID: id, Worker: other})
		b.acquire(t, locking.Holder{ID: id, Worker: "\xff"})
		_, err := b.locker.Acquire(t.Context(), b.key, locking.Holder{ID: other})
		held, ok := errors.AsType[*locking.HeldError](err)
		if !ok || held.Holder.ID != id {
			rt.Fatalf("%q: %v, want held by %q", other, err, id)
		}
	})
}

// testSpread locks keys on each master of a cluster.
func testSpread(t *testing.T, b *bundle, client *redis.ClusterClient) {
	const keys = 60
	for i := range keys {
		b.key = fmt.Sprintf("key-%d", i)
		lock := b.acquire(t, anna)
		b.wantHeld(t, anna)
		if i%2 == 0 {
			must(t, lock.Finish(t.Context(), b.key, ttl))
			b.wantDone(t, bert, b.key)
		}
	}
	var all atomic.Int64
	must(t, client.ForEachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error {
		found, err := master.Keys(ctx, b.prefix+"*").Result()
		if len(found) == 0 {
			t.Errorf("%v has no key", master)
		}
		all.Add(int64(len(found)))
		return err
	}))
	if got := all.Load(); got != keys {
		t.Errorf("%d keys in all, want %d", got, keys)
	}
}

// TestScopesAreApart has one key locked in two scopes and in none, under the names that two releases must agree on.
func TestScopesAreApart(t *testing.T) {
	t.Parallel()
	b := setup(t, single(t))
	for scope, of := range map[string]string{"": "", "ACME-DE": "ACME-DE:", "ACME-FR": "ACME-FR:"} {
		locker := b.locker.Within(scope)
		lock, err := locker.Acquire(t.Context(), "T1", anna)
		must(t, err)
		if n := b.client.Exists(t.Context(), b.prefix+"lock:"+of+"{T1}").Val(); n != 1 {
			t.Errorf("scope %q: no lock:%s{T1}", scope, of)
		}
		if scope == "ACME-FR" {
			must(t, lock.Finish(t.Context(), "x", ttl))
			if n := b.client.Exists(t.Context(), b.prefix+"done:"+of+"{T1}").Val(); n != 1 {
				t.Errorf("scope %q: no done:%s{T1}", scope, of)
			}
		}
	}
	if h, _, err := b.locker.Within("ACME-DE").Within("").Holder(t.Context(), "T1"); err != nil || h != anna {
		t.Errorf("holder %+v, %v", h, err)
	}
}
