package invoice

import (
	"errors"
	"strconv"
)

// A Decimal is an exact decimal number with up to six decimals, counted in millionths: 2.5 is 2_500_000. The absolute
// value of a Decimal that [ParseDecimal] returns is below 10¹².
type Decimal int64

const (
	decimalPlaces = 6             // decimals that a Decimal can hold
	decimalDigits = 12            // digits that may stand before the point
	decimalUnit   = 1_000_000     // millionths in 1
	decimalLimit  = decimalUnit * // the absolute value of every valid Decimal is below this
		1_000_000_000_000
)

var (
	errDecimalSyntax    = errors.New("must be a decimal number such as 2.50")
	errDecimalPrecision = errors.New("must not have more than 6 decimals")
	errDecimalSize      = errors.New("must be smaller than 1,000,000,000,000 in size")
)

// ParseDecimal reads a number as JSON spells it, exponent included, without ever going through a float. The value
// counts, not the spelling: 1.5000000 and 15e-1 are 1.5. ParseDecimal returns an error for anything but a JSON
// number, for a value with more than six decimals, and for an absolute value of 10¹² or more. Its cost is linear in
// the length of s, whatever the exponent.
func ParseDecimal(s string) (Decimal, error) {
	i := 0
	negative := s != "" && s[0] == '-'
	if negative {
		i++
	}

	m := mantissa{leading: true}
	whole := i
	for ; i < len(s) && isDigit(s[i]); i++ {
		m.add(s[i])
	}
	if i == whole || (s[whole] == '0' && i > whole+1) {
		return 0, errDecimalSyntax
	}
	decimals := 0
	if i < len(s) && s[i] == '.' {
		i++
		point := i
		for ; i < len(s) && isDigit(s[i]); i++ {
			m.add(s[i])
		}
		if decimals = i - point; decimals == 0 {
			return 0, errDecimalSyntax
		}
	}
	exponent, ok := parseExponent(s[i:])
	if !ok {
		return 0, errDecimalSyntax
	}

	if m.leading {
		return 0, nil // zero, whatever its exponent says
	}
	// The value is m.digits × 10^scale, and m.digits doesn't end in 0, so the number of decimals follows from scale
	// alone.
	scale := exponent - decimals + m.zeros
	switch {
	case m.count+scale > decimalDigits:
		return 0, errDecimalSize
	case scale < -decimalPlaces:
		return 0, errDecimalPrecision
	}
	value := m.digits
	for range scale + decimalPlaces {
		value *= 10
	}
	if negative {
		value = -value
	}
	return Decimal(value), nil
}

// A mantissa collects the digits of a number from the first that isn't 0 to the last that isn't.
type mantissa struct {
	leading bool  // only zeros so far
	digits  int64 // meaningless if count exceeds the digits of any Decimal
	count   int   // digits in digits
	zeros   int   // zeros seen after digits; they belong to the number only if another digit follows
}

func (m *mantissa) add(digit byte) {
	if digit == '0' {
		if !m.leading {
			m.zeros++
		}
		return
	}
	m.leading = false
	if m.count += m.zeros + 1; m.count <= decimalDigits+decimalPlaces {
		for range m.zeros + 1 {
			m.digits *= 10
		}
		m.digits += int64(digit - '0')
	}
	m.zeros = 0
}

// parseExponent reads the exponent that may follow the digits of a JSON number. It stops counting at a size that the
// digits of no payload are long enough to compensate.
func parseExponent(s string) (exponent int, ok bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := s != "" && s[0] == '-'
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	const enough = 1 << 40
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		exponent = min(exponent*10+int(s[i]-'0'), enough)
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// String returns the shortest spelling of the number: 2.5, -0.001, 6. [ParseDecimal] reads it back.
func (d Decimal) String() string {
	return string(d.Append(make([]byte, 0, 24)))
}

// Append appends the text that String returns to b.
func (d Decimal) Append(b []byte) []byte {
	size := magnitude(int64(d))
	if d < 0 {
		b = append(b, '-')
	}
	b = strconv.AppendUint(b, size/decimalUnit, 10)
	fraction := size % decimalUnit
	if fraction == 0 {
		return b
	}
	b = append(b, '.')
	for digit := uint64(decimalUnit / 10); fraction > 0; digit /= 10 {
		b = append(b, '0'+byte(fraction/digit))
		fraction %= digit
	}
	return b
}

// MustDecimal is [ParseDecimal] for constants in a program: it panics if s isn't a valid decimal.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err) //nolint:forbidigo // a mistake in the program's own text
	}
	return d
}
