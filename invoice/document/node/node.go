// Package node is a small tree of XML elements, which documents are written of and read into. What has no value makes no element, since the
// receivers' rules refuse empty ones, and count an empty reason as a reason.
package node

import (
	"bytes"
	"encoding/xml"
	"strings"

	"invoicer/invoice/decimal"
)

// A Node is an element, with its name as it is written: with its prefix. A nil Node is none: all methods take it.
type Node struct {
	name       string
	attributes []attribute
	text       string
	children   []*Node

	space string // of an element that was read
	seen  bool   // whether it was found
}

type attribute struct{ name, value string }

// New returns an element that has these children, in their order, and nil if all of them are nil.
func New(name string, children ...*Node) *Node {
	n := Always(name, children...)
	if len(n.children) == 0 {
		return nil
	}
	return n
}

// Always is [New] for an element that the schema wants even when nothing is in it.
func Always(name string, children ...*Node) *Node {
	n := &Node{name: name}
	n.Add(children...)
	return n
}

// Add adds children that aren't nil.
func (n *Node) Add(children ...*Node) {
	for _, c := range children {
		if c != nil {
			n.children = append(n.children, c)
		}
	}
}

// Text returns an element with a text, and nil if the text is blank.
func Text(name, text string) *Node {
	if IsBlank(text) {
		return nil
	}
	return &Node{name: name, text: text}
}

// Number returns an element with a number.
func Number(name string, d decimal.Decimal) *Node { return &Node{name: name, text: d.String()} }

// Amount returns an element with an amount, which is written with that many decimals, or with more if it has more.
func Amount(name string, d decimal.Decimal, decimals int) *Node {
	return &Node{name: name, text: Fixed(d, decimals)}
}

// Fixed spells a number with at least that many decimals.
func Fixed(d decimal.Decimal, decimals int) string {
	text, has := d.String(), d.Decimals()
	if has >= decimals {
		return text
	}
	if has == 0 {
		text += "."
	}
	return text + strings.Repeat("0", decimals-has)
}

// With adds an attribute, unless its value is blank, and returns the element.
func (n *Node) With(name, value string) *Node {
	if n != nil && !IsBlank(value) {
		n.attributes = append(n.attributes, attribute{name, value})
	}
	return n
}

// IsBlank reports whether XPath's normalize-space leaves nothing of a text.
func IsBlank(text string) bool { return strings.Trim(text, " \t\r\n") == "" }

// Write returns a document of the element: UTF-8, an element a line, indented, with LF at the ends of lines. The same tree always makes
// the same bytes. A character that XML 1.0 can't carry becomes U+FFFD.
func Write(root *Node) []byte {
	var b bytes.Buffer
	b.Grow(roomy)
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	root.write(&b, 0)
	return b.Bytes()
}

// roomy is enough for a document of a few lines.
const roomy = 16 << 10

func (n *Node) write(b *bytes.Buffer, depth int) {
	indent(b, depth)
	b.WriteByte('<')
	b.WriteString(n.name)
	for _, a := range n.attributes {
		b.WriteByte(' ')
		b.WriteString(a.name)
		b.WriteString(`="`)
		escape(b, a.value)
		b.WriteByte('"')
	}
	switch {
	case len(n.children) > 0:
		b.WriteString(">\n")
		for _, c := range n.children {
			c.write(b, depth+1)
		}
		indent(b, depth)
	case n.text == "":
		b.WriteString("/>\n")
		return
	default:
		b.WriteByte('>')
		escape(b, n.text)
	}
	b.WriteString("</")
	b.WriteString(n.name)
	b.WriteString(">\n")
}

func indent(b *bytes.Buffer, depth int) {
	for range depth {
		b.WriteString("  ")
	}
}

// escape writes a text. The buffer never fails.
func escape(b *bytes.Buffer, text string) {
	if isPlain(text) {
		b.WriteString(text)
		return
	}
	_ = xml.EscapeText(b, []byte(text))
}

// isPlain reports whether a text is written as it is, as most are.
func isPlain(text string) bool {
	for n := range len(text) {
		switch c := text[n]; {
		case c < ' ', c > '~', c == '<', c == '>', c == '&', c == '"', c == '\'':
			return false
		}
	}
	return true
}
