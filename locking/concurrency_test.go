package locking_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"invoicer/locking"
)

// testExclusion lets workers compete for keys all over the slots. Whoever has a key's lock looks for anybody else
// inside, and adds one to a figure in a way that would forget a concurrent addition.
func testExclusion(t *testing.T, b *bundle) {
	const workers, keys, rounds = 8, 5, 12
	type account struct {
		key            string
		inside, figure atomic.Int64
	}
	accounts := make([]account, keys)
	for i := range accounts {
		accounts[i].key = fmt.Sprintf("account-%d", i)
	}
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			for i := range rounds * keys {
				a := &accounts[(i+w)%keys]
				h := locking.Holder{ID: fmt.Sprintf("%d-%d", w, i)}
				lock, err := b.locker.Acquire(t.Context(), a.key, h)
				for ; err != nil; lock, err = b.locker.Acquire(t.Context(), a.key, h) {
					if _, held := errors.AsType[*locking.HeldError](err); !held {
						t.Error(err)
						return
					}
				}
				if n := a.inside.Add(1); n != 1 {
					t.Errorf("%d holders of %s at once", n, a.key)
				}
				figure := a.figure.Load()
				if got, _, err := b.locker.Holder(t.Context(), a.key); err != nil || got != h {
					t.Errorf("%s is held by %+v, %v; want %+v", a.key, got, err, h)
				}
				runtime.Gosched()
				a.figure.Store(figure + 1)
				a.inside.Add(-1)
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	for i := range accounts {
		if got := accounts[i].figure.Load(); got != workers*rounds {
			t.Errorf("%s: %d, want %d", accounts[i].key, got, workers*rounds)
		}
	}
}
