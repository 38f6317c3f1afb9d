package config

import (
	"fmt"
	"strings"
)

// An Error says that a configuration can't be used, and names everything that is wrong with it.
type Error struct {
	Problems []Problem // at least one
}

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// A Problem is one thing that is wrong. Its text says what to do about it and contains no secret.
type Problem struct {
	Key     string // such as lock.ttl; or the name of a variable or a file that isn't a key's
	Source  string // as in [Config].Origins; may be ""
	Message string
}

func (p Problem) String() string {
	if p.Source == "" {
		return fmt.Sprintf("%s: %s", p.Key, p.Message)
	}
	return fmt.Sprintf("%s (%s): %s", p.Key, p.Source, p.Message)
}

// hint suggests what was probably meant by an unknown name: a known name with almost the same spelling, else the key
// of that name in another section, else the names in its section. The section is the prefix of these names.
func hint(name, section string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	var namesakes, neighbours []string
	for _, k := range Keys() {
		if k.leaf() == name[strings.LastIndexByte(name, '.')+1:] && !strings.HasPrefix(k.Name, "documents.email.") { // these are called as anybody's are
			namesakes = append(namesakes, k.Name)
		}
	}
	if len(namesakes) == 1 {
		return "; did you mean " + namesakes[0] + "?"
	}
	for _, k := range known {
		if strings.HasPrefix(k, section) {
			neighbours = append(neighbours, k)
		}
	}
	if section != "" && len(neighbours) > 0 {
		return "; known here: " + strings.Join(neighbours, ", ")
	}
	return "; 'invoicer config --example' prints all keys"
}

// editDistance returns the number of letters to insert, delete or replace to turn a into b.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
		}
	}
	return rows[len(a)][len(b)]
}
