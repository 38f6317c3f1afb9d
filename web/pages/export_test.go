package pages

// Patterns returns the patterns of all routes.
func (p *Pages) Patterns() map[string]bool {
	patterns := make(map[string]bool)
	for pattern := range p.routes {
		patterns[pattern] = true
	}
	return patterns
}
