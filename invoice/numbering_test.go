package invoice_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"invoicer/invoice"
)

func newNumbering(t testing.TB, o invoice.NumberingOptions) *invoice.Numbering {
	t.Helper()
	n, err := invoice.NewNumbering(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNumberingDefaults(t *testing.T) {
	t.Parallel()
	n := newNumbering(t, invoice.NumberingOptions{})
	for _, tt := range []struct {
		series       string
		kind         invoice.Kind
		want, number string
		made         bool
	}{
		{"", invoice.KindInvoice, "INV", "INV-000017", false},
		{"", invoice.KindCreditNote, "INV-CN", "INV-CN-000017", false},
		{"UK-2", invoice.KindInvoice, "UK-2", "UK-2-000017", false},
		{"UK-2", invoice.KindCreditNote, "UK-2-CN", "UK-2-CN-000017", false},
		{"CN", invoice.KindInvoice, "CN", "CN-000017", false},
		{"-CN", invoice.KindInvoice, "-CN", "-CN-000017", false},
	} {
		name, made := n.SeriesOf(tt.series, tt.kind)
		if name != tt.want || made != tt.made {
			t.Errorf("SeriesOf(%q, %s) = %s, %t, want %s, %t", tt.series, tt.kind, name, made, tt.want, tt.made)
			continue
		}
		first := n.First(invoice.SeriesID{Name: name}, tt.kind)
		if number := first.Print("", 17); first.Check() != nil || first.Kind != tt.kind || number != tt.number {
			t.Errorf("number 17 of %+v is printed %s, want %s; %v", first, number, tt.number, first.Check())
		}
	}
	first := n.First(invoice.SeriesID{Name: "INV"}, invoice.KindInvoice)
	if got := first.Print("", 12345678); got != "INV-12345678" {
		t.Errorf("a number of eight digits is printed as %s", got)
	}
}

func TestNumberingFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"{series}/{period}/{number}":       "INV/2010/17",
		"{period}{series}-{number:018}":    "2010INV-000000000000000017",
		"{number:01}-{period}{series}":     "17-2010INV",
		"{series}-{period}{number:04}":     "INV-20100017",
		"№ {series}{period} · {number:3}":  "",
		"№ {series}{period} · {number:03}": "№ INV2010 · 017",
		"{series}N{number}{period}":        "INVN172010",
	} {
		n, err := invoice.NewNumbering(invoice.NumberingOptions{Format: format, Period: "year"})
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v", format, err)
		} else if err == nil {
			first := n.First(invoice.SeriesID{Name: "INV"}, invoice.KindInvoice)
			if got := first.Print("2010", 17); got != want {
				t.Errorf("%s: %s, want %s", format, got, want)
			}
		}
	}
}

// A period is the year on the wall of the time zone.
func TestNumberingPeriod(t *testing.T) {
	t.Parallel()
	eve := time.Date(2010, 12, 31, 23, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		period, timezone string
		at               time.Time
		want             string // "" for an error, unless the period is none
	}{
		{"", "", eve, ""},
		{"none", "Europe/Berlin", eve, ""},
		{"year", "", eve, "2010"},
		{"year", "Europe/Berlin", eve, "2011"},
		{"year", "America/New_York", eve.Add(2 * time.Hour), "2010"},
		{"year", "", time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), "0001"},
		{"year", "America/New_York", time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), ""},
		{"year", "Asia/Tokyo", time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC), ""},
	} {
		o := invoice.NumberingOptions{Period: tt.period, Timezone: tt.timezone}
		if tt.period == "year" {
			o.Format = "{series}-{period}-{number:06}"
		}
		first := newNumbering(t, o).First(invoice.SeriesID{Name: "INV"}, invoice.KindInvoice)
		got, err := first.PeriodOf(tt.at)
		if fails := tt.period == "year" && tt.want == ""; fails {
			if fields := problemFields(t, err); len(fields) != 1 || fields[0] != "issued_at" {
				t.Errorf("%+v: %v, want an error for issued_at", tt, err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

func TestCreditNoteSeriesAreKnownByTheirForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ template, series string }{
		{"", "INV-CN"}, {"", "X-CN"}, {"", "INV-CN-CN"}, {"CN{series}", "CNX"}, {"C-{series}-N", "C-X-N"},
	} {
		n := newNumbering(t, invoice.NumberingOptions{CreditNoteSeries: tt.template})
		for _, kind := range []invoice.Kind{invoice.KindInvoice, invoice.KindCreditNote} {
			if name, made := n.SeriesOf(tt.series, kind); !made {
				t.Errorf("%s in %q as %s: %s isn't taken for a series of credit notes", tt.series, tt.template, kind, name)
			}
		}
	}
}

func TestNewNumberingRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    invoice.NumberingOptions
		want []string // in the error, in order
	}{
		{"series in small letters", invoice.NumberingOptions{InvoiceSeries: "inv"}, []string{"invoice_series"}},
		{"long series", invoice.NumberingOptions{InvoiceSeries: strings.Repeat("A", 33)}, []string{"invoice_series"}},
		{"series of credit notes", invoice.NumberingOptions{InvoiceSeries: "INV-CN"}, []string{"invoice_series", "credit_note_series"}},
		{"template without series", invoice.NumberingOptions{CreditNoteSeries: "CN"}, []string{"credit_note_series", "{series}"}},
		{"template of nothing but series", invoice.NumberingOptions{CreditNoteSeries: "{series}"}, []string{"credit_note_series", "one kind"}},
		{"template with two series", invoice.NumberingOptions{CreditNoteSeries: "{series}{series}"}, []string{"credit_note_series"}},
		{"template with a number", invoice.NumberingOptions{CreditNoteSeries: "{series}{number}"}, []string{"credit_note_series"}},
		{"template in small letters", invoice.NumberingOptions{CreditNoteSeries: "{series}cn"}, []string{"credit_note_series"}},
		{"long template", invoice.NumberingOptions{CreditNoteSeries: "{series}" + strings.Repeat("A", 33)}, []string{"credit_note_series"}},
		{"unknown period", invoice.NumberingOptions{Period: "month"}, []string{"period", `"month"`}},
		{"unknown zone", invoice.NumberingOptions{Timezone: "Europe/Atlantis"}, []string{"timezone", "Europe/Atlantis"}},
		{"zone of the machine", invoice.NumberingOptions{Timezone: "Local"}, []string{"timezone"}},
		{"zone out of a file", invoice.NumberingOptions{Timezone: "../etc/passwd"}, []string{"timezone"}},
		{"no series", invoice.NumberingOptions{Format: "{number}"}, []string{"format", "{series}"}},
		{"no number", invoice.NumberingOptions{Format: "{series}"}, []string{"format", "{number}"}},
		{"neither", invoice.NumberingOptions{Format: "INV"}, []string{"format", "{series}", "{number}"}},
		{"two numbers", invoice.NumberingOptions{Format: "{series}-{number}-{number:06}"}, []string{"format", "{number}"}},
		{"two series", invoice.NumberingOptions{Format: "{series}-{number}-{series}"}, []string{"format", "{series}"}},
		{"no period", invoice.NumberingOptions{Period: "year"}, []string{"format", "{period}"}},
		{"a period without periods", invoice.NumberingOptions{Format: "{series}-{period}-{number}"}, []string{"format", "{period}", "period"}},
		{"unknown placeholder", invoice.NumberingOptions{Format: "{series}-{Number}-{number}"}, []string{"format", "{Number}"}},
		{"width without zero", invoice.NumberingOptions{Format: "{series}-{number:6}"}, []string{"format", "{number:6}"}},
		{"width 0", invoice.NumberingOptions{Format: "{series}-{number:00}"}, []string{"format", "{number:00}"}},
		{"width with two zeros", invoice.NumberingOptions{Format: "{series}-{number:006}"}, []string{"format", "{number:006}"}},
		{"width 19", invoice.NumberingOptions{Format: "{series}-{number:019}"}, []string{"format", "{number:019}"}},
		{"no width", invoice.NumberingOptions{Format: "{series}-{number:0}"}, []string{"format", "{number:0}"}},
		{"signed width", invoice.NumberingOptions{Format: "{series}-{number:0+6}"}, []string{"format", "{number:0+6}"}},
		{"open brace", invoice.NumberingOptions{Format: "{series}-{number}-{"}, []string{"format", "brace"}},
		{"closing brace", invoice.NumberingOptions{Format: "{series}}-{number}"}, []string{"format", "brace"}},
		{"line break", invoice.NumberingOptions{Format: "{series}\n{number}"}, []string{"format", "printable"}},
		{"bad UTF-8", invoice.NumberingOptions{Format: "{series}\xff{number}"}, []string{"format", "printable"}},
		{"too long", invoice.NumberingOptions{Format: "{series}" + strings.Repeat("-", 128) + "{number}"}, []string{"format", "128"}},
		{"nothing between", invoice.NumberingOptions{Format: "{series}{number:06}"}, []string{"format", "not a digit"}},
		{"a digit between", invoice.NumberingOptions{Format: "-{series}0{number:06}-"}, []string{"format", "not a digit"}},
		{"a period between", invoice.NumberingOptions{Format: "{number}{period}{series}", Period: "year"}, []string{"format", "not a digit"}},
		{
			"all at once",
			invoice.NumberingOptions{InvoiceSeries: " ", CreditNoteSeries: "CN", Period: "month", Format: "{x}", Timezone: "X"},
			[]string{"credit_note_series", "invoice_series", "period", "format", "{x}", "{series}", "{number}", "timezone"},
		},
	} {
		n, err := invoice.NewNumbering(tt.o)
		if err == nil || n != nil {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		var wrong *invoice.NumberingError
		if !errors.As(err, &wrong) || wrong.Problems[0].Field != tt.want[0] {
			t.Errorf("%s: %#v, want a *NumberingError that is about %s", tt.name, err, tt.want[0])
		}
		rest := err.Error()
		for _, want := range tt.want {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%s: %q doesn't name %s", tt.name, err, want)
				break
			}
			rest = after
		}
	}
}

// However numbers are printed, as long as the format is accepted, no two documents print the same.
func TestNumbersAreUnambiguous(t *testing.T) {
	t.Parallel()
	accepted := 0
	// About one draw of five is accepted, and a short run draws 20: so it draws again until enough were.
	for rounds := 0; accepted < 5; rounds++ {
		if rounds == 20 {
			t.Fatalf("only %d formats were accepted", accepted)
		}
		rapid.Check(t, func(t *rapid.T) {
			parts := rapid.Permutation([]string{
				"{series}", "{period}", rapid.SampledFrom([]string{"{number}", "{number:02}"}).Draw(t, "number"),
				rapid.SampledFrom([]string{"", "1", "-", "A", "20"}).Draw(t, "text"),
				rapid.SampledFrom([]string{"", "", "2", "-", "B1"}).Draw(t, "more text"),
			}).Draw(t, "parts")
			n, err := invoice.NewNumbering(invoice.NumberingOptions{Period: "year", Format: strings.Join(parts, "")})
			if err != nil {
				return
			}
			accepted++
			type document struct {
				series, period string
				number         int64
			}
			printed := map[string]document{}
			for _, series := range []string{"1", "2", "A", "-", "11", "A1", "1A", "A-", "-1", "A-1", "20", "A20", "A2010", "2010", "A201020", "1-1", "12010"} {
				for _, period := range []string{"2010", "2011", "1120", "0201"} {
					for _, number := range []int64{1, 2, 10, 11, 20, 21, 101, 110, 111, 1201, 2010, 12010, 20102010, 201020101} {
						d := document{series, period, number}
						first := n.First(invoice.SeriesID{Name: series}, invoice.KindInvoice)
						s := first.Print(period, number)
						if other, ok := printed[s]; ok {
							t.Fatalf("%v and %v are both %s in %q", d, other, s, parts)
						}
						printed[s] = d
					}
				}
			}
		})
	}
}
