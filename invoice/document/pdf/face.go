package pdf

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/text/unicode/norm"

	"invoicer/invoice/document/pdfa"
)

// goFonts reads the built-in fonts once: Latin, Greek and Cyrillic letters.
//
//nolint:gochecknoglobals // constants
var goFonts = sync.OnceValues(func() ([2]*pdfa.Font, error) {
	regular, err := pdfa.ParseFont(goregular.TTF)
	if err != nil {
		return [2]*pdfa.Font{}, err
	}
	bold, err := pdfa.ParseFont(gobold.TTF)
	return [2]*pdfa.Font{regular, bold}, err
})

// A glyph is how a character is shown.
type glyph struct {
	font    *pdfa.Font
	shown   rune
	advance float64 // of its size
	missing bool
	none    bool // it has no ink and takes no room
}

// A face is a font with others that have what it doesn't.
type face struct {
	chain  []*pdfa.Font
	ascii  [128]*glyph
	others map[rune]*glyph
}

func newFace(chain ...*pdfa.Font) *face { return &face{chain: chain, others: make(map[rune]*glyph)} }

func (f *face) glyph(r rune) *glyph {
	if r >= 0 && r < 128 {
		if f.ascii[r] == nil {
			f.ascii[r] = f.find(r)
		}
		return f.ascii[r]
	}
	g := f.others[r]
	if g == nil {
		g = f.find(r)
		f.others[r] = g
	}
	return g
}

func (f *face) find(r rune) *glyph {
	if r == '\t' {
		r = ' '
	}
	if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) {
		return &glyph{none: true}
	}
	if !needsShaping(r) {
		for _, shown := range []rune{r, standIn(r)} {
			for _, font := range f.chain {
				if font.Has(shown) {
					return &glyph{font: font, shown: shown, advance: font.Advance(shown)}
				}
			}
		}
	}
	const replacement = '?'
	return &glyph{font: f.chain[0], shown: replacement, advance: f.chain[0].Advance(replacement), missing: true}
}

// standIn returns a character that looks like one that fonts often lack.
func standIn(r rune) rune {
	switch {
	case r == 0xa0 || r == 0x202f || r >= 0x2000 && r <= 0x200a || r == 0x205f || r == 0x3000:
		return ' '
	case r == 0x2010 || r == 0x2011 || r == 0x2212:
		return '-'
	}
	return r
}

// needsShaping reports whether a character is of a script whose letters change beside others. Drawn one by one they would be wrong, so no
// font has them.
func needsShaping(r rune) bool {
	return r >= 0x0600 && unicode.In(r, unicode.Arabic, unicode.Syriac, unicode.Nko, unicode.Mongolian, unicode.Devanagari, unicode.Bengali,
		unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala,
		unicode.Tibetan, unicode.Myanmar, unicode.Khmer, unicode.Lao, unicode.Thai)
}

// width returns how wide a text is, where 1 is its size.
func (f *face) width(s string) (w float64) {
	for _, r := range composed(s) {
		w += f.glyph(r).advance
	}
	return w
}

// A piece is what is drawn at once: characters of one font.
type piece struct {
	font   *pdfa.Font
	shown  []rune
	width  float64
	actual strings.Builder // of missing characters
}

// pieces returns a line as it is drawn from left to right, and the characters in it that no font has.
func (f *face) pieces(s string) (list []*piece, missing []rune) {
	for _, r := range visual(composed(s)) {
		g := f.glyph(r)
		if g.none {
			continue
		}
		var last *piece
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		if last == nil || last.font != g.font || (last.actual.Len() > 0) != g.missing {
			last = &piece{font: g.font}
			list = append(list, last)
		}
		last.shown = append(last.shown, g.shown)
		last.width += g.advance
		if g.missing {
			last.actual.WriteRune(r)
			missing = append(missing, r)
		}
	}
	return list, missing
}

// wrap breaks a text into lines of at most a width, where 1 is the text's size: at its own line breaks, at blanks, between ideographs, and
// anywhere where nothing else helps.
func (f *face) wrap(s string, width float64) (lines []string) {
	for paragraph := range strings.SplitSeq(normal(s), "\n") {
		lines = f.wrapParagraph(lines, strings.TrimRight(paragraph, " "), width)
	}
	return lines
}

// composed makes one character of a letter and its accents: fonts have the letter with them, and seldom the accents alone.
func composed(s string) string { return norm.NFC.String(s) }

// normal makes all line breaks the same, letters whole, and invalid bytes visible.
func normal(s string) string {
	s = composed(strings.ToValidUTF8(s, "\ufffd"))
	if !strings.ContainsAny(s, "\r\v\f\u2028\u2029\u0085") {
		return s
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n", "\v", "\n", "\f", "\n").Replace(s)
}

func (f *face) wrapParagraph(lines []string, s string, width float64) []string {
	var (
		start, last     int     // of the line; behind the last place where it may break
		reached, before float64 // the width up to here; up to last
		previous        rune
	)
	for at, r := range s {
		if at > start && mayBreak(previous, r) {
			last, before = at, reached
		}
		advance := f.glyph(r).advance
		for reached+advance > width && r != ' ' && at > start {
			if last <= start { // a word that is wider than the line
				last, before = at, reached
			}
			lines = append(lines, strings.TrimRight(s[start:last], " "))
			start, reached = last, reached-before
		}
		reached += advance
		previous = r
	}
	return append(lines, s[start:])
}

// mayBreak reports whether a line may end between two characters.
func mayBreak(a, b rune) bool {
	switch {
	case a == ' ' || a == '\t':
		return b != ' ' && b != '\t'
	case a == '-' || a == 0x2010 || a == '\u2013' || a == '\u2014':
		return unicode.IsLetter(b)
	case isIdeograph(a) || isIdeograph(b):
		return !unicode.In(b, unicode.Po, unicode.Pe, unicode.Pf, unicode.Zs) && !unicode.In(a, unicode.Ps, unicode.Pi)
	}
	return false
}

func isIdeograph(r rune) bool {
	return r >= 0x1100 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}
