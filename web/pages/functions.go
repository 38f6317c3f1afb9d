package pages

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// functions are what the templates call.
func functions() template.FuncMap {
	return template.FuncMap{
		"text":    text,
		"instant": instant,
		"story":   storyPath,
		"age":     func(now time.Time, then *time.Time) string { return short(now.Sub(*then)) },
		"short":   short,
		"rate":    rate,
		"count":   count.String,
		"one":     func(c count) bool { return c.N == 1 && !c.More },
		"next":    func(last int64) string { return term.Thousands(int(last + 1)) },
		"number":  number,
		"seconds": seconds,
		"amount":  amount,
		"money":   money,
		"minor":   func(minor int64, currency string) string { return money(&minor, currency) },
		"lines":   lines,
		"apart":   func(s float64) string { return short(time.Duration(s * float64(time.Second))) },
		"kind":    func(kind string) string { return strings.ReplaceAll(kind, "_", " ") },
	}
}

// storyPath returns the address of the story of an issuer's transaction, or of the number of its invoice.
func storyPath(issuer string, id any) string {
	if pointed, ok := id.(*string); ok {
		id = ""
		if pointed != nil {
			id = *pointed
		}
	}
	path := "/search?q=" + url.QueryEscape(fmt.Sprint(id))
	if issuer != "" {
		path += "&issuer=" + url.QueryEscape(issuer)
	}
	return path
}

// text returns a text of somebody else's, or a dash for none, with a blank in place of each character that isn't printable: one that
// reverses the direction of writing, for example, would have the rest of the line read backwards.
func text(s any) string {
	var t string
	switch s := s.(type) {
	case string:
		t = s
	case *string:
		if s != nil {
			t = *s
		}
	}
	if t == "" {
		return "–"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, t)
}

// lines returns a text of somebody else's like text does, but keeps its lines.
func lines(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return ' '
	}, s)
}

func instant(t any) string {
	switch t := t.(type) {
	case time.Time:
		return t.UTC().Format("2006-01-02 15:04:05Z")
	case *time.Time:
		if t != nil {
			return instant(*t)
		}
	}
	return "–"
}

// short returns a duration in a unit of which there is one at least, such as 12 ms, 3.4 s or 2 h 5 min.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// money returns an amount in minor units with its currency, or a dash.
func money(minor *int64, currency string) string {
	if minor == nil {
		return "–"
	}
	return invoice.FormatMinor(*minor, currency) + " " + currency
}

// amount returns the total of an invoice, with its currency.
func amount(i any) string {
	switch i := i.(type) {
	case report.Invoice:
		return invoice.FormatMinor(i.TotalMinor, i.Currency) + " " + i.Currency
	case *report.Invoice:
		return amount(*i)
	}
	return "?"
}

// number returns a number, or a question mark for one that isn't known.
func number(n any) string {
	switch n := n.(type) {
	case int:
		return term.Thousands(n)
	case int64:
		return term.Thousands(int(n))
	case *int64:
		if n != nil {
			return term.Thousands(int(*n))
		}
	case *float64:
		if n != nil {
			return strconv.FormatFloat(*n, 'f', 1, 64)
		}
		return "–"
	}
	return "?"
}

// seconds returns a duration in words, or a dash if it isn't known.
func seconds(s *float64) string {
	if s == nil || *s > math.MaxInt32 {
		return "–"
	}
	return short(time.Duration(*s * float64(time.Second)))
}

func rate(r report.Rate) string {
	switch perSecond := r.PerSecond(); {
	case r.Records == 0:
		return "0"
	case perSecond < 10:
		return fmt.Sprintf("%.2g", perSecond)
	default:
		return term.Thousands(int(perSecond))
	}
}

// A count is a number that was counted up to a limit.
type count struct {
	N    int
	More bool // there are more than N
}

func (c count) String() string {
	if c.More {
		return "more than " + term.Thousands(c.N)
	}
	return term.Thousands(c.N)
}
