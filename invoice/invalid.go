package invoice

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An InvalidError says that a job, as it is, can never become an invoice. It names every bad field at once.
type InvalidError struct {
	Problems []Problem // at least one, at most one for each field
	// Replayable says that something else than the job refuses it: a setting, a series or an issuer. Once that is changed, the same job
	// may become an invoice.
	Replayable bool
}

// A Problem describes what is wrong with one field. Neither Field nor Message contains personal data.
type Problem struct {
	Field   string `json:"field"`   // such as lines[3].unit_price or metadata.order; payload means the whole
	Message string `json:"message"` // to be read after the field's name: "is required"
}

// shownProblems is the number of problems that an error's text names at most.
const shownProblems = 20

// Error returns one line that names up to 20 fields and counts the others.
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
	if e.Replayable {
		b.WriteString("change that here and replay the job, or correct it in the billing service and send it again")
	} else {
		b.WriteString("correct this in the billing service and send the job again")
	}
	return b.String()
}

// A VersionError says that a job's format is newer than this code. The job may be valid: a newer worker can read it.
type VersionError struct {
	Version int // greater than TaskVersion
}

// Error says that a newer worker is needed.
func (e *VersionError) Error() string {
	return fmt.Sprintf("job has format version %d, and this worker knows versions up to %d: a newer worker is needed",
		e.Version, TaskVersion)
}

// problems collects the problems of a job. It keeps the first of each field: later ones mostly follow from the first,
// as "is required" follows from a value that couldn't be read.
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

// replace puts another message in the place of a field's problem, and removes that for "".
func (p *problems) replace(field, message string) {
	i := slices.IndexFunc(p.list, func(one Problem) bool { return one.Field == field })
	switch {
	case i < 0:
	case message == "":
		p.list = slices.Delete(p.list, i, i+1)
		delete(p.fields, field)
	default:
		p.list[i].Message = message
	}
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

// lineField returns the name of a line's member, or the name of the line if name is "".
func lineField(line int, name string) string {
	field := "lines[" + strconv.Itoa(line) + "]"
	if name != "" {
		field += "." + name
	}
	return field
}

// grouped formats a count with commas: 4,980.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
