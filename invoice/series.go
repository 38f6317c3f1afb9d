package invoice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A SeriesState says whether a series takes documents.
type SeriesState string

// The states of a series. A paused one takes documents again once it is resumed; a closed one never does.
const (
	SeriesOpen   SeriesState = "open"
	SeriesPaused SeriesState = "paused"
	SeriesClosed SeriesState = "closed"
)

// A Series is how the documents of one series are numbered and printed: one version of its settings. What was numbered
// before a change stays as it is.
type Series struct {
	Issuer  string // "" for the one without a name
	Name    string
	Version int  // 1 for the first; 0 if they aren't stored
	Kind    Kind // of all its documents

	// Format is how numbers are printed: {number} once, or {number:06} for at least six digits (1 to 18), and any printable
	// text. {series} may stand in it once. If there are periods, it says which: by {period}, or by {year} or {yy}, and {month}
	// if they are months.
	Format     string
	FromPeriod string // the format holds for this period and later ones; "" for all
	FromNumber int64  // the format holds for this number and later ones; 0 for all. Only without periods

	Period     string // one of [SeriesPeriods]: when numbers start again at 1
	FirstMonth int    // with which a year begins, 1 for calendar years
	Timezone   string // in which a time's period is found, as [LoadTimezone] takes it

	Date DateRule // which date a document has; its period is that of this date

	FirstNumber int64  // of FirstPeriod; every later period begins with 1
	FirstPeriod string // the first one that has documents; "" without periods, or if all may have some

	State SeriesState

	// Profile is as in [Settings], for the documents of this series; "" means that of the settings.
	Profile string

	location *time.Location // set by Resolve
}

// Resolve finds the time zone, so that it isn't looked for with each document.
func (s *Series) Resolve() error {
	location, err := LoadTimezone(s.Timezone)
	if err != nil {
		return fmt.Errorf("series %s: time zone %q %w", s.Name, s.Timezone, err)
	}
	s.location = location
	return nil
}

// A SeriesID names a series of an issuer.
type SeriesID struct{ Issuer, Name string }

// ID returns the name of the series and its issuer.
func (s *Series) ID() SeriesID { return SeriesID{s.Issuer, s.Name} }

// String returns the name, behind that of the issuer and a slash if it has one: INV, ACME-DE/INV.
func (id SeriesID) String() string {
	if id.Issuer == "" {
		return id.Name
	}
	return id.Issuer + "/" + id.Name
}

// ParseSeriesID reads what [SeriesID.String] returns.
func ParseSeriesID(text string) SeriesID {
	if issuer, name, ok := strings.Cut(text, "/"); ok {
		return SeriesID{issuer, name}
	}
	return SeriesID{Name: text}
}

// Compare orders by issuer and name.
func (id SeriesID) Compare(other SeriesID) int {
	return cmp.Or(strings.Compare(id.Issuer, other.Issuer), strings.Compare(id.Name, other.Name))
}

// Args returns the arguments of commands for the series.
func (id SeriesID) Args() string {
	if id.Issuer == "" {
		return id.Name
	}
	return id.Name + " --issuer " + id.Issuer
}

// ErrNoSeries says that a series has no settings.
var ErrNoSeries = errors.New("the series has no settings")

// A PausedError says that a document can't be numbered until somebody resumes its series.
type PausedError struct{ Series SeriesID }

func (e *PausedError) Error() string {
	return fmt.Sprintf("series %s is paused: the job waits until `invoicer series resume %s`", e.Series, e.Series.Args())
}

// A DateRule says which date the documents of a series have.
type DateRule string

const (
	// DateIssuedAt is the time that the job states.
	DateIssuedAt DateRule = "issued_at"
	// DateIssue is the day on which the document is committed, by the database's clock and in the series' time zone. It is never
	// before that of the series' last document, so dates rise with numbers. issued_at stays as the date of supply.
	DateIssue DateRule = "issue"
)

// DateRules returns what [Series].Date may be.
func DateRules() []string { return []string{string(DateIssue), string(DateIssuedAt)} }

// An OtherPeriodError says that a document's day of issue lies in another period than the one for which it was placed. Placing it
// there is safe.
type OtherPeriodError struct{ Period string }

func (e *OtherPeriodError) Error() string { return "the day of issue lies in period " + e.Period }

const periodMonth = "month"

// SeriesPeriods returns what [Series].Period may be.
func SeriesPeriods() []string { return []string{periodNone, periodYear, periodMonth} }

// maxFirstNumber leaves room for more numbers than a series can ever have.
const maxFirstNumber = 1_000_000_000_000_000_000

// IsSeriesName reports whether the text can be the name of a series: 1 to 64 characters of A-Z 0-9 -. Jobs can ask for
// names of at most 32.
func IsSeriesName(name string) bool {
	return consistsOf(name, 2*maxSeries, isSeriesChar)
}

// Check returns a [*NumberingError] that names everything that is wrong with the settings.
func (s *Series) Check() error {
	var problems []Problem
	bad := func(field, format string, args ...any) {
		problems = append(problems, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if s.Issuer != "" && !IsIssuer(s.Issuer) {
		bad("issuer", mustBeSeries)
	}
	if !IsSeriesName(s.Name) {
		bad("series", "must be 1 to %d characters of A-Z 0-9 -", 2*maxSeries)
	}
	switch {
	case !slices.Contains(SeriesPeriods(), s.Period):
		bad("period", "must be %s; got %q", strings.Join(SeriesPeriods(), ", "), s.Period)
	case s.FirstMonth < 1 || s.FirstMonth > 12:
		bad("first_month", "must be a month from 1 to 12")
	case s.FirstMonth != 1 && s.Period != periodYear:
		bad("first_month", "needs period year: a year that begins in another month than January")
	default:
		if _, err := parseNumberFormat(s.Format, formatOf{periods: s.Period}); err != nil {
			bad("format", "%s", err)
		}
		s.checkPeriods(bad)
	}
	if !slices.Contains(DateRules(), string(s.Date)) {
		bad("date", "must be %s; got %q", strings.Join(DateRules(), " or "), s.Date)
	}
	if _, err := LoadTimezone(s.Timezone); err != nil {
		bad("timezone", "%q %s", s.Timezone, err)
	}
	if s.FirstNumber < 1 || s.FirstNumber > maxFirstNumber {
		bad("first_number", "must be from 1 to %d", int64(maxFirstNumber))
	}
	if len(problems) > 0 {
		return &NumberingError{Problems: problems}
	}
	return nil
}

// checkPeriods checks the periods that are named.
func (s *Series) checkPeriods(bad func(field, format string, args ...any)) {
	if s.FromPeriod != "" && !s.isPeriod(s.FromPeriod) {
		bad("from_period", "%s", s.periodForm())
	}
	switch {
	case s.FromNumber < 0 || s.FromNumber > maxFirstNumber:
		bad("from_number", "must be from 1 to %d", int64(maxFirstNumber))
	case s.FromNumber > 0 && s.Period != periodNone:
		bad("from_number", "needs period none: where numbers begin anew, a format holds from a period on (from_period)")
	}
	switch {
	case s.Period == periodNone && s.FirstPeriod != "":
		bad("first_period", "must not be stated, since period is %s", periodNone)
	case s.Period != periodNone && s.FirstNumber != 1 && !s.isPeriod(s.FirstPeriod):
		bad("first_period", "must say in which period the numbers begin with %d; it %s", s.FirstNumber, s.periodForm())
	case s.Period != periodNone && s.FirstPeriod != "" && !s.isPeriod(s.FirstPeriod):
		bad("first_period", "%s", s.periodForm())
	}
}

func (s *Series) periodForm() string {
	switch {
	case s.Period == periodNone:
		return "must not be stated, since period is none"
	case s.Period == periodMonth:
		return "must be a month such as 2026-04"
	case s.FirstMonth != 1:
		return "must be a year such as 2026-27"
	default:
		return "must be a year such as 2026"
	}
}

// isPeriod reports whether the text is a period of the series.
func (s *Series) isPeriod(text string) bool {
	layout := "2006"
	switch {
	case s.Period == periodNone:
		return text == ""
	case s.Period == periodMonth:
		layout = "2006-01"
	case s.FirstMonth != 1:
		year, next, _ := strings.Cut(text, "-")
		begin, err := time.Parse("2006", year)
		return err == nil && next == begin.AddDate(1, 0, 0).Format("06")
	}
	_, err := time.Parse(layout, text)
	return err == nil
}

// PeriodOf returns the period in which a time lies: "" without periods, 2026 for a calendar year, 2026-27 for another
// year, 2026-04 for a month. It returns an [*InvalidError] for issued_at if the time zone moves the time out of the
// years 1 to 9999.
func (s *Series) PeriodOf(at time.Time) (string, error) {
	if s.Period == periodNone {
		return "", nil
	}
	if s.location == nil {
		if err := s.Resolve(); err != nil {
			return "", err
		}
	}
	local := at.In(s.location)
	if s.FirstMonth > 1 && local.Month() < time.Month(s.FirstMonth) {
		local = time.Date(local.Year()-1, time.December, 1, 0, 0, 0, 0, time.UTC)
	}
	if year := local.Year(); year < 1 || year > 9999 {
		return "", &InvalidError{Problems: []Problem{{Field: "issued_at", Message: "must lie in the years 1 to 9999, in " + s.Timezone}}}
	}
	switch {
	case s.Period == periodMonth:
		return fmt.Sprintf("%04d-%02d", local.Year(), local.Month()), nil
	case s.FirstMonth > 1:
		return fmt.Sprintf("%04d-%02d", local.Year(), (local.Year()+1)%100), nil
	default:
		return fmt.Sprintf("%04d", local.Year()), nil
	}
}

// begun returns an [*InvalidError] if the series has no documents of the period: it begins with a later one.
func (s *Series) begun(period string) error {
	if period >= s.FirstPeriod {
		return nil
	}
	return &InvalidError{Problems: []Problem{{Field: "issued_at", Message: fmt.Sprintf(
		"lies in %s, and series %s begins with %s: what is earlier was numbered elsewhere; send another series, or another date", period, s.ID(), s.FirstPeriod)}}}
}

// DayOfIssue returns the date of a document that is issued at a time, at midnight, UTC, and its period. last is the date of the
// series' last document, nil if there is none: the day is never before it.
func (s *Series) DayOfIssue(at time.Time, last *time.Time) (day time.Time, period string, err error) {
	if s.location == nil {
		if err := s.Resolve(); err != nil {
			return time.Time{}, "", err
		}
	}
	year, month, date := at.In(s.location).Date()
	day = time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	if last != nil && day.Before(*last) {
		day = *last
	}
	period, err = s.PeriodOf(time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, s.location)) // a day may have no midnight
	return day, period, err
}

// Print returns the printed form of a number of a period.
func (s *Series) Print(period string, number int64) string {
	f, err := parseNumberFormat(s.Format, formatOf{periods: s.Period})
	if err != nil {
		return ""
	}
	return f.print(s.Name, period, number)
}

// Collision returns a number that both settings could print, for two different documents. ok is false if there is none.
// Two versions of one series share their counters if they have the same periods: then no number can be printed twice by
// formats that differ in the number of digits alone.
func (s *Series) Collision(other *Series) (printed string, ok bool) {
	if s.Issuer != other.Issuer {
		return "", false // each issuer has numbers of its own
	}
	mine, err := parseNumberFormat(s.Format, formatOf{periods: s.Period})
	if err != nil {
		return "", false
	}
	others, err := parseNumberFormat(other.Format, formatOf{periods: other.Period})
	if err != nil {
		return "", false
	}
	if s.Name == other.Name && s.Period == other.Period && s.FirstMonth == other.FirstMonth && slices.Equal(mine.parts, others.parts) {
		return "", false
	}
	return common(mine.pattern(s), others.pattern(other))
}

// A SeriesBook keeps the settings of series.
type SeriesBook interface {
	// Series returns the newest settings of a series, or [ErrNoSeries]. They may be outdated by a moment: [Store.Insert] then
	// returns [ErrSettingsChanged].
	Series(ctx context.Context, id SeriesID) (*Series, error)
	// MakeSeries stores the first settings of a series and returns them, or returns those that it has already. It returns an
	// [*InvalidError] if the series can't have these settings. If dry, it stores nothing.
	MakeSeries(ctx context.Context, s Series, dry bool) (*Series, error)
}
