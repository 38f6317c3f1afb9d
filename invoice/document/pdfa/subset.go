package pdfa

import (
	"encoding/binary"
	"maps"
	"slices"
)

// A subset is what a document needs of a font: a glyph for each character that it shows, numbered from 1 in the order in which they
// first stood on a page. Characters that share a glyph have one each, so that text that is copied out of the document is what it was.
type subset struct {
	font    *Font
	key     string // its name in a page's resources
	numbers map[rune]int
	order   []rune
}

// number returns the glyph of a character in the document.
func (s *subset) number(r rune) int {
	n, known := s.numbers[r]
	if !known {
		s.order = append(s.order, r)
		n = len(s.order)
		s.numbers[r] = n
	}
	return n
}

// Flags of a composite glyph.
const (
	wordArguments  = 0x0001
	hasScale       = 0x0008
	moreComponents = 0x0020
	hasTwoScales   = 0x0040
	hasFourScales  = 0x0080
)

// file returns the font with the glyphs of the subset alone.
func (s *subset) file() []byte {
	f := s.font
	glyphs := []uint16{0}
	for _, r := range s.order {
		glyphs = append(glyphs, f.glyphs[r])
	}
	var outlines, loca, metrics []byte
	parts := make(map[uint16]int) // what composites are made of → its number in the subset
	for n := 0; n < len(glyphs); n++ {
		outline := slices.Clone(f.outlines[f.offsets[glyphs[n]]:f.offsets[glyphs[n]+1]])
		for _, at := range components(outline) {
			part := binary.BigEndian.Uint16(outline[at:])
			if int(part) >= len(f.advances) {
				part = 0
			}
			if _, known := parts[part]; !known {
				parts[part] = len(glyphs)
				glyphs = append(glyphs, part)
			}
			binary.BigEndian.PutUint16(outline[at:], uint16(parts[part]))
		}
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(outlines)))
		outlines = append(outlines, outline...)
		for len(outlines)%4 != 0 {
			outlines = append(outlines, 0)
		}
		metrics = binary.BigEndian.AppendUint16(metrics, f.advances[glyphs[n]])
		var side uint16
		if len(outline) >= 4 {
			side = binary.BigEndian.Uint16(outline[2:]) // the left edge
		}
		metrics = binary.BigEndian.AppendUint16(metrics, side)
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(outlines)))
	head, hhea, maxp := slices.Clone(f.head[:54]), slices.Clone(f.hhea[:36]), slices.Clone(f.maxp)
	binary.BigEndian.PutUint32(head[8:], 0)
	binary.BigEndian.PutUint16(head[50:], 1) // loca has 32 bits
	binary.BigEndian.PutUint16(hhea[34:], uint16(len(glyphs)))
	binary.BigEndian.PutUint16(maxp[4:], uint16(len(glyphs)))
	all := tables{"head": head, "hhea": hhea, "maxp": maxp, "hmtx": metrics, "loca": loca, "glyf": outlines}
	maps.Copy(all, f.programs)
	return all.file()
}

// components returns where in a composite glyph the numbers of its parts are.
func components(outline []byte) (at []int) {
	if i16(outline, 0) >= 0 {
		return nil
	}
	for next := 10; next+4 <= len(outline); {
		flags := u16(outline, next)
		at = append(at, next+2)
		next += 6
		if flags&wordArguments != 0 {
			next += 2
		}
		switch {
		case flags&hasScale != 0:
			next += 2
		case flags&hasTwoScales != 0:
			next += 4
		case flags&hasFourScales != 0:
			next += 8
		}
		if flags&moreComponents == 0 {
			break
		}
	}
	return at
}

// file returns the tables as a TrueType file.
func (t tables) file() []byte {
	tags := slices.Sorted(maps.Keys(t))
	power, log := 1, 0
	for power*2 <= len(tags) {
		power, log = power*2, log+1
	}
	b := []byte{0, 1, 0, 0}
	for _, n := range []int{len(tags), 16 * power, log, 16*len(tags) - 16*power} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	offset := 12 + 16*len(tags)
	head := 0
	for _, tag := range tags {
		if tag == "head" {
			head = offset
		}
		b = append(b, tag...)
		for _, n := range []uint32{sum(t[tag]), uint32(offset), uint32(len(t[tag]))} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		offset += (len(t[tag]) + 3) &^ 3
	}
	for _, tag := range tags {
		b = append(b, t[tag]...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	binary.BigEndian.PutUint32(b[head+8:], 0xb1b0afba-sum(b))
	return b
}

// sum is TrueType's check sum.
func sum(b []byte) (total uint32) {
	for ; len(b) >= 4; b = b[4:] {
		total += binary.BigEndian.Uint32(b)
	}
	var rest [4]byte
	copy(rest[:], b)
	return total + binary.BigEndian.Uint32(rest[:])
}
