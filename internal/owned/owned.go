// Package owned keeps count of goroutines, so that their owner can wait for them with a time limit.
//
// It is for work that outlives the call which began it, such as a batch that is under way for several callers. If the owner can
// end the work by a context, a [sync.WaitGroup] is enough.
package owned

import (
	"sync"
	"time"
)

// Goroutines counts the running goroutines of one owner. The zero value has none. It is safe for concurrent use; unlike with a
// [sync.WaitGroup], goroutines may begin while the owner waits.
type Goroutines struct {
	mu      sync.Mutex
	running int
	none    chan struct{} // closed when no goroutine runs any more; nil unless the owner waits
}

// Go calls f on a new goroutine.
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

// Wait returns true as soon as none of the goroutines runs, or false if some still run after atMost.
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
