// Package embedded finds the files that are embedded in a PDF, such as the XML of Factur-X, and what its metadata says. It reads PDFs of any
// program: tables and streams of references, object streams, incremental updates. Where the references are broken, it looks for the objects.
//
// A small reader of its own, since what it is given comes from outside: time and memory are bounded by the constants below whatever a file says,
// and it takes no part in drawing. What a file keeps small by letting many parts stand on the same bytes is counted each time that it is read.
package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Bounds of what [Read] takes.
const (
	MostBytes    = 64 << 20  // of a PDF
	MostStream   = 48 << 20  // of a stream, as it stands and as each of its filters makes it
	MostFiles    = 4096      // that are found
	mostTotal    = 256 << 20 // of all streams, what stands there and what is made of it
	each         = 4 << 10   // that a stream is charged with beside its bytes
	mostDepth    = 40
	mostItems    = 1 << 19   // objects
	mostParts    = 8 << 20   // that objects are made of
	mostHeld     = 192 << 20 // of memory, about, that objects take
	mostName     = 1024      // bytes of the name of a file
	mostMetadata = 4 << 20
)

// Errors of [Read].
var (
	ErrEncrypted = errors.New("the PDF is encrypted, which PDF/A and so Factur-X forbid: save it without a password")
	errDamaged   = errors.New("the PDF is damaged: nothing in it says where its parts are")
)

// A PDF is what a file has beside its pages.
type PDF struct {
	Files    []File
	Metadata []byte // XMP, of which the first 4 MiB are read; nil if there is none
	Repaired bool   // whether the references were broken, so that the objects were looked for
}

// A File is embedded in a PDF.
type File struct {
	Name         string
	Relationship string // to the PDF, such as Alternative; "" if it isn't stated
	Type         string // of MIME, "" if it isn't stated
	content      func() ([]byte, error)
}

// Content returns the file's bytes. It fails if they are beyond the bounds, or compressed in a way that isn't known.
func (f *File) Content() ([]byte, error) { return f.content() }

// IsPDF reports whether a file that begins like this is a PDF.
func IsPDF(first []byte) bool { return start(first) >= 0 }

// start is where a PDF begins: some have a few bytes before.
func start(first []byte) int {
	const within = 1024
	return bytes.Index(first[:min(len(first), within)], []byte("%PDF-"))
}

// Read reads a PDF. It keeps content. It fails with [ErrEncrypted], or if nothing can be found in the file.
func Read(content []byte) (*PDF, error) {
	if len(content) > MostBytes {
		return nil, fmt.Errorf("the PDF is bigger than %d MiB", MostBytes>>20)
	}
	at := start(content)
	if at < 0 {
		return nil, errors.New("it is no PDF")
	}
	f := newFile(content[at:])
	f.references()
	root := f.dictionary(f.trailer["Root"])
	if root == nil || f.broken {
		f.repair()
		root = f.dictionary(f.trailer["Root"])
	}
	if f.trailer["Encrypt"] != nil {
		return nil, ErrEncrypted
	}
	if root == nil {
		return nil, f.failure(errDamaged)
	}
	pdf := f.read(root)
	if len(pdf.Files) == 0 && f.broken && !f.repaired { // what was looked for isn't where the references say
		f.repair()
		if root = f.dictionary(f.trailer["Root"]); root != nil {
			pdf = f.read(root)
		}
	}
	if f.exhausted() {
		return nil, f.failure(nil)
	}
	pdf.Repaired = f.repaired
	f.forget() // the files need little of it
	return pdf, nil
}

func (f *file) read(root dict) *PDF {
	pdf := &PDF{}
	if s, ok := f.value(root["Metadata"]).(*stream); ok {
		metadata, _ := f.decode(s) // nil says that there is none that can be read
		pdf.Metadata = bytes.Clone(metadata[:min(len(metadata), mostMetadata)])
	}
	c := &collector{file: f, pdf: pdf, seen: make(map[ref]bool)}
	switch af := f.value(root["AF"]).(type) {
	case array:
		for _, one := range af {
			c.add(one)
		}
	case dict:
		c.add(root["AF"])
	}
	c.tree(f.dictionary(root["Names"])["EmbeddedFiles"], 0)
	if len(pdf.Files) == 0 {
		for _, number := range f.numbers() { // nothing leads to the files
			c.add(ref{number, 0})
		}
	}
	return pdf
}

// A collector collects the files that are embedded, each once.
type collector struct {
	*file

	pdf   *PDF
	seen  map[ref]bool
	items int
}

// tree walks through a tree of names.
func (c *collector) tree(of any, depth int) {
	if depth > mostDepth {
		return
	}
	if r, ok := of.(ref); ok {
		if c.seen[r] {
			return
		}
		c.seen[r] = true
	}
	node := c.dictionary(of)
	names, _ := c.value(node["Names"]).(array)
	for n := 1; n < len(names) && c.items <= mostItems; n += 2 {
		c.add(names[n])
	}
	kids, _ := c.value(node["Kids"]).(array)
	for _, kid := range kids {
		if c.items++; c.items > mostItems {
			return
		}
		c.tree(kid, depth+1)
	}
}

// add adds the file that a file specification names.
func (c *collector) add(of any) {
	if c.items++; c.items > mostItems || len(c.pdf.Files) >= MostFiles || c.exhausted() {
		return
	}
	spec := c.dictionary(of)
	ef := c.dictionary(spec["EF"])
	for _, key := range []string{"UF", "F"} {
		s, ok := c.value(ef[key]).(*stream)
		if !ok {
			continue
		}
		if r, ok := ef[key].(ref); ok {
			if c.seen[r] {
				return
			}
			c.seen[r] = true
		}
		f, only := c.file, &stream{dict{"Filter": s.dict["Filter"], "DecodeParms": s.dict["DecodeParms"]}, s.raw}
		file := File{Name: c.text(spec["UF"]), content: func() ([]byte, error) { return f.decode(only) }}
		if file.Name == "" {
			file.Name = c.text(spec["F"])
		}
		relationship, _ := c.value(spec["AFRelationship"]).(name)
		mime, _ := c.value(s.dict["Subtype"]).(name)
		file.Relationship, file.Type = string(relationship), string(mime)
		c.pdf.Files = append(c.pdf.Files, file)
		return
	}
}

// text returns a text string, which is UTF-16 or UTF-8 if it begins so, and else nearly ISO 8859-1. Of a long one it returns the beginning: many
// files may have the same.
func (f *file) text(v any) string {
	s, _ := f.value(v).(text)
	s = s[:min(len(s), mostName)]
	switch {
	case bytes.HasPrefix(s, []byte("\xfe\xff")):
		units := make([]uint16, 0, len(s)/2)
		for n := 2; n+1 < len(s); n += 2 {
			units = append(units, uint16(s[n])<<8|uint16(s[n+1]))
		}
		return string(utf16.Decode(units))
	case bytes.HasPrefix(s, []byte("\xef\xbb\xbf")):
		return strings.ToValidUTF8(string(s[len("\xef\xbb\xbf"):]), "")
	}
	var b strings.Builder
	for _, c := range s {
		b.WriteRune(rune(c))
	}
	return b.String()
}
