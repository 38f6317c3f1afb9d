package metrics

import "sync"

// producers gives labels to producers, as many as it may.
type producers struct {
	most  int
	known sync.Map // name → struct{}
	mu    sync.Mutex
	n     int
}

// label returns the producer's name if it has a label of its own, or gets one now.
func (p *producers) label(producer string) string {
	if producer == "" {
		return none
	}
	if _, ok := p.known.Load(producer); ok {
		return producer
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.known.Load(producer); ok {
		return producer
	}
	if p.n >= p.most {
		return other
	}
	p.n++
	p.known.Store(producer, struct{}{})
	return producer
}
