package postgres

import (
	"context"
	"runtime"
	"sync"
	"time"

	"invoicer/internal/owned"
)

// A group commits values together: those that arrive while a transaction is under way share the next one, and so the
// cost of its commit. A value that arrives alone doesn't wait. There is no timer, except in a storm.
type group[T any] struct {
	// owner waits for the goroutine that processes the members, which may outlive all callers.
	owner *owned.Goroutines
	// most is the largest number of values in one transaction.
	most int
	// apart returns a value's keys. No two values with a key in common share a transaction.
	apart func(T) []string
	// weigh returns a value's weight. The weights in one transaction add up to heaviest at most; a single value may
	// exceed it.
	weigh    func(T) int
	heaviest int
	// do processes the members. Its context isn't any member's, and there is one call at a time.
	do func(ctx context.Context, members []T)
	// storm returns how many members to wait for before the next transaction, judging by the members of the last one.
	// The wait lasts longestWait at most. Default: no waiting.
	storm       func(gone []T) int
	longestWait time.Duration

	mu       sync.Mutex
	waiting  []*member[T]
	busy     bool
	expected int           // members in the next transaction, as storm returned
	enough   chan struct{} // closed when as many are waiting; nil while nothing waits for that
}

// A member is a value in a group, from its arrival until it is done.
type member[T any] struct {
	value T
	ctx   context.Context //nolint:containedctx // the caller may be gone before the member's turn comes
	done  chan struct{}
}

// join returns once the value was processed, or with ctx's error if ctx ends before. In that case the value may still
// be processed.
func (g *group[T]) join(ctx context.Context, value T) error {
	m := &member[T]{value: value, ctx: ctx, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	if g.enough != nil && len(g.waiting) >= g.expected {
		close(g.enough)
		g.enough = nil
	}
	if !g.busy {
		g.busy = true
		ctx := context.WithoutCancel(ctx)
		g.owner.Go(func() { g.work(ctx) })
	}
	g.mu.Unlock()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group[T]) work(ctx context.Context) {
	for {
		runtime.Gosched() // lets goroutines that are about to join go first
		inVain := g.gather()
		members := g.next()
		if len(members) == 0 {
			return
		}
		values := make([]T, len(members))
		for i, m := range members {
			values[i] = m.value
		}
		g.do(ctx, values)
		if g.storm != nil {
			expected := g.storm(values)
			if inVain {
				expected = min(expected, len(values)) // there may be no more callers
			}
			g.expect(expected)
		}
		for _, m := range members {
			close(m.done)
		}
	}
}

// expect sets how many members the next transaction should have.
func (g *group[T]) expect(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = min(n, g.most)
}

// gather returns once as many members wait as are expected, or at once if none waits. After longestWait it gives up
// and returns true.
func (g *group[T]) gather() (inVain bool) {
	g.mu.Lock()
	if len(g.waiting) == 0 || len(g.waiting) >= g.expected {
		g.mu.Unlock()
		return false
	}
	enough := make(chan struct{})
	g.enough = enough
	g.mu.Unlock()

	over := time.NewTimer(g.longestWait)
	defer over.Stop()
	select {
	case <-enough:
		return false
	case <-over.C:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.enough = nil
		return true
	}
}

// next removes and returns the members of the next transaction, in the order of their arrival. It returns none if
// none waits.
func (g *group[T]) next() []*member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var now, later []*member[T]
	taken := make(map[string]struct{})
	weight := 0
	for _, m := range g.waiting {
		switch {
		case m.ctx.Err() != nil: // its caller is gone
		case len(now) == g.most, len(now) > 0 && weight+g.weigh(m.value) > g.heaviest, !g.claim(taken, m.value):
			later = append(later, m)
		default:
			now = append(now, m)
			weight += g.weigh(m.value)
		}
	}
	g.waiting = later
	if g.busy = len(now) > 0; !g.busy {
		g.expected = 0 // the next member doesn't wait for others
	}
	return now
}

// claim takes the value's keys, and reports false if one of them is taken already.
func (g *group[T]) claim(taken map[string]struct{}, value T) bool {
	all := g.apart(value)
	for _, one := range all {
		if _, ok := taken[one]; ok {
			return false
		}
	}
	for _, one := range all {
		taken[one] = struct{}{}
	}
	return true
}
