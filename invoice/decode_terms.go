package invoice

import "invoicer/invoice/fields"

// A wideNumber is a field whose number version 1 refuses.
type wideNumber struct {
	field   string
	problem string // what is wrong with it in any version, "" if nothing is
}

// judgeByVersion judges what depends on the version, which may come last.
func (d *decoder) judgeByVersion() {
	switch most := limitsOf(d.job.Version).lines; {
	case d.noLines:
		d.problems.replace("lines", mustBeLines(most))
	case d.lines > most:
		d.problems.add("lines", mustBeLines(most))
	}
	if d.job.Version <= 1 {
		for _, field := range d.newFields {
			d.problems.add(field.String(), isOfVersion2)
		}
		return
	}
	for _, one := range d.wide {
		d.problems.replace(one.field, one.problem)
	}
}

// refuseTwice refuses a member that is given again. Where the number that came first is only too wide for version 1, that it is given
// twice remains when judgeByVersion takes the first problem back.
func (d *decoder) refuseTwice() error {
	field := d.at.String()
	for i := range d.wide[max(0, len(d.wide)-lineNames.Len()):] { // an object's numbers are the last ones
		if one := &d.wide[len(d.wide)-1-i]; one.field == field && one.problem == "" {
			one.problem = isTwice
		}
	}
	return d.refuse(isTwice)
}

// readTerm reads a field that only version 2 has.
func (d *decoder) readTerm(described *fields.Object, of any, i int) error {
	if d.job.Version <= 1 && d.tokens.PeekKind() != 'n' {
		d.newFields = append(d.newFields, d.at)
	}
	if d.terms.Tokens == nil {
		d.terms.Tokens = d.tokens
		d.terms.Problem = func(path, message string) { d.problems.add(d.at.of(path).String(), message) }
	}
	return described.ReadField(&d.terms, of, i)
}

// didYouMean names the known name that is nearest to this one, for the problems that are shown.
func (d *decoder) didYouMean(name []byte, known *fields.Names) string {
	if d.suggested++; d.suggested > shownProblems {
		return ""
	}
	return known.DidYouMean(string(name))
}
