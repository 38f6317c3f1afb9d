package amounts_test

import (
	"math/big"

	"invoicer/invoice/decimal"
)

// The oracle is the arithmetic once more, as slow and as literal as it gets: fractions all the way, nothing shared with the package.

func fraction(d decimal.Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		panic(d.String())
	}
	return r
}

func plus(a, b *big.Rat) *big.Rat  { return new(big.Rat).Add(a, b) }
func minus(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func times(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }
func over(a, b *big.Rat) *big.Rat  { return new(big.Rat).Quo(a, b) }
func whole(n int64) *big.Rat       { return new(big.Rat).SetInt64(n) }

// down rounds down.
func down(r *big.Rat) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Div(r.Num(), r.Denom())) // Euclidean: the denominator is above 0
}

// half rounds half away from zero.
func half(r *big.Rat) *big.Rat {
	if r.Sign() < 0 {
		return new(big.Rat).Neg(half(new(big.Rat).Neg(r)))
	}
	return down(plus(r, big.NewRat(1, 2)))
}

// apportion shares a total around parts by largest remainder. What is 0 stays 0, unless all are.
func apportion(total *big.Rat, parts []*big.Rat) []*big.Rat {
	var some []*big.Rat
	for _, p := range parts {
		if p.Sign() != 0 {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		return apportionAll(total, parts)
	}
	some = apportionAll(total, some)
	var shares []*big.Rat
	for _, p := range parts {
		if p.Sign() == 0 {
			shares = append(shares, p)
		} else {
			shares, some = append(shares, some[0]), some[1:]
		}
	}
	return shares
}

func apportionAll(total *big.Rat, parts []*big.Rat) []*big.Rat {
	sum, first := new(big.Rat), 0
	for _, p := range parts {
		sum = plus(sum, p)
		if first == 0 {
			first = p.Sign()
		}
	}
	if sum.Sign() < 0 || sum.Sign() == 0 && (first < 0 || first == 0 && total.Sign() < 0) {
		var turned []*big.Rat
		for _, p := range parts {
			turned = append(turned, new(big.Rat).Neg(p))
		}
		shares := apportionAll(new(big.Rat).Neg(total), turned)
		for i := range shares {
			shares[i] = new(big.Rat).Neg(shares[i])
		}
		return shares
	}
	shares, left := make([]*big.Rat, len(parts)), total
	for i, p := range parts {
		shares[i] = down(p)
		left = minus(left, shares[i])
	}
	for left.Sign() < 0 {
		for i := range shares {
			shares[i], left = minus(shares[i], whole(1)), plus(left, whole(1))
		}
	}
	for ; left.Sign() > 0; left = minus(left, whole(1)) {
		most := 0
		for i := range shares {
			if minus(parts[i], shares[i]).Cmp(minus(parts[most], shares[most])) > 0 {
				most = i
			}
		}
		shares[most] = plus(shares[most], whole(1))
	}
	return shares
}
