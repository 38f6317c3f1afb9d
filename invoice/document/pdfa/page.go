package pdfa

import (
	"encoding/hex"
	"strconv"
)

// A Color is red, green and blue of sRGB.
type Color struct{ R, G, B uint8 }

// A Page is drawn on from the left and from the top, in points (1/72 inch).
type Page struct {
	d             *Document
	number        int
	width, height float64
	content       []byte
	elements      []*Element // by MCID
	object        int

	fill, stroke *Color // what is set
}

// AddPage adds a page.
func (d *Document) AddPage(width, height float64) *Page {
	p := &Page{d: d, number: len(d.pages), width: width, height: height}
	d.pages = append(d.pages, p)
	return p
}

// Size returns the page's width and height.
func (p *Page) Size() (width, height float64) { return p.width, p.height }

// Tag marks what draw draws as content of an element. With nil it is none of the document's content: a line, or what each page repeats.
func (p *Page) Tag(e *Element, draw func()) {
	if e == nil {
		p.content = append(p.content, "/Artifact BMC\n"...)
	} else {
		p.content = append(appendName(p.content, e.kind), "<</MCID "...)
		p.content = append(strconv.AppendInt(p.content, int64(len(p.elements)), 10), ">>BDC\n"...)
		e.children = append(e.children, marked{p, len(p.elements)})
		p.elements = append(p.elements, e)
	}
	draw()
	p.content = append(p.content, "EMC\n"...)
}

func (p *Page) numbers(list ...float64) {
	for _, f := range list {
		p.content = append(number(p.content, f), ' ')
	}
}

func (p *Page) color(set **Color, c Color, operator string) {
	if *set != nil && **set == c {
		return
	}
	*set = &c
	p.numbers(float64(c.R)/255, float64(c.G)/255, float64(c.B)/255)
	p.content = append(p.content, operator...)
}

// Text shows characters of one font, each of which it must have, with their left edge and their base line at a place. If they stand for
// other ones, actual is those, and "" otherwise.
func (p *Page) Text(x, y float64, f *Font, size float64, c Color, characters []rune, actual string) {
	if len(characters) == 0 {
		return
	}
	if actual != "" {
		p.content = append(appendText(append(p.content, "/Span<</ActualText"...), actual), ">>BDC\n"...)
	}
	s := p.d.subsetOf(f)
	p.color(&p.fill, c, "rg\n")
	p.content = append(append(append(p.content, "BT/"...), s.key...), ' ')
	p.numbers(size)
	p.content = append(p.content, "Tf "...)
	p.numbers(x, p.height-y)
	p.content = append(p.content, "Td<"...)
	for _, r := range characters {
		n := s.number(r)
		p.content = hex.AppendEncode(p.content, []byte{byte(n >> 8), byte(n)})
	}
	p.content = append(p.content, ">Tj ET\n"...)
	if actual != "" {
		p.content = append(p.content, "EMC\n"...)
	}
}

// Fill fills a rectangle.
func (p *Page) Fill(x, y, width, height float64, c Color) {
	p.color(&p.fill, c, "rg\n")
	p.numbers(x, p.height-y-height, width, height)
	p.content = append(p.content, "re f\n"...)
}

// FillAll fills many rectangles of a size at once, without seams between them.
func (p *Page) FillAll(corners [][2]float64, width, height float64, c Color) {
	p.color(&p.fill, c, "rg\n")
	for _, at := range corners {
		p.numbers(at[0], p.height-at[1]-height, width, height)
		p.content = append(p.content, "re\n"...)
	}
	p.content = append(p.content, "f\n"...)
}

// Line draws a line.
func (p *Page) Line(x1, y1, x2, y2, width float64, c Color) {
	p.color(&p.stroke, c, "RG\n")
	p.numbers(width)
	p.content = append(p.content, "w "...)
	p.numbers(x1, p.height-y1)
	p.content = append(p.content, "m "...)
	p.numbers(x2, p.height-y2)
	p.content = append(p.content, "l S\n"...)
}

// Image shows a picture in a rectangle.
func (p *Page) Image(i *Image, x, y, width, height float64) {
	if _, known := p.d.keys[i]; !known {
		p.d.keys[i] = key("I", len(p.d.images))
		p.d.images = append(p.d.images, i)
	}
	p.content = append(p.content, "q "...)
	p.numbers(width, 0, 0, height, x, p.height-y-height)
	p.content = append(append(append(p.content, "cm/"...), p.d.keys[i]...), " Do Q\n"...)
}
