package check

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"invoicer/invoice/document/embedded"
	"invoicer/invoice/document/node"
)

// names are those of the XML in a PDF, in the order in which they are looked for.
func names() []string { return []string{"factur-x.xml", "xrechnung.xml", "zugferd-invoice.xml"} }

// mostTried is how many of the files in a PDF are read to see whether they are the invoice.
const mostTried = 8

// openPDF reads the invoice that is embedded in a PDF, and compares what the PDF's metadata says of it.
func (r *reading) openPDF(in io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(in, embedded.MostBytes+1))
	if err != nil {
		return err
	}
	pdf, err := embedded.Read(content)
	if err != nil {
		return err
	}
	candidates := candidatesOf(pdf.Files)
	if len(candidates) == 0 {
		var others []string
		for n := range pdf.Files {
			others = append(others, shortened(pdf.Files[n].Name))
		}
		if len(others) == 0 {
			return errors.New("the PDF has no invoice in it, and no other file: it is a page alone, for people")
		}
		return fmt.Errorf("the PDF has no invoice in it, but only %s", strings.Join(others[:min(len(others), 5)], ", "))
	}
	var first error
	tried := 0 // bytes
	for n := range candidates[:min(len(candidates), mostTried)] {
		file := candidates[n]
		xml, err := file.Content()
		if tried += len(xml); tried > node.MostBytes {
			err = fmt.Errorf("the files that may be the invoice are bigger than %d MiB", node.MostBytes>>20)
		}
		if err == nil {
			err = r.openXML(bytes.NewReader(xml))
		}
		if err == nil {
			r.Attachment = file.Name
			r.describe(pdf, candidates, &file)
			return nil
		}
		if first == nil {
			first = fmt.Errorf("%s in the PDF: %w", shortened(file.Name), err)
		}
	}
	return first
}

// candidatesOf returns the files that may be the invoice, the likeliest first.
func candidatesOf(files []embedded.File) (list []embedded.File) {
	rank := func(f embedded.File) int {
		if n := slices.Index(names(), strings.ToLower(f.Name)); n >= 0 {
			return n
		}
		return len(names())
	}
	meant := func(f embedded.File) int {
		return -slices.Index([]string{"Data", "Source", "Alternative"}, f.Relationship)
	}
	for _, f := range files {
		if rank(f) < len(names()) || strings.HasSuffix(strings.ToLower(f.Name), ".xml") || strings.HasSuffix(f.Type, "/xml") {
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b embedded.File) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(meant(a), meant(b)))
	})
	return list
}

const onPDF = "PDF"

// describe compares what the PDF says of the invoice with the invoice.
func (r *reading) describe(pdf *embedded.PDF, candidates []embedded.File, file *embedded.File) {
	if pdf.Repaired {
		r.note("", "", onPDF, "its table of objects is broken: they were looked for")
	}
	var known []string
	for n := range candidates {
		if slices.Contains(names(), strings.ToLower(candidates[n].Name)) {
			known = append(known, candidates[n].Name)
		}
	}
	if len(known) > 1 {
		r.note("", "", onPDF, fmt.Sprintf("it has %s, of which %s was read", strings.Join(known[:min(len(known), mostTried)], " and "), file.Name))
	}
	if len(known) == 0 {
		r.note("", "", onPDF, fmt.Sprintf("the invoice is called %s, where Factur-X wants factur-x.xml or xrechnung.xml", shortened(file.Name)))
	}
	if !slices.Contains([]string{"Alternative", "Source", "Data"}, file.Relationship) {
		r.note("", "", onPDF, fmt.Sprintf("%s has the relationship %q, where Factur-X wants Alternative, Source or Data", shortened(file.Name), shortened(file.Relationship)))
	}
	says, err := readMetadata(pdf.Metadata)
	switch {
	case err != nil:
		r.find("XMP", "", onPDF, fmt.Sprintf("its metadata can't be read: %v", err))
		return
	case says.level == "" && says.name == "":
		r.find("XMP", "", onPDF, "its metadata doesn't say that an invoice is in it")
		return
	}
	if says.name != file.Name {
		r.find("XMP", "", onPDF, fmt.Sprintf("its metadata says that the invoice is called %q, and it is called %q", shortened(says.name), shortened(file.Name)))
	}
	if level := r.Claim.Level; level != "" && plain(says.level) != plain(level) {
		message := fmt.Sprintf("its metadata says that the invoice is of the level %q, and the invoice that it is %s", shortened(says.level), r.Claim.Name)
		if level == "XRECHNUNG" && plain(says.level) == plain("EN 16931") { // which XRechnung is, too; older ones had no level of their own
			r.note("XMP", "BT-24", onPDF, message)
		} else {
			r.find("XMP", "BT-24", onPDF, message)
		}
	}
	if says.part != "3" {
		r.note("XMP", "", onPDF, "its metadata doesn't say that it is a PDF/A-3, as Factur-X wants it")
	}
}

// plain spells a level without what differs between versions: EN 16931, EN16931 and EN_16931.
func plain(level string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(level))
}

// A metadata is what XMP says of the invoice in a PDF.
type metadata struct{ name, level, part string }

// readMetadata reads XMP, where a field is an element or an attribute.
func readMetadata(xmp []byte) (m metadata, err error) {
	if len(xmp) == 0 {
		return m, nil
	}
	if len(xmp) > node.MostBytes/16 {
		return m, errors.New("it is too big")
	}
	set := func(name xml.Name, value string) {
		invoice := strings.HasPrefix(name.Space, "urn:factur-x:pdfa:") || strings.HasPrefix(name.Space, "urn:zugferd:pdfa:")
		switch {
		case invoice && name.Local == "DocumentFileName":
			m.name = strings.TrimSpace(value)
		case invoice && name.Local == "ConformanceLevel":
			m.level = strings.TrimSpace(value)
		case name.Space == "http://www.aiim.org/pdfa/ns/id/" && name.Local == "part":
			m.part = strings.TrimSpace(value)
		}
	}
	d := xml.NewDecoder(bytes.NewReader(xmp))
	var text strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return m, nil
		} else if err != nil {
			return m, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			text.Reset()
			for _, a := range token.Attr {
				set(a.Name, a.Value)
			}
		case xml.CharData:
			text.Write(token)
		case xml.EndElement:
			set(token.Name, text.String())
			text.Reset()
		}
	}
}
