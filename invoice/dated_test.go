package invoice_test

import (
	"testing"
	"time"

	"invoicer/invoice"
)

func TestDayOfIssue(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		t.Helper()
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for name, tt := range map[string]struct {
		zone, period       string
		firstMonth         int
		at, last           string
		wantDay, wantPlace string
	}{
		"in UTC":                              {"UTC", "year", 1, "2026-12-31T23:59:59Z", "", "2026-12-31", "2026"},
		"east of it, it is next year already": {"Pacific/Kiritimati", "year", 1, "2026-12-31T10:00:00Z", "", "2027-01-01", "2027"},
		"west of it, it is last year still":   {"America/New_York", "month", 1, "2027-01-01T04:59:59Z", "", "2026-12-31", "2026-12"},
		"a fiscal year":                       {"Asia/Kolkata", "year", 4, "2027-03-31T18:30:00Z", "", "2027-04-01", "2027-28"},
		"a clock behind the last document":    {"UTC", "year", 1, "2026-12-31T12:00:00Z", "2027-01-01", "2027-01-01", "2027"},
		"a clock ahead of it":                 {"UTC", "none", 1, "2026-12-31T12:00:00Z", "2026-12-30", "2026-12-31", ""},
		"a day without a midnight":            {"America/Sao_Paulo", "year", 1, "2018-11-04T03:30:00Z", "", "2018-11-04", "2018"},
		"a day that a zone has left out":      {"Pacific/Apia", "month", 1, "2011-12-30T10:30:00Z", "", "2011-12-31", "2011-12"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := invoice.Series{Name: "INV", Period: tt.period, FirstMonth: tt.firstMonth, Timezone: tt.zone, Date: invoice.DateIssue}
			var last *time.Time
			if tt.last != "" {
				before := at(tt.last + "T00:00:00Z")
				last = &before
			}
			day, period, err := s.DayOfIssue(at(tt.at), last)
			if err != nil || day.Format(time.DateOnly) != tt.wantDay || period != tt.wantPlace {
				t.Errorf("%s in %q, %v; want %s in %q", day.Format(time.DateOnly), period, err, tt.wantDay, tt.wantPlace)
			}
		})
	}
}
