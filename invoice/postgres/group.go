package postgres

import (
	"context"
	"runtime"
	"sync"
	"time"

	"invoicer/internal/owned"
)

// A group brings together what arrives while something of its kind is under way: it goes into the next transaction
// together, so that a commit is paid for once. What comes alone waits for nobody, and there is no timer but in a storm.
type group[T any] struct {
	// owner waits for the goroutine that sees to the members; it may outlive them all.
	owner *owned.Goroutines
	// most is how many go together.
	most int
	// apart returns the values of which no two may go together.
	apart func(T) []string
	// weigh tells how heavy a value is, of which no more than heaviest go together; one alone always may.
	weigh    func(T) int
	heaviest int
	// do brings members to their ends. It runs on no member's context, and one call at a time.
	do func(ctx context.Context, members []T)
	// storm returns, of the members that have just gone, how many of their kind to wait for next time, for longestWait at
	// most. Default: it waits for none.
	storm       func(gone []T) int
	longestWait time.Duration

	mu       sync.Mutex
	waiting  []*member[T]
	busy     bool
	expected int           // in the next transaction, by what storm said
	enough   chan struct{} // closed when so many wait, where somebody waits for that
}

// A member is one of a group, from its arrival until it is done.
type member[T any] struct {
	value T
	ctx   context.Context //nolint:containedctx // who asks may be gone before its turn comes
	done  chan struct{}
}

// join returns once the value's turn has come and gone, or with the error of a context that ended before. Then the value
// may be, or be about to be, done all the same.
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
		runtime.Gosched() // whoever is about to join goes first
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
				expected = min(expected, len(values)) // no more callers may be free
			}
			g.expect(expected)
		}
		for _, m := range members {
			close(m.done)
		}
	}
}

// expect says how many should be in the next transaction.
func (g *group[T]) expect(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = min(n, g.most)
}

// gather returns once as many wait as are expected, or nobody does, or longestWait is over, which it reports.
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

// next takes those whose turn has come, in the order of their arrival; none, when nobody waits.
func (g *group[T]) next() []*member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var now, later []*member[T]
	taken := make(map[string]struct{})
	weight := 0
	for _, m := range g.waiting {
		switch {
		case m.ctx.Err() != nil: // nobody waits for it any more
		case len(now) == g.most, len(now) > 0 && weight+g.weigh(m.value) > g.heaviest, !g.claim(taken, m.value):
			later = append(later, m)
		default:
			now = append(now, m)
			weight += g.weigh(m.value)
		}
	}
	g.waiting = later
	if g.busy = len(now) > 0; !g.busy {
		g.expected = 0 // whoever comes next comes alone
	}
	return now
}

// claim takes what the value must have for itself, unless another one has it already.
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
