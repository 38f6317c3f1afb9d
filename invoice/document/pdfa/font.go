package pdfa

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// A Font is a TrueType font that was read. It may be used by many documents at once.
type Font struct {
	name                       string // its PostScript name
	unitsPerEm                 int
	ascent, descent, capHeight int
	box                        [4]int
	italicAngle                float64
	fixed                      bool

	glyphs   map[rune]uint16
	advances []uint16
	offsets  []uint32 // of glyph n in outlines: [n] to [n+1]
	outlines []byte
	programs map[string][]byte // cvt, fpgm and prep
	head     []byte
	hhea     []byte
	maxp     []byte
}

// tables are those of a font file, by tag.
type tables map[string][]byte

// u16 reads a number of a table; beyond its end is 0.
func u16(b []byte, at int) int {
	if at < 0 || at+2 > len(b) {
		return 0
	}
	return int(binary.BigEndian.Uint16(b[at:]))
}

func i16(b []byte, at int) int { return int(int16(u16(b, at))) }

func u32(b []byte, at int) int {
	if at < 0 || at+4 > len(b) {
		return 0
	}
	return int(binary.BigEndian.Uint32(b[at:]))
}

// ParseFont reads a TrueType font, or the first of a TrueType collection. It refuses fonts with PostScript outlines, and those whose
// maker forbids that they are embedded in a document.
func ParseFont(data []byte) (*Font, error) {
	t, err := readTables(data)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	f := &Font{glyphs: make(map[rune]uint16), programs: make(map[string][]byte), head: t["head"], hhea: t["hhea"], maxp: t["maxp"], outlines: t["glyf"]}
	if len(f.head) < 54 || len(f.hhea) < 36 || len(f.maxp) < 6 {
		return nil, errors.New("font: the table head, hhea or maxp is too short")
	}
	if u16(t["OS/2"], 8)&0xf == 2 {
		return nil, errors.New("font: its maker doesn't allow that it is embedded in documents")
	}
	f.unitsPerEm = u16(f.head, 18)
	if f.unitsPerEm < 16 {
		return nil, fmt.Errorf("font: %d units per em", f.unitsPerEm)
	}
	for n := range f.box {
		f.box[n] = i16(f.head, 36+2*n)
	}
	f.ascent, f.descent = i16(f.hhea, 4), i16(f.hhea, 6)
	f.capHeight = f.ascent * 7 / 10
	if os2 := t["OS/2"]; u16(os2, 0) >= 2 && i16(os2, 88) > 0 {
		f.capHeight = i16(os2, 88)
	}
	f.italicAngle, f.fixed = float64(i16(t["post"], 4)), u32(t["post"], 12) != 0
	f.name = postScriptName(t["name"])
	for _, tag := range []string{"cvt ", "fpgm", "prep"} {
		if len(t[tag]) > 0 {
			f.programs[tag] = t[tag]
		}
	}
	if err := f.readOutlines(t); err != nil {
		return nil, fmt.Errorf("font %s: %w", f.name, err)
	}
	if f.readCharacters(t["cmap"]); len(f.glyphs) == 0 {
		return nil, fmt.Errorf("font %s: it has no Unicode characters", f.name)
	}
	return f, nil
}

func readTables(data []byte) (tables, error) {
	at := 0
	if len(data) > 16 && string(data[:4]) == "ttcf" {
		at = u32(data, 12)
	}
	if at+12 > len(data) {
		return nil, errors.New("no TrueType font")
	}
	switch string(data[at : at+4]) {
	case "\x00\x01\x00\x00", "true":
	case "OTTO":
		return nil, errors.New("it has PostScript outlines; give one with TrueType outlines, a .ttf")
	default:
		return nil, errors.New("no TrueType font")
	}
	t := make(tables)
	for n := range u16(data, at+4) {
		entry := at + 12 + 16*n
		if entry+16 > len(data) {
			return nil, errors.New("it ends in the list of its tables")
		}
		from, length := u32(data, entry+8), u32(data, entry+12)
		if from > len(data) || length > len(data)-from {
			return nil, fmt.Errorf("it ends before its table %q", data[entry:entry+4])
		}
		t[string(data[entry:entry+4])] = data[from : from+length]
	}
	return t, nil
}

func (f *Font) readOutlines(t tables) error {
	count := u16(f.maxp, 4)
	loca, metrics, long := t["loca"], t["hmtx"], i16(f.head, 50) == 1
	f.offsets = make([]uint32, count+1)
	for n := range f.offsets {
		offset := 2 * u16(loca, 2*n)
		if long {
			offset = u32(loca, 4*n)
		}
		if offset > len(f.outlines) || n > 0 && offset < int(f.offsets[n-1]) {
			return errors.New("its table loca points outside of its outlines")
		}
		f.offsets[n] = uint32(offset)
	}
	measured := u16(f.hhea, 34)
	if count == 0 || measured == 0 || measured > count || len(metrics) < 4*measured {
		return errors.New("its widths are missing")
	}
	f.advances = make([]uint16, count)
	for n := range f.advances {
		f.advances[n] = uint16(u16(metrics, 4*min(n, measured-1)))
	}
	return nil
}

// readCharacters reads which glyph shows a character, from the widest Unicode table that there is.
func (f *Font) readCharacters(cmap []byte) {
	best, rank := -1, 0
	for n := range u16(cmap, 2) {
		entry := 4 + 8*n
		platform, encoding, offset := u16(cmap, entry), u16(cmap, entry+2), u32(cmap, entry+4)
		r := 0
		switch format := u16(cmap, offset); {
		case platform != 0 && platform != 3:
		case format == 12:
			r = 2
		case format == 4 && (platform == 0 || encoding == 1):
			r = 1
		}
		if r > rank {
			best, rank = offset, r
		}
	}
	switch rank {
	case 1:
		f.readFormat4(cmap[best:])
	case 2:
		f.readFormat12(cmap[best:])
	}
}

func (f *Font) add(r rune, glyph int) {
	if glyph > 0 && glyph < len(f.advances) && r >= ' ' && r <= 0x10ffff {
		f.glyphs[r] = uint16(glyph)
	}
}

func (f *Font) readFormat4(b []byte) {
	segments := u16(b, 6) / 2
	for s := range segments {
		end, start := u16(b, 14+2*s), u16(b, 16+2*segments+2*s)
		delta, at := u16(b, 16+4*segments+2*s), 16+6*segments+2*s
		offset := u16(b, at)
		for c := start; c <= end && c < 0xffff; c++ {
			if offset == 0 {
				f.add(rune(c), (c+delta)&0xffff)
			} else if glyph := u16(b, at+offset+2*(c-start)); glyph != 0 {
				f.add(rune(c), (glyph+delta)&0xffff)
			}
		}
	}
}

func (f *Font) readFormat12(b []byte) {
	for n := range min(u32(b, 12), len(b)/12) {
		start, end, glyph := u32(b, 16+12*n), u32(b, 20+12*n), u32(b, 24+12*n)
		if end > 0x10ffff {
			continue
		}
		for c := start; c <= end && glyph+c-start < len(f.advances); c++ {
			f.add(rune(c), glyph+c-start)
		}
	}
}

// postScriptName returns entry 6 of the table name, with nothing but letters, digits and hyphens.
func postScriptName(b []byte) string {
	texts := u16(b, 4)
	for n := range u16(b, 2) {
		entry := 6 + 12*n
		from, length := texts+u16(b, entry+10), u16(b, entry+8)
		if u16(b, entry+6) != 6 || from+length > len(b) {
			continue
		}
		text := string(b[from : from+length])
		if u16(b, entry) != 1 {
			var units []uint16
			for at := from; at+2 <= from+length; at += 2 {
				units = append(units, uint16(u16(b, at)))
			}
			text = string(utf16.Decode(units))
		}
		text = strings.Map(func(r rune) rune {
			if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
				return r
			}
			return -1
		}, text)
		if text != "" {
			return text[:min(len(text), 60)]
		}
	}
	return "Unnamed"
}

// Name returns the font's PostScript name.
func (f *Font) Name() string { return f.name }

// Has reports whether the font shows a character.
func (f *Font) Has(r rune) bool {
	_, has := f.glyphs[r]
	return has
}

// Advance returns how far a character reaches, where 1 is the font's size. It is 0 for one that the font doesn't have.
func (f *Font) Advance(r rune) float64 {
	glyph, has := f.glyphs[r]
	if !has {
		return 0
	}
	return float64(f.advances[glyph]) / float64(f.unitsPerEm)
}

// perMille turns a measure of the font into thousandths of its size.
func (f *Font) perMille(units int) int { return units * 1000 / f.unitsPerEm }
