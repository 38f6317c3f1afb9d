package invoice

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An InvalidError says that a job can never become an invoice as it is, and names every bad field at once.
type InvalidError struct {
	Problems []Problem // at least one, at most one for each field
}

// A Problem is what is wrong with one field. Neither its field nor its message holds personal data.
type Problem struct {
	Field   string `json:"field"`   // such as lines[3].unit_price or metadata.order; payload stands for the whole
	Message string `json:"message"` // to be read after the field's name: "is required"
}

// shownProblems is how many problems an error's text names.
const shownProblems = 20

// Error names up to 20 fields and says how many more there are, in one line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid job: ")
	shown := e.Problems[:min(len(e.Problems), shownProblems)]
	for _, p := range shown {
		fmt.Fprintf(&b, "%s %s; ", p.Field, p.Message)
	}
	if more := len(e.Problems) - len(shown); more > 0 {
		fmt.Fprintf(&b, "and %s more; ", grouped(more))
	}
	b.WriteString("correct this in the billing service and send the job again")
	return b.String()
}

// A VersionError says that a job's format is newer than this code. It is no verdict on the job: a newer worker reads it.
type VersionError struct {
	Version int // greater than TaskVersion
}

// Error says who can do the job.
func (e *VersionError) Error() string {
	return fmt.Sprintf("job has format version %d, and this worker knows versions up to %d: a newer worker is needed",
		e.Version, TaskVersion)
}

// problems collects what is wrong with a job, and keeps the first problem of each field: the later ones mostly follow
// from it, as "is required" follows from a value that couldn't be read.
type problems struct {
	list   []Problem
	fields map[string]struct{}
}

func (p *problems) add(field, message string) {
	if p.has(field) {
		return
	}
	if p.fields == nil {
		p.fields = make(map[string]struct{})
	}
	p.fields[field] = struct{}{}
	p.list = append(p.list, Problem{Field: field, Message: message})
}

func (p *problems) has(field string) bool {
	_, ok := p.fields[field]
	return ok
}

func (p *problems) any() bool { return len(p.list) > 0 }

func (p *problems) err() error {
	if !p.any() {
		return nil
	}
	return &InvalidError{Problems: p.list}
}

// lineField names a member of a line, or with "" the line.
func lineField(line int, name string) string {
	field := "lines[" + strconv.Itoa(line) + "]"
	if name != "" {
		field += "." + name
	}
	return field
}

// shownName is how many bytes of a name that the sender made up are repeated.
const shownName = 64

// quotedName makes a name that the sender made up fit to be part of a field's name: short, printable, in one line.
func quotedName(name string) string {
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

// nameCharset is what most people's names for fields are made of.
const nameCharset = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// grouped spells a count with commas: 4,980.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
