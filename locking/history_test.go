package locking_test

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"invoicer/locking"
)

// history is what should be in Redis for one key after any sequence of calls, by whomever and however late.
type history struct {
	*bundle
	t *testing.T

	locks []*locking.Lock // all there ever were; the holder of each stands at the same place
	by    []locking.Holder
	valid int // index of the one that holds; -1 for none
	done  *string

	foreign bool // somebody has put text under the lock's key that is no lock
	odd     bool // or something that is no text
}

func testHistories(t *testing.T, b *bundle) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		own := *b
		own.key = fmt.Sprint(b.key, n)
		h := &history{bundle: &own, t: t, valid: -1}
		rt.Repeat(map[string]func(*rapid.T){
			"":        h.check,
			"acquire": h.acquireAs,
			"release": func(rt *rapid.T) {
				i := h.draw(rt)
				h.wantOurs(rt, i, h.locks[i].Release(t.Context()))
				h.free(i)
			},
			"extend": func(rt *rapid.T) {
				i := h.draw(rt)
				h.wantOurs(rt, i, h.locks[i].Extend(t.Context(), ttl))
			},
			"finish": func(rt *rapid.T) {
				i, value := h.draw(rt), h.drawValue(rt)
				h.wantOurs(rt, i, h.locks[i].Finish(t.Context(), value, ttl))
				h.free(i)
				h.done = &value
			},
			"forget": func(rt *rapid.T) {
				value := h.drawValue(rt)
				want := h.done != nil && *h.done == value
				if got, err := h.locker.Forget(t.Context(), h.key, value); err != nil || got != want {
					rt.Fatalf("forgot %v, %v; want %v", got, err, want)
				}
				if want {
					h.done = nil
				}
			},
			"expire": func(*rapid.T) {
				h.expire(t)
				h.valid, h.foreign, h.odd = -1, false, false
			},
			"garbage lock": func(*rapid.T) {
				must(t, h.client.Set(t.Context(), h.lockKey(), "garbage", 0).Err())
				h.valid, h.foreign, h.odd = -1, true, false
			},
			"list for a lock": func(*rapid.T) {
				h.expire(t)
				must(t, h.client.RPush(t.Context(), h.lockKey(), "a").Err())
				h.valid, h.foreign, h.odd = -1, false, true
			},
			"list for a done entry": func(*rapid.T) {
				must(t, h.client.Del(t.Context(), h.doneKey()).Err())
				must(t, h.client.RPush(t.Context(), h.doneKey(), "a").Err())
				h.done = nil
			},
		})
	})
}

func (h *history) acquireAs(rt *rapid.T) {
	who := rapid.SampledFrom([]locking.Holder{anna, bert, {ID: anna.ID, Worker: "carl"}}).Draw(rt, "holder")
	lock, err := h.locker.Acquire(h.t.Context(), h.key, who)
	done, isDone := errors.AsType[*locking.DoneError](err)
	held, isHeld := errors.AsType[*locking.HeldError](err)
	switch {
	case h.done != nil:
		if !isDone || done.Value != *h.done {
			rt.Fatalf("got %v, want done: %q", err, *h.done)
		}
	case h.foreign:
		if !isHeld || held.Holder != (locking.Holder{}) || held.Remaining <= 0 || held.Remaining > 10*ttl {
			rt.Fatalf("got %v, want held by nobody, and not for ever", err)
		}
	case h.valid >= 0 && h.by[h.valid].ID != who.ID:
		if !isHeld || held.Holder != h.by[h.valid] {
			rt.Fatalf("got %v, want held by %+v", err, h.by[h.valid])
		}
	default:
		if err != nil {
			rt.Fatal(err)
		}
		h.valid, h.odd = len(h.locks), false
		h.locks, h.by = append(h.locks, lock), append(h.by, who)
	}
}

func (h *history) check(rt *rapid.T) {
	who, _, err := h.locker.Holder(h.t.Context(), h.key)
	switch {
	case h.foreign || h.odd:
		if err != nil || who != (locking.Holder{}) {
			rt.Fatalf("holder %+v, %v; want nobody's", who, err)
		}
	case h.valid < 0:
		if !errors.Is(err, locking.ErrNotHeld) {
			rt.Fatalf("holder %+v, %v; want none", who, err)
		}
	case err != nil || who != h.by[h.valid]:
		rt.Fatalf("holder %+v, %v; want %+v", who, err, h.by[h.valid])
	}
}

func (h *history) draw(rt *rapid.T) int {
	if len(h.locks) == 0 {
		rt.Skip("no lock yet")
	}
	return rapid.IntRange(0, len(h.locks)-1).Draw(rt, "lock")
}

func (h *history) drawValue(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "value")
}

func (h *history) free(i int) {
	if i == h.valid {
		h.valid = -1
	}
}

func (h *history) wantOurs(rt *rapid.T, i int, err error) {
	if i == h.valid && err != nil {
		rt.Fatal(err)
	}
	if i != h.valid && !errors.Is(err, locking.ErrLost) {
		rt.Fatalf("got %v, want ErrLost", err)
	}
}
