package invoice

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	placeholderSeries = "{series}"
	placeholderPeriod = "{period}"
	placeholderNumber = "{number}"
)

// maxFormat is the longest format, so that printed numbers stay short enough to be printed and indexed.
const maxFormat = 128

// A numberFormat is a sequence of placeholders and of the text between them.
type numberFormat struct {
	parts []string
	width int // the fewest digits of a number
}

// parseNumberFormat parses a format. Its error names everything that is wrong with it.
func parseNumberFormat(format string, periods bool) (numberFormat, error) {
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
		case placeholder == placeholderSeries, placeholder == placeholderPeriod, placeholder == placeholderNumber:
			count[placeholder]++
			f.parts = append(f.parts, placeholder)
		default:
			width, ok := numberWidth(placeholder)
			if !ok {
				bad("has %s, which is none of {series}, {period}, {number} and {number:01} to {number:018}", placeholder)
				continue
			}
			count[placeholderNumber]++
			f.parts = append(f.parts, placeholderNumber)
			f.width = width
		}
	}

	for _, placeholder := range []string{placeholderSeries, placeholderNumber} {
		if count[placeholder] != 1 {
			bad("must contain %s once", placeholder)
		}
	}
	switch {
	case periods && count[placeholderPeriod] != 1:
		bad("must contain %s once, since numbers start again with each period", placeholderPeriod)
	case !periods && count[placeholderPeriod] > 0:
		bad("must not contain %s, since period is %s", placeholderPeriod, periodNone)
	}
	if len(complaints) == 0 && !f.unambiguous() {
		bad("must have a character that is not a digit between %s and %s: otherwise two documents could print the same number",
			placeholderSeries, placeholderNumber)
	}
	if len(complaints) > 0 {
		return f, errors.New(strings.Join(complaints, "; "))
	}
	return f, nil
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
// print the same. A period always has four digits, and the fixed text is known; series and number vary in length. A
// number consists of digits only, so on the side of the series it ends at the next character that isn't a digit, if
// the format has one there. A series may have digits at either end, so without such a character there are always two
// readings.
func (f numberFormat) unambiguous() bool {
	between := false
	for _, part := range f.parts {
		switch part {
		case placeholderSeries, placeholderNumber:
			between = !between
		case placeholderPeriod:
		default:
			if between && strings.ContainsFunc(part, func(r rune) bool { return r < '0' || '9' < r }) {
				return true
			}
		}
	}
	return false
}

func (f numberFormat) print(s Slot, number int64) string {
	var b strings.Builder
	for _, part := range f.parts {
		switch part {
		case placeholderSeries:
			b.WriteString(s.Series)
		case placeholderPeriod:
			b.WriteString(s.Period)
		case placeholderNumber:
			fmt.Fprintf(&b, "%0*d", f.width, number)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}
