package invoice

// A pattern is what a format can print: a sequence of atoms, as a machine with one state between each two of them.
type pattern struct {
	edges [][]edge // by state; the first state is 0
	end   int      // the state in which a printed number is complete
}

// An edge leads to another state by one byte of a set.
type edge struct {
	from, to byte // the set's first and last byte
	next     int
}

// pattern returns all that the format can print for a series, whatever the number, and whatever the period.
func (f numberFormat) pattern(s *Series) pattern {
	p := pattern{edges: [][]edge{nil}}
	step := func(from, to byte) { // one byte
		p.edges[p.end] = append(p.edges[p.end], edge{from, to, len(p.edges)})
		p.edges = append(p.edges, nil)
		p.end = len(p.edges) - 1
	}
	text := func(fixed string) {
		for i := range len(fixed) {
			step(fixed[i], fixed[i])
		}
	}
	digits := func(n int) {
		for range n {
			step('0', '9')
		}
	}
	for _, part := range f.parts {
		switch part {
		case placeholderSeries:
			text(s.Name)
		case placeholderYear:
			digits(4)
		case placeholderShortYear, placeholderMonth:
			digits(2)
		case placeholderPeriod:
			digits(4)
			if s.Period == periodMonth || s.FirstMonth > 1 {
				text("-")
				digits(2)
			}
		case placeholderNumber:
			// Of at most the width with zeros before it, or of more digits, which begin with none.
			begin := p.end
			digits(f.width)
			padded := p.end
			p.edges[begin] = append(p.edges[begin], edge{'1', '9', len(p.edges)})
			p.edges = append(p.edges, nil)
			p.end = len(p.edges) - 1
			digits(f.width)
			long := p.end
			p.edges[long] = append(p.edges[long], edge{'0', '9', long})
			// What follows begins where either of them ends.
			p.end = len(p.edges)
			p.edges = append(p.edges, nil)
			for state := range p.edges {
				for _, e := range p.edges[state] {
					if e.next == padded || e.next == long {
						p.edges[state] = append(p.edges[state], edge{e.from, e.to, p.end})
					}
				}
			}
		default:
			text(part)
		}
	}
	return p
}

// common returns a text that both patterns can print.
func common(a, b pattern) (printed string, ok bool) {
	type pair struct{ a, b int }
	texts := map[pair]string{{}: ""}
	for queue := []pair{{}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at.a == a.end && at.b == b.end {
			return texts[at], true
		}
		for _, x := range a.edges[at.a] {
			for _, y := range b.edges[at.b] {
				next := pair{x.next, y.next}
				if _, seen := texts[next]; seen || max(x.from, y.from) > min(x.to, y.to) {
					continue
				}
				// The largest byte: a number is no run of zeros.
				texts[next] = texts[at] + string([]byte{min(x.to, y.to)})
				queue = append(queue, next)
			}
		}
	}
	return "", false
}
