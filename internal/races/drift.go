package races

import (
	"math"
	"time"
)

const (
	// driftAllowance is subtracted from each score, so that the sum rises only while duplicates are clearly too many.
	driftAllowance = 1
	// driftLimit is the sum at which a producer drifts.
	driftLimit = 5
	// mostDrift bounds the sum, so that a drift ends soon after its cause, however long it lasted.
	mostDrift = 2 * driftLimit
	// mostScore bounds a score, so that it takes three at least to make a drift: one window that stands out is a jump or chance.
	mostScore = 3
	// fewestJobs is how many jobs are judged together, over windows of the same hour. At the hour's end fewer are enough.
	fewestJobs = 20
	// Silence is how long a producer is silent before its sum begins again at 0.
	Silence = 24 * time.Hour
)

// A Drift is how far a producer's duplicates have moved from what is expected, over as many windows as that took.
type Drift struct {
	// Sum is that of the scores less the allowance, and never below 0. Windows that are alarming by themselves have no score.
	Sum float64
	// Alarm is true from when the sum reaches its limit until it is back at 0.
	Alarm bool
	// Since is when the windows begin that made the sum rise from 0. The numbers are of these windows.
	Since      time.Time
	Ended      int64
	Duplicates int64
	Expected   float64 // duplicates
}

// A drifting keeps the [Drift] of a producer, and the windows that have no score yet.
type drifting struct {
	Drift
	last     time.Time // the start of the latest window in which jobs ended
	gathered gathered
}

// gathered are windows of one hour that get a score together.
type gathered struct {
	start    time.Time
	n, d     int64
	expected float64
	pairs    float64 // of jobs in the same window
}

// see notices that jobs ended in a window.
func (d *drifting) see(c Count) {
	if c.Start.Sub(d.last) > Silence {
		*d = drifting{}
	}
	d.last = c.Start
}

// add takes a window into the sum, once there are enough jobs for a score. alone is the score of the window by itself.
func (d *drifting) add(c Count, rate, correlation, alone float64) {
	g := &d.gathered
	if g.n > 0 && !g.start.Truncate(time.Hour).Equal(c.Start.Truncate(time.Hour)) {
		d.score(g.normal(correlation))
	}
	first := g.n == 0
	if first {
		g.start = c.Start
	}
	g.n += c.Ended
	g.d += c.Duplicates
	g.expected += float64(c.Ended) * rate
	g.pairs += float64(c.Ended) * float64(c.Ended-1)
	switch {
	case g.n < fewestJobs:
	case first:
		d.score(alone)
	default:
		d.score(g.normal(correlation))
	}
}

// normal returns the score of the windows together.
func (g *gathered) normal(correlation float64) float64 {
	n := float64(g.n)
	if g.n > 1 {
		correlation *= g.pairs / (n * (n - 1)) // jobs of different windows are independent, which makes the variance smaller
	}
	return Score(g.n, g.d, g.expected/n, correlation)
}

// score adds the score of the gathered windows to the sum.
func (d *drifting) score(normal float64) {
	g := d.gathered
	d.gathered = gathered{}
	if d.Sum == 0 {
		d.Since, d.Ended, d.Duplicates, d.Expected = g.start, 0, 0, 0
	}
	d.Ended += g.n
	d.Duplicates += g.d
	d.Expected += g.expected
	d.Sum = min(max(0, d.Sum+min(normal, mostScore)-driftAllowance), mostDrift)
	d.Alarm = d.Sum >= driftLimit || d.Alarm && d.Sum > 0
}

// Score returns the normal score of d duplicates among n jobs: the deviation from the mean, in standard deviations, that is as
// unlikely in a normal distribution. Half of the probability of exactly d counts as more, so that the mean is about 0 although
// duplicates come in whole numbers. The arguments are those of [Tail].
func Score(n, d int64, rate, correlation float64) float64 {
	return normal(tails(n, d, rate, correlation))
}

// normal returns the score of what [tails] returns.
func normal(from, beyond float64) float64 { return math.Sqrt2 * math.Erfcinv(from+beyond) }
