package invoice

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"invoicer/invoice/decimal"
	"invoicer/invoice/identifier"
)

// text reads a string, or null, for which it returns "" and false. It refuses lone surrogates, which no Go string can
// hold; all other characters are checked later, as they are for a job that wasn't decoded.
func (d *decoder) text() (s string, present bool, err error) {
	switch d.tokens.PeekKind() {
	case '"':
	case 'n':
		d.null = true
		return "", false, d.tokens.SkipValue()
	default:
		return "", false, d.refuse("must be a string")
	}
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return "", false, err
	}
	value, ok := unquoted(raw)
	if !ok {
		d.complain(mustBeText)
		return "", false, nil
	}
	return string(value), true, nil
}

// code reads a string that must not be empty if it is present.
func (d *decoder) code() (string, error) {
	s, present, err := d.text()
	if present && s == "" {
		d.complain("must not be empty")
	}
	return s, err
}

// identifier reads an identifier, which may be a JSON integer: shops number their orders.
func (d *decoder) identifier(most int) (string, error) {
	if d.tokens.PeekKind() != '0' {
		s, err := d.code()
		d.lenient = d.lenient || s != "" && !identifier.Narrow(s, most)
		return s, err
	}
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return "", err
	}
	digits := string(raw)
	if strings.Trim(digits, "0123456789") != "" {
		d.complain("must be a string, or an integer in digits alone")
		return "", nil
	}
	d.lenient = true
	return digits, nil
}

// currency reads the code of a currency, which payment services spell in small letters.
func (d *decoder) currency() (string, error) {
	s, err := d.code()
	capitals := strings.ToUpper(s)
	if capitals == s || !consistsOf(s, 3, func(c byte) bool { return 'A' <= c&^0x20 && c&^0x20 <= 'Z' }) {
		return s, err
	}
	d.lenient = true
	return capitals, err
}

// unquoted removes the quotes and escapes of a JSON string. It returns false if an escape stands for invalid text;
// invalid text that isn't escaped stays as it is.
func unquoted(raw jsontext.Value) ([]byte, bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	value, err := jsontext.AppendUnquote(nil, raw)
	return value, err == nil
}

// decimal reads a number, which may be a JSON number or a string. For null it returns false for present. It complains by
// the bounds of version 1; judgeByVersion takes that back, since the version may follow.
func (d *decoder) decimal() (value Decimal, present bool, err error) {
	kind := d.tokens.PeekKind()
	switch kind {
	case '0', '"':
	case 'n':
		d.null = true
		return Decimal{}, false, d.tokens.SkipValue()
	default:
		return Decimal{}, false, d.refuse(decimal.ErrSyntax.Error())
	}
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return Decimal{}, false, err
	}
	number := []byte(raw)
	if kind == '"' {
		number, _ = unquoted(raw) // invalid text isn't a number
	}
	if value, err = bounds1.Parse(string(number)); err == nil {
		return value, true, nil
	}
	d.complain(err.Error())
	one := wideNumber{field: d.at.String()}
	if value, err = ParseDecimal(string(number)); err != nil {
		one.problem = err.Error()
	}
	d.wide = append(d.wide, one)
	return value, true, nil
}

func (d *decoder) readVersion() error {
	switch d.tokens.PeekKind() {
	case '0':
	case 'n':
		return d.tokens.SkipValue()
	default:
		return d.refuse(mustBeVersion)
	}
	version, _, err := d.decimal()
	if err != nil {
		return err
	}
	switch number, whole := version.Scaled(0); {
	case !whole, number < 1, number > math.MaxInt32:
		d.complain(mustBeVersion)
	case number > TaskVersion:
		d.newer = int(number)
	default:
		d.job.Version = int(number)
	}
	return nil
}

// time reads a time in RFC 3339 format, or null, for which it returns the zero time.
func (d *decoder) time() (time.Time, error) {
	s, present, err := d.text()
	if !present {
		return time.Time{}, err
	}
	t, cut, problem := parseTime(s)
	if problem != "" {
		d.complain(problem)
	}
	d.lenient = d.lenient || cut
	return t, nil
}

// parseTime reads a time. It cuts off what is finer than a microsecond, as the database has no more, and says so.
func parseTime(s string) (t time.Time, cut bool, problem string) {
	const mustBeTime = "must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z"
	// RFC 3339 allows a lower-case t and z, package time doesn't. A lower-case letter anywhere else is an error
	// either way.
	s = strings.ToUpper(s)
	fraction, ok := cutTime(s)
	if !ok {
		return time.Time{}, false, mustBeTime
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, false, mustBeTime
	}
	// Package time drops digits beyond nanoseconds, so the digits themselves are looked at.
	cut = len(fraction) > 6 && strings.Trim(fraction[6:], "0") != ""
	return t.Add(-time.Duration(t.Nanosecond() % int(time.Microsecond))).UTC(), cut, ""
}

// cutTime reports whether s has the form of an RFC 3339 time, and returns the digits of its fraction. Package time is
// laxer: it accepts 8:26, a comma before the fraction, and zones of more than a day.
func cutTime(s string) (fraction string, ok bool) {
	const seconds = "0000-00-00T00:00:00"
	if len(s) < len(seconds) || !hasShape(s[:len(seconds)], seconds) {
		return "", false
	}
	zone := s[len(seconds):]
	if after, ok := strings.CutPrefix(zone, "."); ok {
		zone = strings.TrimLeft(after, "0123456789")
		if fraction = after[:len(after)-len(zone)]; fraction == "" {
			return "", false
		}
	}
	if zone == "Z" {
		return fraction, true
	}
	return fraction, (hasShape(zone, "+00:00") || hasShape(zone, "-00:00")) && zone[1:3] <= "23" && zone[4:] <= "59"
}

// hasShape reports whether s has a digit where the shape has 0, and the shape's character elsewhere.
func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		if s[i] != shape[i] && (shape[i] != '0' || !isDigit(s[i])) {
			return false
		}
	}
	return true
}
