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

// Names are the names of an object's members, in their order.
type Names struct {
	list []string
	at   map[string]int
}

// NewNames returns Names. No two are equal.
func NewNames(list []string) Names {
	at := make(map[string]int, len(list))
	for i, name := range list {
		at[name] = i
	}
	return Names{list, at}
}

// Len returns how many they are.
func (n *Names) Len() int { return len(n.list) }

// All returns all of them.
func (n *Names) All() []string { return n.list }

// At returns the name at an index.
func (n *Names) At(i int) string { return n.list[i] }

// Index returns the index of a name, -1 if it is none of them.
func (n *Names) Index(name []byte) int {
	if i, ok := n.at[string(name)]; ok {
		return i
	}
	return -1
}

// DidYouMean returns a half sentence that names the one nearest to this name: ", did you mean unit_price?". It is "" where none is near.
func (n *Names) DidYouMean(name string) string {
	if len(name) > shownName {
		return ""
	}
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	best, at := 3, ""
	for _, one := range n.list {
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
