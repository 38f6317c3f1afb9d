package metrics

import "sync"

// labels gives labels to names that others make up, such as producers: to as many as it may.
type labels struct {
	most  int
	known sync.Map // name → struct{}
	mu    sync.Mutex
	n     int
}

// label returns the name if it has a label of its own, or gets one now.
func (p *labels) label(name string) string {
	if name == "" {
		return none
	}
	if _, ok := p.known.Load(name); ok {
		return name
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.known.Load(name); ok {
		return name
	}
	if p.n >= p.most {
		return other
	}
	p.n++
	p.known.Store(name, struct{}{})
	return name
}
