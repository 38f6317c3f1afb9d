// Package owned has goroutines that somebody waits for, but not for ever.
//
// It is for work that outlives the call which began it, such as a batch on its way for several callers. Where the one that
// waits can bound the work itself, by its context, a [sync.WaitGroup] does.
package owned

import (
	"sync"
	"time"
)

// Goroutines are those that one owner has begun. The zero value has none. Unlike a [sync.WaitGroup], it allows that some
// begin while the owner waits.
type Goroutines struct {
	mu      sync.Mutex
	running int
	none    chan struct{} // closed when none runs any more; nil while nobody waits
}

// Go calls f on a goroutine of its own.
func (g *Goroutines) Go(f func()) {
	g.mu.Lock()
	g.running++
	g.mu.Unlock()
	go func() {
		defer g.ended()
		f()
	}()
}

func (g *Goroutines) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.none != nil {
		close(g.none)
		g.none = nil
	}
}

// Wait returns once none of them runs, or after that time, and tells whether none did.
func (g *Goroutines) Wait(atMost time.Duration) bool {
	g.mu.Lock()
	if g.running == 0 {
		g.mu.Unlock()
		return true
	}
	if g.none == nil {
		g.none = make(chan struct{})
	}
	none := g.none
	g.mu.Unlock()
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	select {
	case <-none:
		return true
	case <-limit.C:
		return false
	}
}
