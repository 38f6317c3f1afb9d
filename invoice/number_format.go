package invoice

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	placeholderSeries = "{series}"
	placeholderPeriod = "{period}"
	placeholderNumber = "{number}"

	// The year and month in which a period begins.
	placeholderYear      = "{year}"
	placeholderShortYear = "{yy}"
	placeholderMonth     = "{month}"
)

// maxFormat is the longest format, so that printed numbers stay short enough to be printed and indexed.
const maxFormat = 128

// A numberFormat is a sequence of placeholders and of the text between them.
type numberFormat struct {
	parts []string
	width int // the fewest digits of a number
}

// A formatOf says what a format is for.
type formatOf struct {
	manySeries bool   // which the format tells apart
	periods    string // one of SeriesPeriods
}

// parseNumberFormat parses a format. Its error names everything that is wrong with it.
func parseNumberFormat(format string, of formatOf) (numberFormat, error) {
	f := numberFormat{width: 1}
	var complaints []string
	bad := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }

	if len(format) > maxFormat {
		return f, fmt.Errorf("must not have more than %d bytes", maxFormat)
	}
	if !utf8.ValidString(format) || strings.ContainsFunc(format, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return f, errors.New("must be printable")
	}
	count := make(map[string]int)
	for rest := format; rest != ""; {
		var text, placeholder string
		text, placeholder, rest = nextPlaceholder(rest)
		if text != "" {
			f.parts = append(f.parts, text)
		}
		switch {
		case strings.ContainsAny(text, "{}"):
			bad("has a brace without its counterpart in %q", text)
		case placeholder == "":
		case slices.Contains([]string{placeholderSeries, placeholderPeriod, placeholderNumber, placeholderYear, placeholderShortYear, placeholderMonth}, placeholder):
			count[placeholder]++
			f.parts = append(f.parts, placeholder)
		default:
			width, ok := numberWidth(placeholder)
			if !ok {
				bad("has %s, which is none of {series}, {period}, {year}, {yy}, {month}, {number} and {number:01} to {number:018}", placeholder)
				continue
			}
			count[placeholderNumber]++
			f.parts = append(f.parts, placeholderNumber)
			f.width = width
		}
	}

	complaints = append(complaints, of.lacks(count)...)
	if len(complaints) == 0 && of.manySeries && !f.unambiguous() {
		bad("must have a character that is not a digit between %s and %s: otherwise two documents could print the same number",
			placeholderSeries, placeholderNumber)
	}
	if len(complaints) > 0 {
		return f, errors.New(strings.Join(complaints, "; "))
	}
	return f, nil
}

// lacks returns what is wrong with the placeholders of a format, of which count says how often each stands there.
func (of formatOf) lacks(count map[string]int) (complaints []string) {
	bad := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	if of.manySeries && count[placeholderSeries] != 1 {
		bad("must contain %s once", placeholderSeries)
	}
	if count[placeholderNumber] != 1 {
		bad("must contain %s once", placeholderNumber)
	}
	for _, placeholder := range []string{placeholderSeries, placeholderPeriod, placeholderYear, placeholderShortYear, placeholderMonth} {
		if count[placeholder] > 1 && (placeholder != placeholderSeries || !of.manySeries) {
			bad("must not contain %s twice", placeholder)
		}
	}
	years := count[placeholderPeriod] + count[placeholderYear] + count[placeholderShortYear]
	switch months := count[placeholderPeriod] + count[placeholderMonth]; {
	case of.periods == periodNone && years+months > 0:
		bad("must not contain %s, %s, %s or %s, since period is %s", placeholderPeriod, placeholderYear, placeholderShortYear, placeholderMonth, periodNone)
	case of.periods == periodYear && count[placeholderMonth] > 0:
		bad("must not contain %s, since period is %s", placeholderMonth, periodYear)
	case of.periods != periodNone && years == 0:
		bad("must contain %s once, since numbers start again with each period", placeholderPeriod)
	case of.periods == periodMonth && months == 0:
		bad("must contain %s, or %s beside the year, since numbers start again with each month", placeholderPeriod, placeholderMonth)
	}
	return complaints
}

// nextPlaceholder cuts the format after its first placeholder.
func nextPlaceholder(format string) (text, placeholder, rest string) {
	from := strings.IndexByte(format, '{')
	if from < 0 {
		return format, "", ""
	}
	length := strings.IndexByte(format[from:], '}') + 1
	if length == 0 {
		return format, "", ""
	}
	return format[:from], format[from : from+length], format[from+length:]
}

// numberWidth returns the width in a placeholder such as {number:06}.
func numberWidth(placeholder string) (int, bool) {
	digits, ok := strings.CutPrefix(placeholder, "{number:0")
	digits = strings.TrimSuffix(digits, "}")
	width, err := strconv.Atoi(digits)
	return width, ok && err == nil && digits[0] != '0' && digits[0] != '+' && 1 <= width && width <= 18
}

// unambiguous reports whether series, period and number can be read from the printed number, so that no two documents
// print the same. A period always has the same length, and the fixed text is known; series and number vary in length. A
// number consists of digits only, so on the side of the series it ends at the next character that isn't a digit, if
// the format has one there. A series may have digits at either end, so without such a character there are always two
// readings.
func (f numberFormat) unambiguous() bool {
	between := false
	for _, part := range f.parts {
		switch part {
		case placeholderSeries, placeholderNumber:
			between = !between
		case placeholderPeriod, placeholderYear, placeholderShortYear, placeholderMonth:
		default:
			if between && strings.ContainsFunc(part, func(r rune) bool { return r < '0' || '9' < r }) {
				return true
			}
		}
	}
	return false
}

func (f numberFormat) print(series, period string, number int64) string {
	var b strings.Builder
	for _, part := range f.parts {
		switch part {
		case placeholderSeries:
			b.WriteString(series)
		case placeholderPeriod:
			b.WriteString(period)
		case placeholderYear:
			b.WriteString(period[:min(4, len(period))])
		case placeholderShortYear:
			b.WriteString(period[min(2, len(period)):min(4, len(period))])
		case placeholderMonth:
			b.WriteString(period[min(5, len(period)):])
		case placeholderNumber:
			fmt.Fprintf(&b, "%0*d", f.width, number)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}
