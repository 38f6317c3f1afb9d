package invoice

import "invoicer/invoice/decimal"

// A Decimal is an exact decimal number. Equal numbers are equal by ==. [NewDecimal], [ParseDecimal] and [MustDecimal] make one.
type Decimal = decimal.Decimal

// decimalPlaces is how many decimals a number in a job of version 1 can have.
const decimalPlaces = 6

// bounds1 are the bounds of quantities and prices in a job of version 1.
//
//nolint:gochecknoglobals // a constant
var bounds1 = decimal.Bounds{Digits: 12, Decimals: decimalPlaces}

// NewDecimal returns unscaled × 10^-decimals: NewDecimal(6, 0) is 6, and NewDecimal(255, 2) is 2.55. Decimals is 0 to 12; NewDecimal
// panics if it is anything else.
func NewDecimal(unscaled int64, decimals int) Decimal { return decimal.New(unscaled, decimals) }

// ParseDecimal reads a number as JSON spells it, exponent included, without ever going through a float. The value
// counts, not the spelling: 1.5000000 and 15e-1 are 1.5. ParseDecimal returns an error for anything but a JSON
// number, for a value with more than twelve decimals, and for an absolute value of 10¹⁵ or more. Its cost is linear in
// the length of s, whatever the exponent. A job of version 1 allows less: see [Job.Encode].
func ParseDecimal(s string) (Decimal, error) { return decimal.Widest().Parse(s) }

// MustDecimal is [ParseDecimal] for constants in a program: it panics if s isn't a valid decimal.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err) //nolint:forbidigo // a mistake in the program's own text
	}
	return d
}

// isDigit reports whether the character is a digit of a number.
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
