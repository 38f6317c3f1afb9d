package invoice

import (
	"math"
	"math/bits"
)

// magnitude returns the absolute value of x, also of the smallest int64.
func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// scaledProduct returns a·b·c / 10^places, rounded half away from zero, and false if that doesn't fit an int64. It is
// exact for any a, b and c: their product takes up to 192 bits. places is 1 to 38.
func scaledProduct(a, b, c int64, places int) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	var w wide
	w = wide{}.plusProduct(lo, magnitude(c), 0)
	w = w.plusProduct(hi, magnitude(c), 1)

	// 10^places may be wider than 64 bits, so the division takes two steps. The second divisor is at least 10 and
	// even; so the second remainder alone decides in which half the whole remainder lies, as the first remainder is
	// less than one unit of it. One step will do for most products, which are small.
	first := 0
	if w[1] != 0 || w[2] != 0 || places >= len(powersOf10) {
		first = places / 2
		w, _ = w.dividedBy(powersOf10[first])
	}
	divisor := powersOf10[places-first]
	w, rest := w.dividedBy(divisor)
	if rest >= divisor/2 {
		w = w.plusProduct(1, 1, 0)
	}
	return w.int64((a < 0) != (b < 0) != (c < 0))
}

// powersOf10 are those that a uint64 holds.
//
//nolint:gochecknoglobals // a constant table
var powersOf10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// A wide is a whole number of 192 bits, the lowest 64 first.
type wide [3]uint64

// plusProduct returns w + a·b·2^(64·limb), for limb 0 or 1. The caller knows that it fits.
func (w wide) plusProduct(a, b uint64, limb int) wide {
	hi, lo := bits.Mul64(a, b)
	var carry uint64
	w[limb], carry = bits.Add64(w[limb], lo, 0)
	w[limb+1], carry = bits.Add64(w[limb+1], hi, carry)
	if limb == 0 {
		w[2] += carry
	}
	return w
}

func (w wide) dividedBy(divisor uint64) (quotient wide, remainder uint64) {
	for i := len(w) - 1; i >= 0; i-- {
		if remainder == 0 && w[i] == 0 {
			continue // most products leave the upper words empty, and division is the expensive part
		}
		quotient[i], remainder = bits.Div64(remainder, w[i], divisor)
	}
	return quotient, remainder
}

func (w wide) int64(negative bool) (int64, bool) {
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	if w[2] != 0 || w[1] != 0 || w[0] > limit {
		return 0, false
	}
	if negative {
		return int64(-w[0]), true
	}
	return int64(w[0]), true
}

// A sum adds up amounts exactly, so that the result depends neither on their order nor on the size of intermediate
// sums.
type sum struct {
	hi, lo uint64 // two's complement
}

func (s *sum) add(x int64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(x), 0)
	s.hi += uint64(x>>63) + carry
}

func (s sum) int64() (int64, bool) {
	return int64(s.lo), s.hi == uint64(int64(s.lo)>>63)
}
