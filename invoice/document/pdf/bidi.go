package pdf

import (
	"slices"

	"golang.org/x/text/unicode/bidi"
)

// visual returns the characters of a line from left to right. It is Unicode's algorithm (UAX 9) without explicit embeddings, which a
// line of an invoice doesn't have, and without rule N0 for brackets.
func visual(s string) []rune {
	line := []rune(s)
	if !slices.ContainsFunc(line, func(r rune) bool { return r >= 0x590 && isRightToLeft(class(r)) }) {
		return line
	}
	levels := levelsOf(line)
	for n, r := range line {
		if levels[n]%2 == 1 {
			line[n] = mirrored(r)
		}
	}
	for level := slices.Max(levels); level > 0; level-- {
		for from := 0; from < len(line); from++ {
			to := from
			for to < len(line) && levels[to] >= level {
				to++
			}
			slices.Reverse(line[from:to])
			slices.Reverse(levels[from:to])
			from = max(from, to-1)
		}
	}
	return line
}

func class(r rune) bidi.Class {
	p, _ := bidi.LookupRune(r)
	return p.Class()
}

func isRightToLeft(c bidi.Class) bool { return c == bidi.R || c == bidi.AL }

// levelsOf returns the level of each character: an odd one runs from the right to the left.
func levelsOf(line []rune) []int {
	classes := make([]bidi.Class, len(line))
	for n, r := range line {
		classes[n] = class(r)
	}
	base := 0
	if n := slices.IndexFunc(classes, func(c bidi.Class) bool { return c == bidi.L || isRightToLeft(c) }); n >= 0 && isRightToLeft(classes[n]) {
		base = 1
	}
	resolveWeak(classes, base)
	resolveNeutral(classes, base)
	levels := make([]int, len(line))
	for n, c := range classes {
		switch {
		case base == 0 && c == bidi.R:
			levels[n] = 1
		case base == 0 && (c == bidi.EN || c == bidi.AN):
			levels[n] = 2
		case base == 1 && c == bidi.R:
			levels[n] = 1
		case base == 1:
			levels[n] = 2
		}
	}
	return levels
}

// resolveWeak is W1 to W7: numbers with what belongs to them, and numbers among letters from the left to the right, become one kind.
func resolveWeak(classes []bidi.Class, base int) {
	strong := bidi.L
	if base == 1 {
		strong = bidi.R
	}
	first := strong
	previous := strong
	arabic := false
	for n, c := range classes { // W1, W2, W3
		switch c { //nolint:exhaustive // all others stay as they are
		case bidi.NSM:
			classes[n] = previous
		case bidi.L, bidi.R, bidi.AL:
			arabic = c == bidi.AL
			if arabic {
				classes[n] = bidi.R
			}
		case bidi.EN:
			if arabic {
				classes[n] = bidi.AN
			}
		}
		previous = classes[n]
	}
	for n := 1; n+1 < len(classes); n++ { // W4
		a, c, b := classes[n-1], classes[n], classes[n+1]
		if a == b && (c == bidi.CS && (a == bidi.EN || a == bidi.AN) || c == bidi.ES && a == bidi.EN) {
			classes[n] = a
		}
	}
	for from := 0; from < len(classes); from++ { // W5
		to := from
		for to < len(classes) && classes[to] == bidi.ET {
			to++
		}
		if to > from && (from > 0 && classes[from-1] == bidi.EN || to < len(classes) && classes[to] == bidi.EN) {
			for n := from; n < to; n++ {
				classes[n] = bidi.EN
			}
		}
		from = max(from, to-1)
	}
	strong = first
	for n, c := range classes { // W6, W7
		switch c {
		case bidi.L, bidi.R:
			strong = c
		case bidi.EN:
			if strong == bidi.L {
				classes[n] = bidi.L
			}
		case bidi.AN:
		default:
			classes[n] = bidi.ON
		}
	}
}

// resolveNeutral is N1 and N2: what stands between two of a direction has it, and all else has the line's.
func resolveNeutral(classes []bidi.Class, base int) {
	direction := func(n int) bidi.Class {
		if n < 0 || n >= len(classes) {
			return map[int]bidi.Class{0: bidi.L, 1: bidi.R}[base]
		}
		if classes[n] == bidi.L {
			return bidi.L
		}
		return bidi.R // numbers count as such
	}
	for from := 0; from < len(classes); from++ {
		to := from
		for to < len(classes) && classes[to] == bidi.ON {
			to++
		}
		if to == from {
			continue
		}
		c := direction(-1)
		if direction(from-1) == direction(to) {
			c = direction(to)
		}
		for n := from; n < to; n++ {
			classes[n] = c
		}
		from = to - 1
	}
}

// mirrored returns the other one of a pair of brackets.
func mirrored(r rune) rune {
	const pairs = "()[]{}<>«»‹›"
	all := []rune(pairs)
	if n := slices.Index(all, r); n >= 0 {
		return all[n^1]
	}
	return r
}
