package node

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds of what [Read] takes. No honest invoice comes near them: one of 10,000 lines has about 15 MiB and 300,000 elements.
const (
	MostBytes = 48 << 20
	MostDepth = 40
	MostNodes = 1 << 20
)

// ErrSeveral says that a file holds one document behind another.
var ErrSeveral = errors.New("it holds several documents, one behind the other: they are read one by one, each in a file of its own")

// Read reads a document into a tree. The names of elements and attributes are without their prefixes; [Node.Space] has the namespace of an
// element. It knows UTF-8, UTF-16 and the encodings of one byte a character, such as ISO 8859-1. It refuses what is beyond the bounds, and any
// DOCTYPE, so that nothing is ever fetched or multiplied.
func Read(r io.Reader) (*Node, error) {
	decoded, err := decode(r)
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: decoded, N: MostBytes + 1}
	d := xml.NewDecoder(&guard{Reader: limited})
	var declared *io.LimitedReader // a character of one byte may have three in UTF-8
	d.CharsetReader = func(name string, in io.Reader) (io.Reader, error) {
		if declared != nil { // each declaration would put another decoder behind the others
			return nil, errors.New("it declares its encoding twice")
		}
		text, err := charset(name, in)
		declared = &io.LimitedReader{R: text, N: MostBytes + 1}
		return declared, err
	}
	reading := &reader{names: make(map[string]string)}
	for {
		token, err := d.Token()
		switch {
		case limited.N <= 0, declared != nil && declared.N <= 0:
			return nil, fmt.Errorf("it is bigger than %d MiB", MostBytes>>20)
		case errors.Is(err, io.EOF):
			return reading.end()
		case err != nil:
			return nil, plainly(err)
		}
		if err := reading.take(token); err != nil {
			line, _ := d.InputPos()
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// plainly says what is wrong with a text that isn't XML without naming the library.
func plainly(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("it isn't well-formed XML: line %d: %s", syntax.Line, syntax.Msg)
	}
	if inner := errors.Unwrap(err); inner != nil { // of charset
		return inner
	}
	return errors.New(strings.TrimPrefix(err.Error(), "xml: "))
}

// A reader builds a tree.
type reader struct {
	root       *Node
	open       []*Node
	texts      strings.Builder
	nodes      int
	attributes int
	names      map[string]string // each name once, whatever number of elements has it
}

func (r *reader) take(token xml.Token) error {
	switch token := token.(type) {
	case xml.Directive:
		return errors.New("it has a DOCTYPE, which is refused")
	case xml.CharData:
		if len(r.open) > 0 {
			r.texts.Write(token)
		} else if !IsBlank(strings.TrimPrefix(string(token), "\uFEFF")) {
			return errors.New("it has text outside of its root element")
		}
	case xml.StartElement:
		return r.start(token)
	case xml.EndElement:
		last := len(r.open) - 1
		if n := r.open[last]; len(n.children) == 0 {
			n.text = r.texts.String()
		}
		r.texts.Reset()
		r.open = r.open[:last]
	}
	return nil
}

func (r *reader) start(token xml.StartElement) error {
	r.texts.Reset()
	if r.nodes++; r.nodes > MostNodes {
		return fmt.Errorf("it has more than %d elements", MostNodes)
	}
	if r.attributes += len(token.Attr); r.attributes > MostNodes {
		return fmt.Errorf("it has more than %d attributes", MostNodes)
	}
	n := &Node{name: r.once(token.Name.Local), space: r.once(token.Name.Space)}
	for _, a := range token.Attr {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			n.attributes = append(n.attributes, attribute{r.once(a.Name.Local), r.once(a.Value)})
		}
	}
	switch depth := len(r.open); {
	case depth >= MostDepth:
		return fmt.Errorf("it is deeper than %d elements", MostDepth)
	case depth > 0:
		r.open[depth-1].Add(n)
	case r.root != nil:
		return ErrSeveral
	default:
		r.root = n
	}
	r.open = append(r.open, n)
	return nil
}

// once returns a text that is equal to s and kept already, if it is short enough to be there often.
func (r *reader) once(s string) string {
	const short, most = 200, 10_000
	if len(s) > short {
		return s
	}
	if known, ok := r.names[s]; ok {
		return known
	}
	if len(r.names) < most {
		r.names[s] = s
	}
	return s
}

func (r *reader) end() (*Node, error) {
	if r.root == nil {
		return nil, errors.New("it has no element")
	}
	return r.root, nil
}

// Space returns the namespace of an element that was read: its prefix, if that isn't declared.
func (n *Node) Space() string {
	if n == nil {
		return ""
	}
	return n.space
}

// Prune takes out all elements, with what is in them, that aren't kept, and returns how many elements it has taken out. The root
// stays.
func (n *Node) Prune(keep func(*Node) bool) (removed int) {
	kept := n.children[:0]
	for _, c := range n.children {
		if !keep(c) {
			removed += c.count()
			continue
		}
		removed += c.Prune(keep)
		kept = append(kept, c)
	}
	clear(n.children[len(kept):])
	n.children = kept
	return removed
}

// Count returns how many elements of these names are below n.
func (n *Node) Count(names ...string) (count int) {
	for _, c := range n.children {
		if slices.Contains(names, c.name) {
			count++
		}
		count += c.Count(names...)
	}
	return count
}

func (n *Node) count() int {
	total := 1
	for _, c := range n.children {
		total += c.count()
	}
	return total
}

// Unread calls what for each element that [Node.At], [Node.Get] and [Node.Children] never found, with its path from the root, such as
// Item/Name. What is in such an element isn't told of.
func (n *Node) Unread(what func(path string)) { n.unread("", what) }

func (n *Node) unread(above string, what func(path string)) {
	for _, c := range n.children {
		path := above + c.name
		if c.seen {
			c.unread(path+"/", what)
		} else {
			what(path)
		}
	}
}

// Repeated calls what for each element that [Node.At] or [Node.Get] passed over, since they take the first one of a name, with its path from the
// root.
func (n *Node) Repeated(what func(path string)) { n.repeated("", what) }

func (n *Node) repeated(above string, what func(path string)) {
	var seen map[string]bool
	if slices.ContainsFunc(n.children, func(c *Node) bool { return !c.seen }) {
		seen = make(map[string]bool)
	}
	for _, c := range n.children {
		switch {
		case c.seen:
			if seen != nil {
				seen[c.name] = true
			}
			c.repeated(above+c.name+"/", what)
		case seen[c.name]:
			what(above + c.name)
		}
	}
}

// Name returns the element's name.
func (n *Node) Name() string {
	if n == nil {
		return ""
	}
	return n.name
}

// Value returns the element's text without the blanks around it, "" for one with children and for nil.
func (n *Node) Value() string { return strings.TrimSpace(n.Raw()) }

// Raw is [Node.Value] with the blanks around it.
func (n *Node) Raw() string {
	if n == nil {
		return ""
	}
	return n.text
}

// Attribute returns an attribute's value, "" if there is none.
func (n *Node) Attribute(name string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.attributes {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

// Children returns the children of that name, and all of them for "".
func (n *Node) Children(name string) (list []*Node) {
	if n == nil {
		return nil
	}
	if name == "" {
		return n.children
	}
	for _, c := range n.children {
		if c.name == name {
			c.seen = true
			list = append(list, c)
		}
	}
	return list
}

// At returns the first element at a path such as Price/BaseQuantity, nil if there is none.
func (n *Node) At(path string) *Node {
	for path != "" && n != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		var found *Node
		for _, c := range n.children {
			if c.name == name {
				found = c
				c.seen = true
				break
			}
		}
		n = found
	}
	return n
}

// Get returns the text of the first element at a path, "" if there is none.
func (n *Node) Get(path string) string { return n.At(path).Value() }
