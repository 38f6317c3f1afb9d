package pdf

import (
	"slices"
	"strings"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdfa"
)

// A cellLine is a line of text in a cell.
type cellLine struct {
	text  string
	style style
}

// A tableColumn is a column of the table of lines.
type tableColumn struct {
	name        string
	head        string
	alignRight  bool
	left, right float64
}

// A table is the one of lines, while it is drawn.
type table struct {
	*layout
	columns []tableColumn
	element *pdfa.Element
	carried sum  // what the lines so far come to
	begun   bool // a line was drawn
	rows    int
	first   bool    // no line was drawn on this page
	sums    float64 // how high the sums below the table are
	ruled   float64 // where the last rule is
}

// gap is what is free between two columns.
const gap = 9

func (l *layout) drawTable() {
	if len(l.doc.Lines) == 0 {
		return
	}
	t := &table{layout: l, element: l.out.Root().Add("Table"), first: true, sums: l.planTotals().height}
	t.chooseColumns()
	t.measure()
	l.need(4 * l.text.leading())
	t.drawHeader(t.element.Add("TR"))
	l.onPage = func() {
		t.drawHeader(nil)
		t.first, t.ruled = true, 0
		if t.begun && shown(l.t.Table.Carry) {
			t.drawCarried(l.loc.words.brought)
			l.y += 5
		}
	}
	for n := range l.doc.Lines {
		t.drawLine(&l.doc.Lines[n], n)
	}
	l.onPage = nil
	l.rule(l.y, 0.5)
	l.y += 8
}

func (t *table) chooseColumns() {
	w := t.loc.words
	heads := map[string]string{
		"position": w.position, "item": w.item, "description": w.description, "quantity": w.quantity, "unit": w.unitHead, "price": w.price,
		"discount": w.discount, "tax": w.tax, "amount": w.amount,
	}
	if t.doc.Gross != nil {
		heads["price"], heads["amount"] = w.priceWithTax, w.amountWithTax
	}
	if slices.ContainsFunc(t.doc.Taxes, func(tax document.Tax) bool { return tax.Code != "" }) {
		heads["tax"] = "%"
	}
	for _, name := range t.t.Table.Columns {
		right := name != "description" && name != "item" && name != "unit" && name != "position"
		t.columns = append(t.columns, tableColumn{name: name, head: heads[name], alignRight: right})
	}
}

// measure gives each column the width that its widest text takes, and the description what is left; where that is too little, the
// others become narrower, and their texts smaller.
func (t *table) measure() {
	room := t.right - t.left
	widths := make([]float64, len(t.columns))
	total := float64(gap * (len(t.columns) - 1))
	const least = 0.28 // of the room, for the description
	for n, c := range t.columns {
		if c.name == "description" {
			continue
		}
		widths[n] = t.headWidth(c.head)
		for i := range t.doc.Lines {
			for _, line := range t.cell(c.name, &t.doc.Lines[i]) {
				widths[n] = max(widths[n], line.style.face.width(line.text)*line.style.size)
			}
		}
		if c.name == "amount" { // the sums so far stand there, too
			widths[n] = max(widths[n], t.strong.face.width(t.amount(t.doc.Totals.Gross))*t.strong.size)
		}
		if c.name == "item" {
			widths[n] = min(widths[n], room*0.15)
		}
		total += widths[n]
	}
	if most := room * (1 - least); total > most {
		spaces := float64(gap * (len(t.columns) - 1))
		for n := range widths {
			widths[n] *= (most - spaces) / (total - spaces)
		}
		total = most
	}
	x := t.left
	for n := range t.columns {
		width := widths[n]
		if t.columns[n].name == "description" {
			width = room - total
		}
		t.columns[n].left, t.columns[n].right = x, x+width
		x += width + gap
	}
}

func (t *table) headStyle() style { return style{t.bold, t.small.size, t.muted.color} }

// headWidth is that of a column's head, and if that is long, of its longest word.
func (t *table) headWidth(head string) float64 {
	s := t.headStyle()
	if whole := s.face.width(head) * s.size; whole < 14*mm {
		return whole
	}
	widest := 0.0
	for word := range strings.FieldsSeq(head) {
		widest = max(widest, s.face.width(word)*s.size)
	}
	return widest
}

// drawHeader draws the head of the table; as an artifact where it is only repeated.
func (t *table) drawHeader(row *pdfa.Element) {
	s := t.headStyle()
	deepest := 1
	heads := make([][]string, len(t.columns))
	for _, c := range t.columns {
		for word := range strings.FieldsSeq(c.head) { // no word is broken
			s.size = min(s.size, (c.right-c.left)/s.face.width(word))
		}
	}
	for n, c := range t.columns {
		heads[n] = s.lines(c.head, c.right-c.left+0.01)
		deepest = max(deepest, len(heads[n]))
	}
	for n, c := range t.columns {
		var e *pdfa.Element
		if row != nil {
			e = row.Add("TH").Scope("Column")
		}
		y := t.y + float64(deepest-len(heads[n]))*s.leading() + s.size
		for _, line := range heads[n] {
			if c.alignRight {
				t.alignRight(e, c.right, y, c.right-c.left, s, line)
			} else {
				t.fit(e, c.left, y, c.right-c.left, s, line)
			}
			y += s.leading()
		}
	}
	t.y += float64(deepest)*s.leading() + 2
	t.page.Tag(nil, func() { t.page.Line(t.left, t.y, t.right, t.y, 0.9, t.accent) })
	t.y += 5
}

// drawCarried draws the sum so far.
func (t *table) drawCarried(label string) {
	s := style{t.bold, t.small.size, t.muted.color}
	row := t.element.Add("TR")
	last := t.columns[len(t.columns)-1]
	labelRight := last.left - gap
	amount := t.total(&t.carried)
	for n, c := range t.columns {
		if c.name == "amount" {
			last, labelRight = c, c.left-gap
			if n == 0 { // nothing is at its left
				labelRight = t.right
			}
		}
	}
	baseline := t.y + s.size
	t.alignRight(row.Add("TH").Scope("Row").Span(len(t.columns)-1), labelRight, baseline, (t.right-t.left)*0.5, s, label)
	t.alignRight(row.Add("TD"), last.right, baseline, last.right-last.left, s, amount)
	t.y += s.leading()
}

// carryHeight is what is kept free at the end of a page for the sum so far.
func (t *table) carryHeight() float64 {
	if !shown(t.t.Table.Carry) {
		return 0
	}
	return t.small.leading() + 4
}

// breakPage ends a page with the sum so far, and begins another.
func (t *table) breakPage() {
	if t.y-t.ruled > 3 { // else the line above has one
		t.rule(t.y, 0.5)
	}
	if shown(t.t.Table.Carry) && t.begun {
		t.y += 3
		t.drawCarried(t.loc.words.carried)
	}
	t.addPage()
}

// drawLine draws a line of the document. It stays on one page unless it takes more than a third of one.
func (t *table) drawLine(line *document.Line, n int) {
	cells := make([][]cellLine, len(t.columns))
	deepest := 0
	for c, column := range t.columns {
		if column.name == "description" {
			cells[c] = t.description(line, column.right-column.left)
		} else {
			cells[c] = t.cell(column.name, line)
		}
		if column.name == "item" {
			cells[c] = nil
			for _, text := range t.small.lines(line.SellerID, column.right-column.left) {
				cells[c] = append(cells[c], cellLine{text, t.small})
			}
		}
		deepest = max(deepest, len(cells[c]))
	}
	heights := make([]float64, deepest)
	total := 5.0
	for strip := range heights {
		for _, cell := range cells {
			if strip < len(cell) {
				heights[strip] = max(heights[strip], cell[strip].style.leading())
			}
		}
		total += heights[strip]
	}
	limit, most := t.bottom-t.carryHeight(), (t.bottom-t.top)/3
	// The last line goes with the sums, so that they don't stand on a page of their own.
	alone := n+1 == len(t.doc.Lines) && !t.first && t.y+total+12+t.sums > t.bottom && total+t.sums < 2*most
	if t.y+total > limit && total < most || t.y+heights[0]*2 > limit || alone {
		t.breakPage()
	}
	t.first = false
	row := t.element.Add("TR")
	elements := make([]*pdfa.Element, len(cells))
	for c := range cells {
		elements[c] = row.Add("TD")
	}
	if t.t.Table.Stripes && t.rows%2 == 1 {
		height := min(total, t.bottom-t.carryHeight()-t.y)
		t.page.Tag(nil, func() { t.page.Fill(t.left-3, t.y-2.5, t.right-t.left+6, height, t.shade) })
	}
	t.rows++
	for strip, height := range heights {
		if t.y+height > t.bottom-t.carryHeight() && strip > 0 {
			t.breakPage()
		}
		for c, cell := range cells {
			if strip < len(cell) {
				t.drawCell(elements[c], &t.columns[c], cell[strip])
			}
		}
		if strip == 0 {
			t.begun = true
			if line.GrossTotal != nil {
				t.carried.add(*line.GrossTotal)
			} else {
				t.carried.add(line.Net)
			}
		}
		t.y += height
	}
	t.y += 2.5
	if n+1 < len(t.doc.Lines) && !t.t.Table.Stripes && t.y+5 < t.bottom-t.carryHeight() {
		t.rule(t.y, 0.25)
		t.ruled = t.y
	}
	t.y += 2.5
}

func (t *table) drawCell(e *pdfa.Element, c *tableColumn, line cellLine) {
	s := line.style
	// All of a strip stand on one base line, that of the usual text.
	y := t.y + max(s.size, t.text.size*0.98)
	if c.alignRight {
		t.alignRight(e, c.right, y, c.right-c.left, s, line.text)
	} else {
		t.fit(e, c.left, y, c.right-c.left, s, line.text)
	}
}
