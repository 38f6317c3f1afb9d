package pdf

import (
	"slices"
	"strconv"
	"strings"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdfa"
)

// mm is a millimetre in points.
const mm = 72 / 25.4

// A style is how a text looks.
type style struct {
	face  *face
	size  float64
	color pdfa.Color
}

// leading is the distance of two lines.
func (s style) leading() float64 { return s.size * 1.36 }

// A layout draws one document. y is how far down the current page is filled.
type layout struct {
	doc     *document.Document
	t       *Template
	options *Options
	loc     *locale
	out     *pdfa.Document
	page    *pdfa.Page
	missing map[rune]bool

	width, height, left, right, top, bottom, y float64

	regular, bold                    *face
	text, small, muted, strong, head style
	accent, line, shade              pdfa.Color
	foot                             []column
	planned                          *sums
	onPage                           func()                    // draws what begins each page of a part, such as the head of a table
	shown                            func(x, y, width float64) // hears of each line of text, for tests
}

func newLayout(d *document.Document, t *Template, o *Options, loc *locale) (*layout, error) {
	built, err := goFonts()
	if err != nil {
		return nil, err
	}
	more := slices.Concat(o.Fonts, t.fonts)
	l := &layout{
		doc: d, t: t, options: o, loc: loc, missing: make(map[rune]bool), width: 210 * mm, height: 297 * mm,
		regular: newFace(slices.Concat([]*pdfa.Font{built[0]}, more)...), bold: newFace(slices.Concat([]*pdfa.Font{built[1]}, more)...),
		accent: colorOf(t.Colors.Accent), line: colorOf(t.Colors.Line), shade: colorOf(t.Colors.Shade),
	}
	if t.Paper == "Letter" {
		l.width, l.height = 612, 792
	}
	text, muted := colorOf(t.Colors.Text), colorOf(t.Colors.Muted)
	l.text = style{l.regular, t.FontSize, text}
	l.strong = style{l.bold, t.FontSize, text}
	l.small = style{l.regular, t.FontSize * 0.87, muted}
	l.muted = style{l.regular, t.FontSize, muted}
	l.head = style{l.bold, t.FontSize * 1.15, l.accent}
	l.left, l.right = t.Margins.Left*mm, l.width-t.Margins.Right*mm
	l.top = t.Margins.Top * mm
	l.foot = l.footer()
	l.bottom = l.height - t.Margins.Bottom*mm - l.footHeight() - 12
	title := l.title()
	l.out = pdfa.New(pdfa.Info{
		Title: plain(title), Author: plain(d.Seller.Name), Subject: plain(d.Buyer.Name), Producer: Producer, Language: loc.tag.String(),
		Created: created(d),
	})
	return l, nil
}

// colorOf reads a colour that was checked.
func colorOf(s string) pdfa.Color {
	n, _ := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	return pdfa.Color{R: uint8(n >> 16), G: uint8(n >> 8), B: uint8(n)}
}

func (l *layout) draw() {
	l.addPage()
	l.drawHead()
	l.drawTable()
	l.drawTotals()
	l.drawNotes()
	l.drawFeet()
}

// addPage begins a page. All but the first one say what they belong to.
func (l *layout) addPage() {
	l.page = l.out.AddPage(l.width, l.height)
	l.y = l.top
	if l.t.FoldMarks && l.out.Pages() == 1 {
		l.page.Tag(nil, func() {
			for _, at := range []float64{105 * mm, l.height / 2, 210 * mm} {
				l.page.Line(4*mm, at, 9*mm, at, 0.4, l.line)
			}
		})
	}
	if l.out.Pages() > 1 {
		title := l.title()
		room := l.right - l.left
		l.y += l.small.size
		w := l.alignRight(nil, l.right, l.y, room*0.6, l.small, title)
		l.fit(nil, l.left, l.y, room-w-12, l.small, l.doc.Seller.Name)
		l.y += 6
		l.rule(l.y, 0.5)
		l.y += 12
	}
	if l.onPage != nil {
		l.onPage()
	}
}

// need begins a page unless that much room is left on this one.
func (l *layout) need(height float64) {
	if l.y+height > l.bottom {
		l.addPage()
	}
}

func (l *layout) rule(y, width float64) {
	l.page.Tag(nil, func() { l.page.Line(l.left, y, l.right, y, width, l.line) })
}

// show draws a line of text with its left edge at x and its base line at y, and returns how wide it is.
func (l *layout) show(e *pdfa.Element, x, y float64, s style, text string) float64 {
	pieces, missing := s.face.pieces(text)
	for _, r := range missing {
		l.missing[r] = true
	}
	from := x
	if len(pieces) == 0 {
		return 0
	}
	if l.shown != nil {
		l.shown(x, y, s.face.width(text)*s.size)
	}
	l.page.Tag(e, func() {
		for _, p := range pieces {
			l.page.Text(x, y, p.font, s.size, s.color, p.shown, p.actual.String())
			x += p.width * s.size
		}
	})
	return x - from
}

// narrowed makes a text one line that is at most that wide: smaller down to 60 %, then cut if it may be.
func (s style) narrowed(text string, width float64) (style, string) {
	text = strings.Join(strings.Fields(normal(text)), " ")
	if wide := s.face.width(text) * s.size; wide > width && wide > 0 {
		s.size *= width / wide
	}
	return s, text
}

// fit draws one line, in a smaller size if it would be wider than width.
func (l *layout) fit(e *pdfa.Element, x, y, width float64, s style, text string) float64 {
	s, text = s.narrowed(text, width)
	return l.show(e, x, y, s, text)
}

// alignRight is [layout.fit] with the right edge at x.
func (l *layout) alignRight(e *pdfa.Element, x, y, width float64, s style, text string) float64 {
	s, text = s.narrowed(text, width)
	return l.show(e, x-s.face.width(text)*s.size, y, s, text)
}

// A written is a text in its style.
type written struct {
	text  string
	style style
}

// block wraps texts to a width, in smaller sizes if they would be higher than height: what stands at the head of a page can't go on on the
// next one.
func block(texts []written, width, height float64) []written {
	for factor := 1.0; ; factor *= 0.85 {
		var lines []written
		total := 0.0
		for _, w := range texts {
			w.style.size *= factor
			for _, line := range w.style.lines(w.text, width) {
				lines = append(lines, written{line, w.style})
				total += w.style.leading()
			}
		}
		if total <= height || factor < 0.01 {
			return lines
		}
	}
}

// lines wraps a text to a width.
func (s style) lines(text string, width float64) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return s.face.wrap(text, width/s.size)
}

// paragraph draws a text from x on, over as many lines and pages as it takes.
func (l *layout) paragraph(e *pdfa.Element, x, width float64, s style, text string) {
	for _, line := range s.lines(text, width) {
		l.need(s.leading())
		l.show(e, x, l.y+s.size, s, line)
		l.y += s.leading()
	}
}

// heading draws the title of a part, and sees to it that something below it stands on the same page.
func (l *layout) heading(text string, below float64) {
	l.need(l.head.leading() + below + 4)
	l.show(l.out.Root().Add("H2"), l.left, l.y+l.head.size, l.head, text)
	l.y += l.head.leading() + 3
}

// title is what the document is called, with its number.
func (l *layout) title() string { return l.kind() + " " + l.doc.Number }

// kind is what the document is called. A credit note is always called one, whatever its type.
func (l *layout) kind() string {
	w := l.loc.words
	if l.doc.Kind == document.CreditNote {
		if l.doc.TypeCode == "261" {
			return w.selfCredited
		}
		return w.creditNote
	}
	switch l.doc.TypeCode {
	case "384":
		return w.corrected
	case "386":
		return w.prepayment
	case "389":
		return w.selfBilled
	}
	return w.invoice
}
