package worker_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each invoice is remembered for as long as the worker is told at that time, also one that Redis had forgotten.
func TestCacheTTLIsAskedForEachTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ttl atomic.Int64
	w := b.start(t, "w", func(p *parts) { p.CacheTTL = func() time.Duration { return time.Duration(ttl.Load()) } })
	key := func(id string) string { return "invoicer:" + b.databaseID + ":done:{" + id + "}" }
	lasts := func(id string, want time.Duration) {
		t.Helper()
		if got := b.Redis.PTTL(t.Context(), key(id)).Val(); got > want || got < want-time.Minute {
			t.Errorf("%s is remembered for %s, want %s", id, got, want)
		}
	}
	ended := func(id string) {
		t.Helper()
		b.enqueue(t, job(id))
		w.ended(t)
	}
	ttl.Store(int64(time.Hour))
	ended("T1")
	ttl.Store(int64(2 * time.Hour))
	ended("T2")
	ended("T1")
	lasts("T1", time.Hour)
	lasts("T2", 2*time.Hour)
	if err := b.Redis.Del(t.Context(), key("T1")).Err(); err != nil {
		t.Fatal(err)
	}
	ended("T1")
	lasts("T1", 2*time.Hour)
}

// What the store estimates for an entry is at least what Redis says of it, with the 24 bytes of the table of expiries and 32 of
// both tables' slots, which Redis doesn't say; and it isn't much more.
func TestEstimatedSizeOfADoneEntry(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"1", "order-4711", strings.Repeat("x", 128)} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.start(t, "w")
			b.enqueue(t, job(id))
			w.ended(t)
			used, err := b.Redis.MemoryUsage(t.Context(), "invoicer:"+b.databaseID+":done:{"+id+"}").Result()
			if err != nil {
				t.Fatal(err)
			}
			used += 24 + 32
			o, err := b.store(t).Reports.Late(t.Context(), 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if o.EntryBytes < used || o.EntryBytes > used*5/4 {
				t.Errorf("an entry is estimated at %d bytes, and needs %d", o.EntryBytes, used)
			}
		})
	}
}
