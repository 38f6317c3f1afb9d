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
// A series takes its settings from them once, at its first use, and keeps them in the database: see [Series].
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

// A Numbering decides in which series a document is counted, and how a series is numbered that has no settings yet. It
// is immutable.
type Numbering struct {
	invoiceSeries    string
	creditNote       affixes
	period, timezone string
	format           string
}

// A Slot is a series, period and kind whose documents are numbered together, without a gap.
type Slot struct {
	Issuer  string // "" for the one without a name
	Series  string // up to 64 characters for a credit note
	Period  string // "" without periods; see [Series.PeriodOf]
	Kind    Kind   // of all documents of the series
	Version int    // of the series' settings
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
	n.period, n.format, n.timezone = period, cmp.Or(o.Format, standard.Format), cmp.Or(o.Timezone, standard.Timezone)
	_, err = parseNumberFormat(n.format, formatOf{manySeries: true, periods: period})
	bad("format", err)
	if _, err = LoadTimezone(n.timezone); err != nil {
		bad("timezone", fmt.Errorf("%q %w", n.timezone, err))
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

// SeriesOf returns the name of the series in which a document is counted that asks for the given series, "" for the
// default one. made reports whether the asked one has the form of those that hold the credit notes of another.
func (n *Numbering) SeriesOf(asked string, kind Kind) (name string, made bool) {
	name = cmp.Or(asked, n.invoiceSeries)
	made = n.creditNote.match(name)
	if kind == KindCreditNote {
		name = n.creditNote.wrap(name)
	}
	return name, made
}

// anotherSeries returns the [*InvalidError] of a job that asks for a series of credit notes.
func (n *Numbering) anotherSeries() error {
	return &InvalidError{Problems: []Problem{{Field: "series", Message: "must not have the form of a credit-note series (" + n.creditNote.wrap("…") +
		"): state the invoices' series, from which that of their credit notes is made"}}}
}

// First returns the settings that a series gets at its first use.
func (n *Numbering) First(id SeriesID, kind Kind) Series {
	return Series{
		Issuer: id.Issuer, Name: id.Name, Kind: kind, Format: n.format, Period: n.period, FirstMonth: 1, Timezone: n.timezone, Date: DateIssuedAt, FirstNumber: 1, State: SeriesOpen,
	}
}

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
