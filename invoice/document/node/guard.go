package node

import (
	"fmt"
	"io"
)

// MostAttributes is how many attributes an element may have.
const MostAttributes = 200

// A guard ends a text in which an element has too many attributes, before a parser makes room for millions of them. What it counts are the equals
// signs before quotes since the last <, which can't stand within a tag.
type guard struct {
	io.Reader

	count  int
	equals bool // whether nothing but blanks came since an equals sign
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	for _, c := range p[:n] {
		switch c {
		case '<':
			g.count, g.equals = 0, false
		case '=':
			g.equals = true
		case '"', '\'':
			if g.equals {
				g.count++
			}
			g.equals = false
		case ' ', '\t', '\r', '\n':
		default:
			g.equals = false
		}
		if g.count > MostAttributes {
			return 0, fmt.Errorf("it has more than %d attributes in an element", MostAttributes)
		}
	}
	return n, err
}
