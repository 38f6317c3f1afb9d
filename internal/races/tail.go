package races

import "math"

// independent is the correlation below which the beta-binomial distribution is taken as the binomial one: its two
// parameters would be so large that differences of their log-gammas lose their digits.
const independent = 1e-9

// Tail returns the probability of d or more duplicates among n jobs: the upper tail of the beta-binomial distribution
// with mean rate and the given correlation between the jobs of a window. 0 < rate < 1, 0 <= correlation < 1.
//
// The first term comes from log-gammas, and each other from the one before, so that neither a large n nor a tail below
// the smallest float64 does harm. A tail below that is 0.
func Tail(n, d int64, rate, correlation float64) float64 {
	from, _ := tails(n, d, rate, correlation)
	return from
}

// tails returns the probability of d or more duplicates, and that of more than d.
func tails(n, d int64, rate, correlation float64) (from, beyond float64) {
	switch {
	case d < 0:
		return 1, 1
	case d > n:
		return 0, 0
	}
	t := newTerms(n, rate, correlation)
	if float64(d) > rate*float64(n) {
		at, beyond := t.above(d)
		return math.Min(1, at+beyond), math.Min(1, beyond)
	}
	// The lower part has fewer terms, and isn't close to 1.
	at, below := t.below(d)
	return math.Max(0, 1-below), math.Max(0, 1-below-at)
}

// terms are the probabilities of 0..n duplicates.
type terms struct {
	n           float64
	rate        float64
	alpha, beta float64
	binomial    bool
}

func newTerms(n int64, rate, correlation float64) terms {
	scale := (1 - correlation) / correlation
	return terms{float64(n), rate, rate * scale, (1 - rate) * scale, correlation < independent}
}

func lgamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}

func logBeta(a, b float64) float64 { return lgamma(a) + lgamma(b) - lgamma(a+b) }

// at returns the probability of k duplicates.
func (t terms) at(k float64) float64 {
	choose := lgamma(t.n+1) - lgamma(k+1) - lgamma(t.n-k+1)
	if t.binomial {
		return math.Exp(choose + k*math.Log(t.rate) + (t.n-k)*math.Log1p(-t.rate))
	}
	return math.Exp(choose + logBeta(k+t.alpha, t.n-k+t.beta) - logBeta(t.alpha, t.beta))
}

// ratio returns the probability of k+1 duplicates divided by that of k.
func (t terms) ratio(k float64) float64 {
	if t.binomial {
		return (t.n - k) / (k + 1) * t.rate / (1 - t.rate)
	}
	return (t.n - k) / (k + 1) * (k + t.alpha) / (t.n - k - 1 + t.beta)
}

// above returns the probability of d duplicates, and sums those of more.
func (t terms) above(d int64) (at, sum float64) {
	at = t.at(float64(d))
	term := at
	// Once the terms fall they fall for good, unless beta is below 1: then those close to n rise again.
	falls := t.binomial || t.beta >= 1
	for k := float64(d); k < t.n; k++ {
		ratio := t.ratio(k)
		term *= ratio
		sum += term
		if falls && ratio < 1 && term/(1-ratio) < sum*1e-17 {
			break
		}
	}
	return at, sum
}

// below returns the probability of d duplicates, and sums those of fewer.
func (t terms) below(d int64) (at, sum float64) {
	at = t.at(float64(d))
	term := at
	for k := float64(d - 1); k >= 0; k-- {
		term /= t.ratio(k)
		sum += term
	}
	return at, sum
}
