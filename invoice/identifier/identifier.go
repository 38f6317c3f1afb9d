// Package identifier says what the ids of transactions and the keys of jobs may be: any printable text, in one spelling.
package identifier

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Problem returns what is wrong with an identifier, to be read after the name of its field, and "" if nothing is. It doesn't quote it.
//
// An identifier has 1 to most code points, all of which are printable by a pinned table of Unicode 13.0, is in the normalization form
// NFC, so that what looks alike is the same, and neither begins nor ends with a blank.
func Problem(s string, most int) string {
	if isPlain(s) {
		if s == "" || len(s) > most {
			return length(most)
		}
		return blanks(s)
	}
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case utf8.RuneCountInString(s) > most:
		return length(most)
	}
	for _, r := range s {
		if !unicode.Is(table, r) {
			return "must not have " + kind(r)
		}
	}
	if problem := blanks(s); problem != "" {
		return problem
	}
	if !norm.NFC.IsNormalString(s) {
		return "must be in Unicode's normalization form NFC: normalize it before you send it"
	}
	return ""
}

func length(most int) string { return "must have 1 to " + strconv.Itoa(most) + " characters" }

// isPlain reports whether the text is printable ASCII, as most identifiers are.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func blanks(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	if unicode.Is(unicode.Zs, first) || unicode.Is(unicode.Zs, last) {
		return "must not begin or end with a blank"
	}
	return ""
}

// kind says what is not allowed about a character.
func kind(r rune) string {
	switch {
	case r == '\u00a0':
		return "a no-break space (U+00A0): send a plain blank"
	case unicode.Is(unicode.Cc, r):
		return "control characters, such as a tab or the end of a line"
	case unicode.Is(unicode.Cf, r):
		return "invisible format characters, such as U+200B or U+FEFF"
	case unicode.In(r, unicode.Zl, unicode.Zp):
		return "separators of lines or paragraphs"
	case unicode.Is(unicode.Co, r):
		return "characters for private use"
	default:
		return "characters that Unicode 13.0 doesn't know"
	}
}

// Narrow reports whether an identifier is one that each release takes: 1 to most characters of A-Z a-z 0-9 . _ : / @ + = -.
func Narrow(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if c := s[i]; ('A' > c || c > 'Z') && ('a' > c || c > 'z') && ('0' > c || c > '9') && strings.IndexByte("._:/@+=-", c) < 0 {
			return false
		}
	}
	return true
}

// NarrowProblem says what [Narrow] asks for, to be read after the name of a field.
func NarrowProblem(most int) string {
	return "must be 1 to " + strconv.Itoa(most) + " characters of A-Z a-z 0-9 . _ : / @ + = -"
}

//nolint:gochecknoglobals // a constant
var table = parse(printable)

// Ranges returns the code points that an identifier may have, as pairs of the first and the last of a range.
func Ranges() [][2]rune {
	var all [][2]rune
	for _, one := range table.R16 {
		all = append(all, [2]rune{rune(one.Lo), rune(one.Hi)})
	}
	for _, one := range table.R32 {
		all = append(all, [2]rune{rune(one.Lo), rune(one.Hi)})
	}
	return all
}

func parse(ranges string) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for one := range strings.FieldsSeq(ranges) {
		first, last, more := strings.Cut(one, "-")
		if !more {
			last = first
		}
		lo, err := strconv.ParseUint(first, 16, 32)
		if err != nil {
			panic(err) //nolint:forbidigo // a mistake in the program's own text
		}
		hi, err := strconv.ParseUint(last, 16, 32)
		if err != nil {
			panic(err) //nolint:forbidigo // a mistake in the program's own text
		}
		if hi <= 0xFFFF {
			t.R16 = append(t.R16, unicode.Range16{Lo: uint16(lo), Hi: uint16(hi), Stride: 1})
		} else {
			t.R32 = append(t.R32, unicode.Range32{Lo: uint32(lo), Hi: uint32(hi), Stride: 1})
		}
		if hi <= unicode.MaxLatin1 {
			t.LatinOffset++
		}
	}
	return t
}
