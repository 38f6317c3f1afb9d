package pdfa

import (
	"crypto/sha256"
	"fmt"
)

// writeFont writes a font with the glyphs that the document shows, and returns its object.
func (d *Document) writeFont(s *subset) int {
	w, f := d.w, s.font
	object, descendant, descriptor, file, unicode := w.reserve(), w.reserve(), w.reserve(), w.reserve(), w.reserve()
	data := s.file()
	base := name(prefix(data) + "+" + f.name)
	w.stream(file, data, d.z, "Length1", len(data))
	w.stream(unicode, s.toUnicode(), d.z)
	flags := 4 // symbolic: it has an encoding of its own
	if f.fixed {
		flags |= 1
	}
	if f.italicAngle != 0 {
		flags |= 64
	}
	w.object(descriptor, dict("Type", name("FontDescriptor"), "FontName", base, "Flags", flags,
		"FontBBox", array{f.perMille(f.box[0]), f.perMille(f.box[1]), f.perMille(f.box[2]), f.perMille(f.box[3])},
		"ItalicAngle", f.italicAngle, "Ascent", f.perMille(f.ascent), "Descent", f.perMille(f.descent),
		"CapHeight", f.perMille(f.capHeight), "StemV", 80, "FontFile2", ref(file)))
	widths := make(array, len(s.order))
	for n, r := range s.order {
		widths[n] = float64(f.advances[f.glyphs[r]]) * 1000 / float64(f.unitsPerEm)
	}
	w.object(descendant, dict("Type", name("Font"), "Subtype", name("CIDFontType2"), "BaseFont", base,
		"CIDSystemInfo", dict("Registry", text("Adobe"), "Ordering", text("Identity"), "Supplement", 0),
		"FontDescriptor", ref(descriptor), "CIDToGIDMap", name("Identity"),
		"DW", float64(f.advances[0])*1000/float64(f.unitsPerEm), "W", array{1, widths}))
	w.object(object, dict("Type", name("Font"), "Subtype", name("Type0"), "BaseFont", base, "Encoding", name("Identity-H"),
		"DescendantFonts", array{ref(descendant)}, "ToUnicode", ref(unicode)))
	return object
}

// prefix returns the six letters that tell subsets of a font apart.
func prefix(data []byte) string {
	hash := sha256.Sum256(data)
	letters := make([]byte, 6)
	for n := range letters {
		letters[n] = 'A' + hash[n]%26
	}
	return string(letters)
}

// toUnicode returns the CMap by which a reader finds the characters of glyphs.
func (s *subset) toUnicode() []byte {
	b := []byte(`/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
`)
	const most = 100 // in one block
	for from := 0; from < len(s.order); from += most {
		some := s.order[from:min(from+most, len(s.order))]
		b = fmt.Appendf(b, "%d beginbfchar\n", len(some))
		for n, r := range some {
			b = fmt.Appendf(b, "<%04X> <", from+n+1)
			b = append(appendUTF16(b, string(r)), ">\n"...)
		}
		b = append(b, "endbfchar\n"...)
	}
	return append(b, "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"...)
}
