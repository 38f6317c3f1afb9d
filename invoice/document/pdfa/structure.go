package pdfa

// An Element is a part of a document as a screen reader tells it: a heading, a paragraph, a table and so on.
type Element struct {
	kind     string // a standard structure type
	alt      string
	scope    string
	span     int
	children []any // *Element or marked
	parent   *Element
	object   int
}

// marked is content on a page.
type marked struct {
	page *Page
	id   int
}

// Root returns the element that holds all others.
func (d *Document) Root() *Element { return d.root }

// Add adds a part of a standard structure type, such as P, H1, Table, TR or Figure.
func (e *Element) Add(kind string) *Element {
	child := &Element{kind: kind, parent: e}
	e.children = append(e.children, child)
	return child
}

// Alt sets the text that stands for a picture.
func (e *Element) Alt(text string) *Element {
	e.alt = text
	return e
}

// Scope says what a TH is the head of: Column or Row.
func (e *Element) Scope(scope string) *Element {
	e.scope = scope
	return e
}

// Span says how many columns a TH or TD takes.
func (e *Element) Span(columns int) *Element {
	e.span = columns
	return e
}

// writeStructure writes the tree of elements, and returns the object of its root.
func (d *Document) writeStructure() int {
	w := d.w
	tree, parents := w.reserve(), w.reserve()
	d.root.prune()
	d.root.reserve(w)
	d.root.write(w, tree)
	nums := make(array, 0, 2*len(d.pages))
	for _, p := range d.pages {
		list := make(array, len(p.elements))
		for n, e := range p.elements {
			list[n] = ref(e.object)
		}
		nums = append(nums, p.number, list)
	}
	w.object(parents, dict("Nums", nums))
	w.object(tree, dict("Type", name("StructTreeRoot"), "K", ref(d.root.object), "ParentTree", ref(parents), "ParentTreeNextKey", len(d.pages)))
	return tree
}

// prune takes out the elements in which nothing was drawn, except for cells, which hold their column's place.
func (e *Element) prune() (empty bool) {
	kept := e.children[:0]
	for _, c := range e.children {
		if child, isElement := c.(*Element); isElement && child.prune() {
			continue
		}
		kept = append(kept, c)
	}
	e.children = kept
	return len(kept) == 0 && e.kind != "TD" && e.kind != "TH"
}

func (e *Element) reserve(w *writer) {
	e.object = w.reserve()
	for _, c := range e.children {
		if child, isElement := c.(*Element); isElement {
			child.reserve(w)
		}
	}
}

func (e *Element) write(w *writer, parent int) {
	var page *Page
	kids := make(array, 0, len(e.children))
	for _, c := range e.children {
		switch c := c.(type) {
		case *Element:
			kids = append(kids, ref(c.object))
			c.write(w, e.object)
		case marked:
			if page == nil {
				page = c.page
			}
			if c.page == page {
				kids = append(kids, c.id)
			} else {
				kids = append(kids, dict("Type", name("MCR"), "Pg", ref(c.page.object), "MCID", c.id))
			}
		}
	}
	fields := []any{"S", name(e.kind), "P", ref(parent), "K", kids}
	if page != nil {
		fields = append(fields, "Pg", ref(page.object))
	}
	if e.alt != "" {
		fields = append(fields, "Alt", text(e.alt))
	}
	var attributes []any
	if e.scope != "" {
		attributes = append(attributes, "Scope", name(e.scope))
	}
	if e.span > 1 {
		attributes = append(attributes, "ColSpan", e.span)
	}
	if len(attributes) > 0 {
		fields = append(fields, "A", dict(append([]any{"O", name("Table")}, attributes...)...))
	}
	w.object(e.object, dict(fields...))
}
