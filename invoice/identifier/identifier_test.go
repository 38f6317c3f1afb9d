package identifier_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/rangetable"

	"invoicer/invoice/identifier"
)

func TestProblem(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"536365": "", "#1030": "", "BG 1030": "", "注文-0001": "", "Zoë": "", "a　b": "", "{1}%": "", "}": "", "😀": "", "ﬁ": "",
		strings.Repeat("注", 128): "", strings.Repeat("a", 128): "",
		strings.Repeat("注", 129): "must have 1 to 128", strings.Repeat("a", 129): "must have 1 to 128", "": "must have 1 to 128",
		"Zoe\u0308": "NFC", "\u212b": "NFC", "a\u00a0b": "no-break space", "a\tb": "control", "a\x00": "control", "a\u200bb": "invisible", "\ufeffa": "invisible",
		"a\u2028b": "separators", "a\ue000": "private use", "a\U0001FAF7": "doesn't know", "a\U000E0001": "invisible", "\xff": "UTF-8", "a\u0378": "doesn't know",
		" a": "begin or end", "a ": "begin or end", "　a": "begin or end", " ": "begin or end", "a\u0085": "control", "\ufffe": "doesn't know",
	} {
		got := identifier.Problem(s, 128)
		if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// The table is what its comment says.
func TestTable(t *testing.T) {
	t.Parallel()
	assigned := rangetable.Assigned("13.0.0")
	allowed := make(map[rune]bool)
	for _, one := range identifier.Ranges() {
		for r := one[0]; r <= one[1]; r++ {
			allowed[r] = true
		}
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		want := unicode.Is(assigned, r) && r != 0xa0 && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
		if allowed[r] != want {
			t.Fatalf("%U: %t", r, allowed[r])
		}
	}
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"": false, "536365": true, "a.b_c:d/e@f+g=h-i": true, "#1": false, "a b": false, "ä": false, strings.Repeat("a", 129): false} {
		if identifier.Narrow(s, 128) != want {
			t.Errorf("%q", s)
		}
	}
}
