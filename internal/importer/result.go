package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"invoicer/internal/term"
	"invoicer/invoice"
)

// A Result is what became of a line, or of one copy of it.
type Result struct {
	Number   int               // of the line, or of the job, by the input's [Unit]
	Line     int               // on which a job begins that has a number of its own; else 0
	Job      *invoice.Job      // of a bad line, what [invoice.Decode] returns
	JobID    string            // "" if it isn't sent
	Problems []invoice.Problem // of a bad line
	Text     []byte            // the bad line as it was
	Cut      bool              // Text is only the beginning of the bad line, as it is too long
}

// Place names the line for people.
func (r *Result) Place() string {
	if r.Line > 0 {
		return fmt.Sprintf("job %d, line %d", r.Number, r.Line)
	}
	return fmt.Sprintf("line %d", r.Number)
}

// A PastEndError reports that the input ends before the first line to send.
type PastEndError struct {
	Unit       Unit
	From, Last int
}

func (e *PastEndError) Error() string {
	return fmt.Sprintf("there is no %s %d: the input ends with %[1]s %[3]d", e.Unit, e.From, e.Last)
}

// A UnitError reports that the input isn't counted by the unit that the first line to send was stated in.
type UnitError struct{ Unit Unit }

func (e *UnitError) Error() string { return fmt.Sprintf("the input is counted by %s", e.Unit) }

// An AlikeError reports that the input begins with bad lines that all have the same problem, without a good one.
type AlikeError struct {
	Lines   int
	Problem invoice.Problem // of the latest line
}

func (e *AlikeError) Error() string {
	return fmt.Sprintf("%d in a row are bad for the same reason, and none before is good: %s %s", e.Lines, e.Problem.Field, e.Problem.Message)
}

// mostAlike is how many bad lines at the beginning show that the input itself is wrong.
const mostAlike = 20

// alike follows the bad lines at the beginning of an input.
type alike struct {
	over   bool // there was a good one
	lines  int
	common []string // the kinds of the problems that all these lines have
}

func (a *alike) good() { a.over = true }

// bad returns an [*AlikeError] once there are enough of a kind in a row.
func (a *alike) bad(problems []invoice.Problem) error {
	if a.over {
		return nil
	}
	kinds := make([]string, len(problems))
	for i, p := range problems {
		kinds[i] = KindOf(p)
	}
	common := slices.DeleteFunc(slices.Clone(a.common), func(kind string) bool { return !slices.Contains(kinds, kind) })
	if len(common) == 0 {
		a.lines, common = 0, kinds
	}
	a.common = common
	if a.lines++; a.lines < mostAlike {
		return nil
	}
	return &AlikeError{Lines: a.lines, Problem: problems[slices.Index(kinds, common[0])]}
}

var number = regexp.MustCompile(`[0-9][0-9,]*`)

// KindOf returns what a problem has in common with those of its kind: its field and message, whatever numbers are in them.
func KindOf(p invoice.Problem) string {
	return number.ReplaceAllLiteralString(p.Field+" "+p.Message, "0")
}

// Problems returns the problems as one line for people: the first 20, each with its field, and the number of the others.
func Problems(problems []invoice.Problem) string {
	const atMost = 20
	var parts []string
	for _, p := range problems[:min(len(problems), atMost)] {
		parts = append(parts, p.Field+" "+p.Message)
	}
	if more := len(problems) - atMost; more > 0 {
		parts = append(parts, fmt.Sprintf("and %s more", term.Thousands(more)))
	}
	return strings.Join(parts, "; ")
}
