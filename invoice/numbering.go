package invoice

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// NumberingOptions say how documents are numbered. The zero value means the defaults.
//
// Changing the options keeps numbers gapless in a database that holds invoices, since they are counted by series and
// period. But a new format can print a number that the old one has printed already; the database then refuses the
// document. So change the series along with the format.
type NumberingOptions struct {
	// InvoiceSeries is the series of jobs that state none: 1 to 32 characters of A-Z 0-9 -.
	InvoiceSeries string

	// CreditNoteSeries makes a credit note's series from the series that an invoice would have. It consists of
	// {series}, once, and 1 to 32 characters of A-Z 0-9 - around it.
	CreditNoteSeries string

	// Period is when numbers start again at 1, one of [Periods]: none for never, year for each year of issued_at.
	Period string

	// Format is how a number is printed. It holds {series} once; {number} once, or {number:06} for at least six
	// digits (1 to 18); {period} once if there are periods; and any printable text. Between {series} and {number}
	// there must be a character that is not a digit, since INV11 could be number 11 of INV and number 1 of INV1.
	Format string

	// Timezone is the name of the time zone whose years are the periods, as [LoadTimezone] takes it.
	Timezone string
}

// DefaultNumbering returns what an option that is empty stands for.
func DefaultNumbering() NumberingOptions {
	return NumberingOptions{ //nolint:gosec // a series of credit notes is no credential
		InvoiceSeries: "INV", CreditNoteSeries: "{series}-CN", Period: periodNone, Format: "{series}-{number:06}", Timezone: "UTC",
	}
}

// A NumberingError names everything that is wrong with [NumberingOptions]. The fields of its problems are the options:
// invoice_series, credit_note_series, period, format and timezone.
type NumberingError struct {
	Problems []Problem // at least one
}

// Error returns one line for each problem.
func (e *NumberingError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Field + ": " + p.Message
	}
	return strings.Join(lines, "\n")
}

// A Numbering decides in which slot a document is counted and how its number is printed. It is immutable.
type Numbering struct {
	invoiceSeries string
	creditNote    affixes
	yearly        bool
	format        numberFormat
	location      *time.Location
}

// A Slot is a series, period and kind whose documents are numbered together, from 1 to n without a gap.
type Slot struct {
	Series string // up to 64 characters for a credit note
	Period string // "" without periods, else the year in four digits
	Kind   Kind   // follows from Series
}

const (
	periodNone = "none"
	periodYear = "year"
)

// Periods returns what [NumberingOptions].Period may be.
func Periods() []string { return []string{periodNone, periodYear} }

// NewNumbering checks the options. Its error is a [*NumberingError].
func NewNumbering(o NumberingOptions) (*Numbering, error) {
	var (
		n        Numbering
		problems []Problem
		err      error
		standard = DefaultNumbering()
	)
	bad := func(field string, err error) {
		if err != nil {
			problems = append(problems, Problem{Field: field, Message: err.Error()})
		}
	}

	n.invoiceSeries = cmp.Or(o.InvoiceSeries, standard.InvoiceSeries)
	n.creditNote, err = parseCreditNoteSeries(cmp.Or(o.CreditNoteSeries, standard.CreditNoteSeries))
	bad("credit_note_series", err)
	switch {
	case !isSeries(n.invoiceSeries):
		bad("invoice_series", errors.New(mustBeSeries))
	case err == nil && n.creditNote.match(n.invoiceSeries):
		bad("invoice_series", errors.New("must not look like a series that credit_note_series makes"))
	}

	period := cmp.Or(o.Period, standard.Period)
	if !slices.Contains(Periods(), period) {
		bad("period", fmt.Errorf("must be %s; got %q", strings.Join(Periods(), " or "), period))
	}
	n.yearly = period == periodYear
	n.format, err = parseNumberFormat(cmp.Or(o.Format, standard.Format), n.yearly)
	bad("format", err)

	timezone := cmp.Or(o.Timezone, standard.Timezone)
	if n.location, err = LoadTimezone(timezone); err != nil {
		bad("timezone", fmt.Errorf("%q %w", timezone, err))
	}

	if len(problems) > 0 {
		return nil, &NumberingError{Problems: problems}
	}
	return &n, nil
}

// LoadTimezone returns a time zone by its IANA name. It refuses Local, by which two machines in different time zones
// would number the same invoice differently. Its error continues a sentence that begins with the name.
func LoadTimezone(name string) (*time.Location, error) {
	location, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, errors.New("is not a time zone; use a name such as UTC or Europe/Berlin")
	}
	return location, nil
}

// Place returns the slot in which a job's document is counted. The kind is the one that [Job.Calculate] returns. The
// job must be valid.
//
// It returns an [*InvalidError] for the field series if the job asks for a series of the form that credit notes have:
// a series holds one kind only, and this one belongs to the credit notes of another series. It returns an
// [*InvalidError] for issued_at if the time zone moves the time out of the years 1 to 9999.
func (n *Numbering) Place(j *Job, kind Kind) (Slot, error) {
	var p problems
	slot := Slot{Series: cmp.Or(j.Series, n.invoiceSeries), Kind: kind}
	if n.creditNote.match(slot.Series) {
		p.add("series", "must not have the form of a credit-note series ("+n.creditNote.wrap("…")+
			"): state the invoices' series, from which that of their credit notes is made")
	}
	if kind == KindCreditNote {
		slot.Series = n.creditNote.wrap(slot.Series)
	}
	if n.yearly {
		year := j.IssuedAt.In(n.location).Year()
		if year < 1 || year > 9999 {
			p.add("issued_at", "must lie in the years 1 to 9999, in "+n.location.String())
		}
		slot.Period = fmt.Sprintf("%04d", year)
	}
	if err := p.err(); err != nil {
		return Slot{}, err
	}
	return slot, nil
}

// Format returns the printed form of a number. Different slots and numbers never print the same.
func (n *Numbering) Format(s Slot, number int64) string { return n.format.print(s, number) }

// affixes surround an invoice's series in the series of its credit notes.
type affixes struct{ prefix, suffix string }

func parseCreditNoteSeries(template string) (affixes, error) {
	prefix, suffix, ok := strings.Cut(template, placeholderSeries)
	fixed := prefix + suffix
	switch {
	case !ok:
		return affixes{}, fmt.Errorf("must contain %s, as in %s-CN", placeholderSeries, placeholderSeries)
	case fixed == "":
		return affixes{}, fmt.Errorf("must not be just %s: a series holds one kind of document", placeholderSeries)
	case !isSeries(fixed):
		return affixes{}, fmt.Errorf("must have 1 to 32 characters of A-Z 0-9 - around one %s", placeholderSeries)
	}
	return affixes{prefix, suffix}, nil
}

func (a affixes) wrap(series string) string { return a.prefix + series + a.suffix }

func (a affixes) match(series string) bool {
	return len(series) > len(a.prefix)+len(a.suffix) &&
		strings.HasPrefix(series, a.prefix) && strings.HasSuffix(series, a.suffix)
}
