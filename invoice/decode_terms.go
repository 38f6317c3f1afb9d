package invoice

import "invoicer/invoice/fields"

// A wideNumber is a field whose number version 1 refuses.
type wideNumber struct {
	field   string
	problem string // what is wrong with it in any version, "" if nothing is
}

// judgeByVersion judges what depends on the version, which may come last.
func (d *decoder) judgeByVersion() {
	if most := limitsOf(d.job.Version).lines; d.lines > most {
		d.problems.add("lines", mustBeLines(most))
	}
	if d.job.Version <= 1 {
		for _, field := range d.newFields {
			d.problems.add(field, isOfVersion2)
		}
		return
	}
	for _, one := range d.wide {
		d.problems.replace(one.field, one.problem)
	}
}

// readTerm reads a field that only version 2 has.
func (d *decoder) readTerm(described *fields.Object, of any, i int) error {
	if d.tokens.PeekKind() != 'n' {
		d.newFields = append(d.newFields, d.at.String())
	}
	d.terms.Tokens, d.terms.Problem = d.tokens, d.problems.add
	around := ""
	if d.at.group == inLines {
		around = lineField(d.at.line, "")
	}
	return described.ReadField(&d.terms, of, i, around)
}

// didYouMean names the known name that is nearest to this one, for the problems that are shown.
func (d *decoder) didYouMean(name []byte, known []string) string {
	if d.suggested++; d.suggested > shownProblems {
		return ""
	}
	return fields.DidYouMean(string(name), known)
}
