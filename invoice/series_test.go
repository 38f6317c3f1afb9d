package invoice_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"invoicer/invoice"
)

// settings returns valid settings of series INV, changed by each.
func settings(each ...func(*invoice.Series)) invoice.Series {
	s := invoice.Series{
		Name: "INV", Kind: invoice.KindInvoice, Format: "{series}-{number:06}", Period: "none", FirstMonth: 1, Timezone: "UTC", Date: invoice.DateIssuedAt, FirstNumber: 1, State: invoice.SeriesOpen,
	}
	for _, change := range each {
		change(&s)
	}
	return s
}

func TestSeriesPeriods(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		period     string
		firstMonth int
		zone, at   string
		want       string // "" for an error
		printed    string
		format     string
	}{
		{"year", 4, "Asia/Kolkata", "2017-03-31T23:59:59.999999+05:30", "2016-17", "INV/2016-17/0001", "INV/{period}/{number:04}"},
		{"year", 4, "Asia/Kolkata", "2017-04-01T00:00:00+05:30", "2017-18", "INV/2017-18/0001", "INV/{period}/{number:04}"},
		{"year", 4, "Asia/Kolkata", "2017-03-31T19:00:00Z", "2017-18", "17-1", "{yy}-{number}"},
		{"year", 12, "UTC", "1999-12-01T00:00:00Z", "1999-00", "1999/00000001", "{year}/{number:08}"},
		{"year", 2, "UTC", "0001-01-15T00:00:00Z", "", "", "{year}{number}"},
		{"year", 1, "Europe/Warsaw", "2025-12-31T23:30:00Z", "2026", "20260001", "{year}{number:04}"},
		{"month", 1, "America/New_York", "2026-01-01T04:59:59Z", "2025-12", "R1225-1", "R{month}{yy}-{number}"},
		{"month", 1, "UTC", "2026-02-01T00:00:00Z", "2026-02", "DDLI2026-02/00001", "DDLI{period}/{number:05}"},
	} {
		s := settings(func(s *invoice.Series) {
			s.Period, s.FirstMonth, s.Timezone, s.Format = tt.period, tt.firstMonth, tt.zone, tt.format
		})
		if err := s.Check(); err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.PeriodOf(at)
		if tt.want == "" {
			if fields := problemFields(t, err); len(fields) != 1 || fields[0] != "issued_at" {
				t.Errorf("%+v: %q, %v", tt, got, err)
			}
			continue
		}
		if err != nil || got != tt.want || s.Print(got, 1) != tt.printed {
			t.Errorf("%+v: %q, printed %s, %v", tt, got, s.Print(got, 1), err)
		}
	}
}

func TestSeriesSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*invoice.Series)
		field  string
	}{
		"small letters":            {func(s *invoice.Series) { s.Name = "inv" }, "series"},
		"no number":                {func(s *invoice.Series) { s.Format = "INV" }, "format"},
		"two numbers":              {func(s *invoice.Series) { s.Format = "{number}-{number}" }, "format"},
		"two series":               {func(s *invoice.Series) { s.Format = "{series}{series}-{number}" }, "format"},
		"a year without periods":   {func(s *invoice.Series) { s.Format = "{year}-{number}" }, "format"},
		"periods without a year":   {func(s *invoice.Series) { s.Period = "year" }, "format"},
		"months without a month":   {func(s *invoice.Series) { s.Period, s.Format = "month", "{year}-{number}" }, "format"},
		"a month of a year":        {func(s *invoice.Series) { s.Period, s.Format = "year", "{year}{month}-{number}" }, "format"},
		"an unknown period":        {func(s *invoice.Series) { s.Period = "week" }, "period"},
		"month 13":                 {func(s *invoice.Series) { s.Period, s.Format, s.FirstMonth = "year", "{year}-{number}", 13 }, "first_month"},
		"April without years":      {func(s *invoice.Series) { s.FirstMonth = 4 }, "first_month"},
		"an unknown zone":          {func(s *invoice.Series) { s.Timezone = "Mars" }, "timezone"},
		"number 0":                 {func(s *invoice.Series) { s.FirstNumber = 0 }, "first_number"},
		"a number without a year":  {func(s *invoice.Series) { s.Period, s.Format, s.FirstNumber = "year", "{year}-{number}", 7 }, "first_period"},
		"a year without periods 2": {func(s *invoice.Series) { s.FirstPeriod = "2026" }, "first_period"},
		"a year of another form": {func(s *invoice.Series) {
			s.Period, s.Format, s.FirstMonth, s.FirstPeriod = "year", "{year}-{number}", 4, "2026"
		}, "first_period"},
		"years that don't follow": {func(s *invoice.Series) {
			s.Period, s.Format, s.FirstMonth, s.FromPeriod = "year", "{year}-{number}", 4, "2026-28"
		}, "from_period"},
	} {
		s := settings(tt.change)
		err := s.Check()
		var wrong *invoice.NumberingError
		if !errors.As(err, &wrong) || wrong.Problems[0].Field != tt.field {
			t.Errorf("%s: %v, want an error for %s", name, err, tt.field)
		}
	}
}

func TestSeriesThatPrintTheSame(t *testing.T) {
	t.Parallel()
	type change = func(*invoice.Series)
	named := func(name, format string) change { return func(s *invoice.Series) { s.Name, s.Format = name, format } }
	yearly := func(firstMonth int) change {
		return func(s *invoice.Series) { s.Period, s.FirstMonth = "year", firstMonth }
	}
	for name, tt := range map[string]struct {
		a, b []change
		same bool
	}{
		"two series of one format":        {[]change{named("A", "{series}-{number}")}, []change{named("B", "{series}-{number}")}, false},
		"no series in the format":         {[]change{named("A", "R-{number}")}, []change{named("B", "R-{number:04}")}, true},
		"text that differs":               {[]change{named("A", "R-{number}")}, []change{named("B", "S-{number}")}, false},
		"digits that are part of a text":  {[]change{named("A", "R-{number}")}, []change{named("B", "R-2{number}")}, true},
		"a zero that no number begins by": {[]change{named("A", "R-{number}")}, []change{named("B", "R-0{number}")}, false},
		"zeros that fill up":              {[]change{named("A", "R-{number:03}")}, []change{named("B", "R-0{number}")}, true},
		"a year in the name":              {[]change{named("INV", "{series}-{period}-{number:06}"), yearly(1)}, []change{named("INV-2025", "{series}-{number:06}")}, true},
		"a fiscal year in the name":       {[]change{named("INV", "{series}-{period}-{number:06}"), yearly(4)}, []change{named("INV-2025", "{series}-{number:06}")}, false},
		"years and numbers":               {[]change{named("A", "{year}{number:04}"), yearly(1)}, []change{named("B", "{number:08}")}, true},
		"another place of the number":     {[]change{named("A", "{number}/{year}"), yearly(1)}, []change{named("B", "{year}/{number}"), yearly(1)}, true},
		"text in other letters":           {[]change{named("A", "№ {number}")}, []change{named("B", "№ {number:08}")}, true},
		"more digits in one series":       {[]change{named("A", "R-{number}")}, []change{named("A", "R-{number:08}")}, false},
		"other text in one series":        {[]change{named("A", "R-{number}")}, []change{named("A", "R-1{number}")}, true},
		"another first month":             {[]change{named("A", "{year}-{number}"), yearly(1)}, []change{named("A", "{year}-{number}"), yearly(4)}, true},
	} {
		a, b := settings(tt.a...), settings(tt.b...)
		for _, s := range []invoice.Series{a, b} {
			if err := s.Check(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		printed, same := a.Collision(&b)
		if _, other := b.Collision(&a); same != tt.same || other != same || same != (printed != "") {
			t.Errorf("%s: %q, %t, the other way round %t", name, printed, same, other)
		}
	}
}

// What two series have printed is never the same if no collision was found, and a collision that was found can be printed.
func TestCollisionsAreThoseOfWhatIsPrinted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) invoice.Series {
			s := settings(func(s *invoice.Series) { s.Name = name })
			pieces := []string{rapid.SampledFrom([]string{"{number}", "{number:02}", "{number:03}"}).Draw(t, "number"), rapid.SampledFrom([]string{"", "-", "1", "0", "20"}).Draw(t, "text")}
			if rapid.Bool().Draw(t, "periods") {
				s.Period = "year"
				pieces = append(pieces, rapid.SampledFrom([]string{"{year}", "{yy}", "{period}"}).Draw(t, "year"))
			}
			s.Format = strings.Join(rapid.Permutation(pieces).Draw(t, "order"), "")
			return s
		}
		a, b := draw("A"), draw("B")
		if a.Check() != nil || b.Check() != nil {
			t.Fatalf("%v, %v", a.Check(), b.Check())
		}
		printed := map[string]bool{}
		each := func(s invoice.Series, do func(string)) {
			periods := []string{""}
			if s.Period == "year" {
				periods = []string{"2010", "2011", "1120", "0201"}
			}
			for _, period := range periods {
				for _, number := range []int64{1, 2, 9, 10, 20, 99, 100, 101, 201, 999, 1120, 2010, 12010, 20101, 201010, 102010} {
					do(s.Print(period, number))
				}
			}
		}
		each(a, func(number string) { printed[number] = true })
		_, collide := a.Collision(&b)
		each(b, func(number string) {
			if printed[number] && !collide {
				t.Fatalf("%s and %s both print %s", a.Format, b.Format, number)
			}
		})
	})
}
