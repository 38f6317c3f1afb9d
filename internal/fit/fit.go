package fit

import (
	"math"
	"slices"
	"time"
)

const (
	// Confidence is the probability with which a sample of [Needed] gaps keeps what it promises.
	Confidence = 0.95
	// MostMove is the share by which the time changes at once. It doesn't change for less.
	MostMove = 0.2
)

// Needed returns how many gaps a sample must have before its quantile counts, by the inequality of Dvoretzky, Kiefer and
// Wolfowitz: with [Confidence], the share of all gaps that are longer than the sample's quantile is then at most twice what
// was asked for, 1 - quantile. The quantile must be less than 1.
func Needed(quantile float64) int {
	off := 1 - quantile // as far as the sample's distribution may be off
	return int(math.Ceil(math.Log(2/(1-Confidence)) / (2 * off * off)))
}

// Quantile returns the shortest of the sorted gaps within which at least this share of them lies; 0 if there are none.
func Quantile(sorted []time.Duration, quantile float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// 0.99 * 100 is a little more than 99 in floating point: the small term keeps the next gap from being taken.
	rank := int(math.Ceil(quantile*float64(len(sorted)) - 1e-6))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Within returns how many of the sorted gaps an entry that lasts this long would have answered.
func Within(sorted []time.Duration, ttl time.Duration) int {
	n, _ := slices.BinarySearchFunc(sorted, ttl, func(gap, ttl time.Duration) int {
		if gap <= ttl {
			return -1
		}
		return 1
	})
	return n
}

// Step returns the time that follows ttl when another one would fit: ttl itself unless they differ by [MostMove] or more, and
// else one that is nearer by MostMove. It never passes what fits, so repeated steps come to rest.
func Step(ttl, fitting time.Duration) time.Duration {
	switch longer, shorter := scale(ttl, 1+MostMove), scale(ttl, 1-MostMove); {
	case fitting >= longer:
		return longer
	case fitting <= shorter:
		return shorter
	}
	return ttl
}

func scale(d time.Duration, by float64) time.Duration {
	return time.Duration(math.Round(float64(d) * by))
}

// Limits bound the time, and say for which share of the late requests it should last.
type Limits struct {
	Quantile float64       // from 0 to 1, without these two
	Min, Max time.Duration // Min isn't more than Max
}

// Clamp returns the time within the limits that is nearest.
func (l Limits) Clamp(ttl time.Duration) time.Duration { return min(max(ttl, l.Min), l.Max) }

// Fitting returns the time within the limits that fits the sorted gaps, in whole seconds, and false if they are too few to say.
func (l Limits) Fitting(sorted []time.Duration) (time.Duration, bool) {
	if len(sorted) < Needed(l.Quantile) {
		return 0, false
	}
	wanted := Quantile(sorted, l.Quantile)
	if up := wanted.Truncate(time.Second); up < wanted {
		wanted = up + time.Second
	}
	return l.Clamp(wanted), true
}
