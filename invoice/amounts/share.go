package amounts

import (
	"cmp"
	"math/big"
	"slices"
)

// share splits a total into one whole number for each part, as near to the parts as a sum of exactly the total allows: by largest
// remainder, of equal ones the first. A part that is 0 gets 0, unless all are. The parts are numerators over the denominator, which is
// above 0. Where they don't sum up to the total, the difference is shared evenly.
func share(total *big.Int, numerators []big.Int, denominator *big.Int) []big.Int {
	shares := make([]big.Int, len(numerators))
	if len(numerators) == 1 {
		shares[0].Set(total)
		return shares
	}
	sharing := make([]sharer, 0, len(numerators))
	turned := isTurned(numerators, total)
	left := new(big.Int).Set(total)
	if turned {
		left.Neg(left)
	}
	var part big.Int
	for i := range numerators {
		if numerators[i].Sign() == 0 {
			continue
		}
		if part.Set(&numerators[i]); turned {
			part.Neg(&part)
		}
		sharing = append(sharing, sharer{share: &shares[i]})
		shares[i].DivMod(&part, denominator, &sharing[len(sharing)-1].rest) // which rounds down
		left.Sub(left, &shares[i])
	}
	if len(sharing) == 0 {
		for i := range shares {
			sharing = append(sharing, sharer{share: &shares[i]})
		}
	}
	handOut(left, sharing)
	if turned {
		for i := range shares {
			shares[i].Neg(&shares[i])
		}
	}
	return shares
}

// A sharer is a part, rounded down, with what it lost by that.
type sharer struct {
	share *big.Int
	rest  big.Int
}

// handOut adds what is left to the shares: mostly less than one for each of them, which goes to those that lost most.
func handOut(left *big.Int, sharing []sharer) {
	if left.Sign() == 0 || len(sharing) == 0 {
		return
	}
	each, more := new(big.Int).DivMod(left, big.NewInt(int64(len(sharing))), new(big.Int))
	slices.SortStableFunc(sharing, func(a, b sharer) int { return b.rest.Cmp(&a.rest) })
	one := big.NewInt(1)
	for i := range sharing {
		share := sharing[i].share
		if share.Add(share, each); int64(i) < more.Int64() {
			share.Add(share, one)
		}
	}
}

// isTurned reports whether the parts sum to less than zero, or to zero while the first that isn't zero is below it. Such parts are
// shared with their signs turned, so that they and the same parts with the other signs are shared alike. If all are 0, the total says.
func isTurned(parts []big.Int, total *big.Int) bool {
	var sum big.Int
	first := 0
	for i := range parts {
		sum.Add(&sum, &parts[i])
		if first == 0 {
			first = parts[i].Sign()
		}
	}
	return cmp.Or(sum.Sign(), first, total.Sign()) < 0
}
