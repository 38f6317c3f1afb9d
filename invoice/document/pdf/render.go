// Package pdf draws an invoice or a credit note as people read it: a PDF/A-3 file of A4 or Letter pages.
//
// [Render] is a pure function: the same document and options give the same bytes, within a release. A [Template] changes how the page
// looks, and a [Language] how it speaks. With the invoice's CII attached, the file is Factur-X (ZUGFeRD).
package pdf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdfa"
)

// Options say how a document is drawn. The zero value draws it in its own language, with the default template.
type Options struct {
	// Language is a BCP 47 tag, such as de or en-US. Default: the document's, and en if it has none. A language that the page doesn't
	// speak becomes en, too; [Languages] lists those that it does.
	Language string
	// Template is how the page looks. Default: [DefaultTemplate].
	Template *Template
	// Fonts are asked in this order for the characters that the built-in font doesn't have, before those of the template.
	Fonts []*pdfa.Font
	// ReplaceMissing draws a character that no font has as a question mark, and keeps the character itself for whoever copies the text or
	// has it read out. Default: such a document isn't drawn.
	ReplaceMissing bool
	// FacturX is the document's CII. Default: none is attached.
	FacturX *FacturX
	// Attachments are attached, too.
	Attachments []pdfa.File
	// Copy is printed as a mark below the title, such as "Copy of the invoice in German". Default: no mark.
	Copy string
}

// FacturX is a CII that makes a PDF one of Factur-X.
type FacturX struct {
	Level string // BASIC, EN 16931, EXTENDED, XRECHNUNG …
	XML   []byte
}

// A Rendered is a document that was drawn.
type Rendered struct {
	PDF      []byte
	Pages    int
	Language string // that it speaks
	Missing  []rune // characters that were replaced, sorted
}

// A MissingCharactersError tells which characters of a document no font has.
type MissingCharactersError struct {
	Characters []rune // sorted
}

func (e *MissingCharactersError) Error() string {
	var list strings.Builder
	const most = 20
	for n, r := range e.Characters {
		if n == most {
			fmt.Fprintf(&list, " and %d more", len(e.Characters)-most)
			break
		}
		fmt.Fprintf(&list, " %q (U+%04X)", r, r)
	}
	return "no font has the characters" + list.String() + "; add a TrueType font that has them to the template's fonts"
}

// Producer is what the file names as the program that made it. It has no version: the same document gives the same bytes.
const Producer = "invoicer"

// The profiles of Factur-X.
const (
	facturXFile    = "factur-x.xml"
	xRechnungFile  = "xrechnung.xml"
	xRechnungLevel = "XRECHNUNG"
)

// Render draws a document. It fails with a [*MissingCharactersError] if no font has one of its characters, and it never draws nothing in
// the place of one.
func Render(d *document.Document, o Options) (*Rendered, error) {
	if d == nil {
		return nil, errors.New("pdf: no document")
	}
	t := o.Template
	if t == nil {
		t = DefaultTemplate()
	} else if err := t.Check(); err != nil {
		return nil, err
	}
	wanted := o.Language
	if wanted == "" {
		wanted = d.Language
	}
	loc := newLocale(wanted)
	l, err := newLayout(d, t, &o, loc)
	if err != nil {
		return nil, err
	}
	if f := o.FacturX; f != nil {
		file := pdfa.File{Name: facturXFile, Description: "Factur-X invoice", MIMEType: "text/xml", Relationship: "Alternative", Data: f.XML}
		switch f.Level {
		case xRechnungLevel:
			file.Name = xRechnungFile
		case "MINIMUM", "BASIC WL":
			file.Relationship = "Data" // it isn't the whole invoice
		}
		l.out.Attach(file)
		l.out.SetFacturX(pdfa.FacturX{FileName: file.Name, Version: "1.0", Level: f.Level})
	}
	for _, a := range o.Attachments {
		l.out.Attach(a)
	}
	l.draw()
	missing := make([]rune, 0, len(l.missing))
	for r := range l.missing {
		missing = append(missing, r)
	}
	slices.Sort(missing)
	if len(missing) > 0 && !o.ReplaceMissing {
		return nil, &MissingCharactersError{Characters: missing}
	}
	return &Rendered{PDF: l.out.Bytes(), Pages: l.out.Pages(), Language: loc.tag.String(), Missing: missing}, nil
}

// created returns the first moment of the day of issue: the file says nothing of when it was really made.
func created(d *document.Document) time.Time {
	day, err := time.Parse(time.DateOnly, d.IssueDate)
	if err != nil {
		return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return day
}

// plain makes a text fit for a title: one line of valid UTF-8, with whole letters.
func plain(s string) string {
	s = composed(strings.ToValidUTF8(s, string(utf8.RuneError)))
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
}
