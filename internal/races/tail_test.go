package races_test

import (
	"math"
	"math/big"
	"testing"

	"invoicer/internal/races"
)

// exactTail sums the beta-binomial probabilities of d..n in rationals, for whole alpha and beta: with those, each of them is
// C(n,k) × (alpha)_k × (beta)_(n-k) / (alpha+beta)_n, where (x)_k is the rising factorial.
func exactTail(n, d, alpha, beta int64) float64 {
	rising := func(x, k int64) *big.Int {
		if k == 0 {
			return big.NewInt(1)
		}
		return new(big.Int).MulRange(x, x+k-1)
	}
	sum := new(big.Int)
	for k := d; k <= n; k++ {
		term := new(big.Int).Binomial(n, k)
		term.Mul(term, rising(alpha, k))
		term.Mul(term, rising(beta, n-k))
		sum.Add(sum, term)
	}
	tail, _ := new(big.Rat).SetFrac(sum, rising(alpha+beta, n)).Float64()
	return tail
}

func TestTailIsTheExactSum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, d, alpha, beta int64 }{
		{10, 3, 1, 1},
		{10, 10, 1, 1},
		{1, 1, 2, 98},
		{200, 5, 2, 98},
		{200, 17, 8, 392},
		{200, 200, 8, 392},
		{200, 1, 8, 392},
		{800, 60, 20, 980},
		{300, 4, 1, 1000},
		{50, 49, 3, 1},
		{500, 60, 200, 9800},
		{400, 9, 20000, 980000},
		{600, 500, 2, 1000},
	} {
		rate, correlation := float64(c.alpha)/float64(c.alpha+c.beta), 1/float64(c.alpha+c.beta+1)
		got, want := races.Tail(c.n, c.d, rate, correlation), exactTail(c.n, c.d, c.alpha, c.beta)
		if math.Abs(got-want) > 1e-8*want {
			t.Errorf("Tail of %d of %d with alpha %d, beta %d: %g, exactly %g", c.d, c.n, c.alpha, c.beta, got, want)
		}
	}
}

// Without overdispersion the distribution is the binomial one.
func TestTailIsBinomialWithoutOverdispersion(t *testing.T) {
	t.Parallel()
	binomial := func(n, d int64, rate *big.Rat) float64 {
		rest, sum := new(big.Rat).Sub(big.NewRat(1, 1), rate), new(big.Rat)
		power := func(x *big.Rat, k int64) *big.Rat {
			e := big.NewInt(k)
			return new(big.Rat).SetFrac(new(big.Int).Exp(x.Num(), e, nil), new(big.Int).Exp(x.Denom(), e, nil))
		}
		for k := d; k <= n; k++ {
			term := new(big.Rat).SetInt(new(big.Int).Binomial(n, k))
			sum.Add(sum, term.Mul(term, new(big.Rat).Mul(power(rate, k), power(rest, n-k))))
		}
		tail, _ := sum.Float64()
		return tail
	}
	for _, c := range []struct{ n, d, percent int64 }{{200, 16, 2}, {200, 3, 2}, {100, 100, 50}, {40, 1, 1}, {300, 299, 99}} {
		want := binomial(c.n, c.d, big.NewRat(c.percent, 100))
		for _, correlation := range []float64{0, 1e-10, 1e-8} {
			got := races.Tail(c.n, c.d, float64(c.percent)/100, correlation)
			// Correlated by 1e-8, jobs differ a little from independent ones.
			if math.Abs(got-want) > 1e-4*want || correlation < 1e-9 && math.Abs(got-want) > 1e-9*want {
				t.Errorf("Tail of %d of %d at %d %% and correlation %g: %g, exactly %g", c.d, c.n, c.percent, correlation, got, want)
			}
		}
	}
}

func TestTailStaysAProbability(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, 2, 1000, 3_000_000} {
		for _, rate := range []float64{1e-9, 1e-4, 0.5, 1 - 1e-9} {
			for _, correlation := range []float64{0, 2e-9, 1e-6, 0.01, 0.5} {
				before := 1.0
				for _, d := range []int64{-1, 0, 1, n / 1000, n / 2, n - 1, n, n + 1} {
					p := races.Tail(n, d, rate, correlation)
					if math.IsNaN(p) || p < 0 || p > 1 {
						t.Errorf("Tail(%d, %d, %g, %g) = %g", n, d, rate, correlation, p)
					}
					if d >= n/1000 && d >= 1 && d <= n { // in order from here on
						if p > before*(1+1e-6)+1e-12 {
							t.Errorf("Tail(%d, %d, %g, %g) = %g, above %g for fewer duplicates", n, d, rate, correlation, p, before)
						}
						before = p
					}
				}
			}
		}
	}
}
