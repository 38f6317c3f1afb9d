// Package decimal holds exact decimal numbers: quantities, prices, percentages and amounts of money as people state them.
package decimal

import (
	"cmp"
	"math/big"
	"strconv"
)

// A Decimal is an exact decimal number with up to [Places] decimals. The zero value is 0. Equal numbers are equal by ==, however
// they were spelled, so a Decimal can be a map's key.
//
// A Decimal holds every number smaller than 2⁶³ in size. One that a [Bounds] has parsed is within those bounds.
type Decimal struct {
	whole    int64 // what stands before the point
	fraction int64 // what stands behind it, in units of 10⁻¹²: between -10¹² and 10¹², and never of the other sign than whole
}

const (
	// Places is how many decimals a Decimal can have.
	Places = 12

	unit       = 1_000_000_000_000 // units of the fraction in 1
	millionths = 1_000_000         // millionths in 1
	micro      = unit / millionths // units of the fraction in a millionth
)

// New returns unscaled × 10^-decimals: New(255, 2) is 2.55. Decimals is 0 to [Places]; New panics if it is anything else.
func New(unscaled int64, decimals int) Decimal {
	one := powers[decimals]
	return Decimal{whole: unscaled / one, fraction: unscaled % one * powers[Places-decimals]}
}

// Sign returns -1, 0 or 1: whether the number is below, at or above 0.
func (d Decimal) Sign() int {
	switch {
	case d.whole < 0, d.fraction < 0:
		return -1
	case d == Decimal{}:
		return 0
	default:
		return 1
	}
}

// IsZero reports whether the number is 0.
func (d Decimal) IsZero() bool { return d == Decimal{} }

// Cmp returns -1, 0 or 1: whether the number is smaller than, equal to or larger than the other.
func (d Decimal) Cmp(other Decimal) int {
	if d.whole != other.whole {
		return cmp.Compare(d.whole, other.whole)
	}
	return cmp.Compare(d.fraction, other.fraction)
}

// Equal reports whether both are the same number, as == does.
func (d Decimal) Equal(other Decimal) bool { return d == other }

// Neg returns the number with the other sign.
func (d Decimal) Neg() Decimal { return Decimal{whole: -d.whole, fraction: -d.fraction} }

// Millionths returns the number in millionths: 2_500_000 for 2.5. ok is false if it has more than 6 decimals, or if it is 10¹² or
// more in size.
func (d Decimal) Millionths() (n int64, ok bool) {
	n = d.whole*millionths + d.fraction/micro
	return n, d.fraction%micro == 0 && -unit < d.whole && d.whole < unit
}

// Scaled returns the number in units of 10^-decimals: 250 for 2.5 and 2 decimals. ok is false if it has more decimals, or if the
// result doesn't fit an int64. Decimals is 0 to [Places]; Scaled panics if it is anything else.
func (d Decimal) Scaled(decimals int) (n int64, ok bool) {
	one, rest := powers[decimals], powers[Places-decimals]
	n = d.whole * one
	if n/one != d.whole || d.fraction%rest != 0 {
		return 0, false
	}
	sum := n + d.fraction/rest
	return sum, d.Sign() >= 0 == (sum >= 0) // both parts have one sign, so that only a sum past the end has the other
}

// Decimals returns how many decimals the number has: 2 for 2.55, 0 for 6.
func (d Decimal) Decimals() int {
	n := Places
	for fraction := d.fraction; n > 0 && fraction%10 == 0; n-- {
		fraction /= 10
	}
	return n
}

// Int sets z to the number in units of 10⁻¹² and returns z.
func (d Decimal) Int(z *big.Int) *big.Int {
	if d.whole == 0 {
		return z.SetInt64(d.fraction)
	}
	var part big.Int
	z.Mul(z.SetInt64(d.whole), part.SetInt64(unit))
	return z.Add(z, part.SetInt64(d.fraction))
}

// Parts returns the absolute value: what stands before the point, and what stands behind it in units of 10^-[Places].
func (d Decimal) Parts() (whole, fraction uint64) {
	if d.whole < 0 || d.fraction < 0 {
		return -uint64(d.whole), -uint64(d.fraction)
	}
	return uint64(d.whole), uint64(d.fraction)
}

// String returns the shortest spelling of the number: 2.5, -0.001, 6. [Bounds.Parse] reads it back.
func (d Decimal) String() string {
	return string(d.Append(make([]byte, 0, 34)))
}

// Append appends the text that String returns to b.
func (d Decimal) Append(b []byte) []byte {
	whole, fraction := d.Parts()
	if d.whole < 0 || d.fraction < 0 {
		b = append(b, '-')
	}
	b = strconv.AppendUint(b, whole, 10)
	if fraction == 0 {
		return b
	}
	b = append(b, '.')
	for digit := uint64(unit / 10); fraction > 0; digit /= 10 {
		b = append(b, '0'+byte(fraction/digit))
		fraction %= digit
	}
	return b
}
