package fields

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// shownName is the number of bytes that are quoted of a name chosen by the sender.
const shownName = 64

// Quoted makes a name chosen by the sender fit for a field's path: short, printable, in one line.
func Quoted(name string) string {
	plain := name != "" && len(name) <= shownName && strings.Trim(name, nameCharset) == ""
	if plain {
		return name
	}
	if len(name) <= shownName {
		return strconv.Quote(name)
	}
	cut := shownName
	for cut > shownName-utf8.UTFMax && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return strconv.Quote(name[:cut]) + "…"
}

// nameCharset holds the characters of most field names.
const nameCharset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// DidYouMean returns a half sentence that names the known name nearest to this one: ", did you mean unit_price?". It is "" where
// none is near.
func DidYouMean(name string, known []string) string {
	if len(name) > shownName {
		return ""
	}
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	best, at := 3, ""
	for _, one := range known {
		if abs(len(one)-len(name)) > 2*best {
			continue
		}
		if d := distance(plain, strings.ReplaceAll(one, "_", "")); d < best && d < len(one)/2 {
			best, at = d, one
		}
	}
	if at == "" {
		return ""
	}
	return ", did you mean " + at + "?"
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// distance returns how many letters have to be put in, taken out or changed to make one text of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
