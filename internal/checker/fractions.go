package checker

import (
	"math/big"
	"slices"
)

// fraction is a percentage as a fraction of one.
func fraction(percent *number) *big.Rat {
	return new(big.Rat).Quo(percent.Rat(), big.NewRat(100, 1))
}

func plusOne(r *big.Rat) *big.Rat { return new(big.Rat).Add(big.NewRat(1, 1), r) }

// round rounds half away from zero.
func round(r *big.Rat) *big.Int {
	twice := new(big.Rat).Add(new(big.Rat).Mul(new(big.Rat).Abs(r), big.NewRat(2, 1)), big.NewRat(1, 1))
	whole := floor(twice.Quo(twice, big.NewRat(2, 1)))
	if r.Sign() < 0 {
		whole.Neg(whole)
	}
	return whole
}

func floor(r *big.Rat) *big.Int {
	return new(big.Int).Div(r.Num(), r.Denom()) // Euclidean, and the denominator is above zero
}

// proportions shares a whole amount in proportion to weights. Weights that sum to zero get nothing.
func proportions(total *big.Int, weights []*big.Rat) []*big.Int {
	sum := sumOf(weights)
	parts := make([]*big.Rat, len(weights))
	for i, w := range weights {
		parts[i] = new(big.Rat)
		if sum.Sign() != 0 {
			parts[i].Quo(parts[i].Mul(new(big.Rat).SetInt(total), w), sum)
		}
	}
	return around(parts, total)
}

func sumOf(parts []*big.Rat) *big.Rat {
	sum := new(big.Rat)
	for _, p := range parts {
		sum.Add(sum, p)
	}
	return sum
}

// around makes whole numbers of parts, each near its own and all of them of the given sum, by largest remainder.
func around(parts []*big.Rat, total *big.Int) []*big.Int {
	if len(parts) == 0 {
		return nil
	}
	if turned(parts, total) {
		opposite := make([]*big.Rat, len(parts))
		for i, p := range parts {
			opposite[i] = new(big.Rat).Neg(p)
		}
		whole := shareOut(opposite, new(big.Int).Neg(total))
		for _, w := range whole {
			w.Neg(w)
		}
		return whole
	}
	return shareOut(parts, total)
}

func turned(parts []*big.Rat, total *big.Int) bool {
	if sign := sumOf(parts).Sign(); sign != 0 {
		return sign < 0
	}
	for _, p := range parts {
		if p.Sign() != 0 {
			return p.Sign() < 0
		}
	}
	return total.Sign() < 0
}

func shareOut(parts []*big.Rat, total *big.Int) []*big.Int {
	whole, rest, left := make([]*big.Int, len(parts)), make([]*big.Rat, len(parts)), new(big.Int).Set(total)
	var order []int
	for i, p := range parts {
		whole[i] = floor(p)
		rest[i] = new(big.Rat).Sub(p, new(big.Rat).SetInt(whole[i]))
		left.Sub(left, whole[i])
		if p.Sign() != 0 {
			order = append(order, i)
		}
	}
	if order == nil { // nothing has a weight
		for i := range parts {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return rest[b].Cmp(rest[a]) })
	// Only a tax that is given can leave more than one for each, or less than nothing.
	each, one := new(big.Int).DivMod(left, big.NewInt(int64(len(order))), new(big.Int))
	for place, i := range order {
		whole[i].Add(whole[i], each)
		if int64(place) < one.Int64() {
			whole[i].Add(whole[i], big.NewInt(1))
		}
	}
	return whole
}
