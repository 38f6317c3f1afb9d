package decimal

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds say which numbers are allowed.
type Bounds struct {
	Digits   int // how many digits may stand before the point: the number is smaller than 10^Digits in size; 1 to 18
	Decimals int // how many may stand behind it; 0 to [Places]
}

// Widest returns the widest bounds of any number in a job: smaller than 10¹⁵ in size, with up to 12 decimals.
func Widest() Bounds { return Bounds{Digits: 15, Decimals: Places} }

// ErrSyntax says that a text is no number.
var ErrSyntax = errors.New("must be a decimal number such as 2.50")

// tooBig returns the error for a number of this size or more.
func (b Bounds) tooBig() error {
	limit := strings.Repeat("0", b.Digits)
	for i := len(limit) - 3; i > 0; i -= 3 {
		limit = limit[:i] + "," + limit[i:]
	}
	if b.Digits%3 == 0 {
		limit = "," + limit
	}
	return fmt.Errorf("must be smaller than 1%s in size", limit)
}

// tooFine returns the error for a number with more decimals.
func (b Bounds) tooFine() error { return fmt.Errorf("must not have more than %d decimals", b.Decimals) }

// Check returns an error for a number that isn't within the bounds. Its text says what the number must be, to be read after the name
// of the field that holds the number. It is the error that [Bounds.Parse] returns for such a number.
func (b Bounds) Check(d Decimal) error {
	size := powers[b.Digits]
	switch {
	case d.whole <= -size || size <= d.whole:
		return b.tooBig()
	case d.fraction%powers[Places-b.Decimals] != 0:
		return b.tooFine()
	default:
		return nil
	}
}

// Parse reads a number as JSON spells it, exponent included, without ever going through a float. The value counts, not the spelling:
// 1.5000000 and 15e-1 are 1.5. Parse returns [ErrSyntax] for anything but a JSON number, and an error for a value with more decimals
// or digits than the bounds allow. The errors' texts are to be read after the name of the field. Its cost is linear in the length of s,
// whatever the exponent.
func (b Bounds) Parse(s string) (Decimal, error) {
	i := 0
	negative := s != "" && s[0] == '-'
	if negative {
		i++
	}

	var m mantissa
	whole := i
	for ; i < len(s) && isDigit(s[i]); i++ {
		m.add(s[i])
	}
	if i == whole || (s[whole] == '0' && i > whole+1) {
		return Decimal{}, ErrSyntax
	}
	decimals := 0
	if i < len(s) && s[i] == '.' {
		i++
		point := i
		for ; i < len(s) && isDigit(s[i]); i++ {
			m.add(s[i])
		}
		if decimals = i - point; decimals == 0 {
			return Decimal{}, ErrSyntax
		}
	}
	exponent, ok := parseExponent(s[i:])
	if !ok {
		return Decimal{}, ErrSyntax
	}

	if m.count == 0 {
		return Decimal{}, nil // zero, whatever its exponent says
	}
	// The value is the digits × 10^scale, and the digits don't end in 0, so the number of decimals follows from scale alone.
	scale := exponent - decimals + m.zeros
	switch {
	case m.count+scale > b.Digits:
		return Decimal{}, b.tooBig()
	case scale < -b.Decimals && m.count <= floatDigits && isNoise(s):
		return Decimal{}, fmt.Errorf("%w, and looks like the binary noise of a floating-point number: round it before you send it", b.tooFine())
	case scale < -b.Decimals:
		return Decimal{}, b.tooFine()
	}
	d := m.times10(scale)
	if negative {
		d = d.Neg()
	}
	return d, nil
}

// floatDigits is how many digits a float of 64 bits is printed with at most.
const floatDigits = 17

// isNoise reports whether a number looks like a shorter one that went through a float: 111.2999999999998, 0.30000000000000004.
func isNoise(s string) bool {
	_, fraction, _ := strings.Cut(s, ".")
	const noisy, alike = 12, 6 // decimals at least, and equal ones among them
	return len(fraction) >= noisy && (strings.Contains(fraction, strings.Repeat("9", alike)) || strings.Contains(strings.TrimRight(fraction, "0"), strings.Repeat("0", alike)))
}

// mostDigits is how many digits a Decimal within any bounds has.
const mostDigits = 18 + Places

// powers are the powers of ten that an int64 holds.
//
//nolint:gochecknoglobals // a constant table
var powers = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// A mantissa collects the digits of a number from the first that isn't 0 to the last that isn't.
type mantissa struct {
	digits [mostDigits]byte // the first of them, as numbers
	count  int              // how many digits there are
	zeros  int              // zeros seen after them; they belong to the number only if another digit follows
}

func (m *mantissa) add(digit byte) {
	if digit == '0' {
		if m.count > 0 {
			m.zeros++
		}
		return
	}
	m.count += m.zeros + 1
	m.zeros = 0
	if m.count <= mostDigits {
		m.digits[m.count-1] = digit - '0'
	}
}

// times10 returns the digits × 10^scale. The caller knows that the result is within some bounds.
func (m *mantissa) times10(scale int) (d Decimal) {
	point := min(max(m.count+scale, 0), m.count) // the digits before it are whole ones
	for _, digit := range m.digits[:point] {
		d.whole = d.whole*10 + int64(digit)
	}
	if scale >= 0 {
		d.whole *= powers[scale]
		return d
	}
	for _, digit := range m.digits[point:m.count] {
		d.fraction = d.fraction*10 + int64(digit)
	}
	d.fraction *= powers[Places+scale]
	return d
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
