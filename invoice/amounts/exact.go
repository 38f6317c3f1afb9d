package amounts

import "math/big"

// powers returns 10^n, which nobody may change.
func power10(n int) *big.Int {
	if n < len(powers) {
		return powers[n]
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

//nolint:gochecknoglobals // a constant table
var powers = func() (p [64]*big.Int) {
	p[0] = big.NewInt(1)
	for i := 1; i < len(p); i++ {
		p[i] = new(big.Int).Mul(p[i-1], big.NewInt(10))
	}
	return p
}()

// rounded returns numerator / denominator, rounded half away from zero. The denominator is above 0.
func rounded(numerator, denominator *big.Int) *big.Int {
	var rest big.Int
	quotient, _ := new(big.Int).QuoRem(numerator, denominator, &rest)
	if rest.Lsh(&rest, 1).CmpAbs(denominator) >= 0 {
		quotient.Add(quotient, big.NewInt(int64(numerator.Sign())))
	}
	return quotient
}

// An exact is a sum of decimal numbers with any number of decimals: units × 10^-places.
type exact struct {
	units  big.Int
	places int
}

func (e *exact) add(units *big.Int, places int) {
	switch {
	case places > e.places:
		e.units.Mul(&e.units, power10(places-e.places))
		e.places = places
	case places < e.places:
		units = new(big.Int).Mul(units, power10(e.places-places))
	}
	e.units.Add(&e.units, units)
}

func (e *exact) rounded() *big.Int { return rounded(&e.units, power10(e.places)) }

// text formats an amount in minor units: 10001 with an exponent of 2 is 100.01.
func text(minor *big.Int, exponent int) string {
	digits := new(big.Int).Abs(minor).String()
	for len(digits) <= exponent {
		digits = "0" + digits
	}
	if exponent > 0 {
		point := len(digits) - exponent
		digits = digits[:point] + "." + digits[point:]
	}
	if minor.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
