package races

import (
	"math"
	"time"
)

const (
	// Window is the length of time in which the jobs of a producer are counted together.
	Window = 5 * time.Minute
	// History is how far back a model looks.
	History = 14 * 24 * time.Hour
	// Judged is how much of the past makes a model that has judged it one that has judged all: the windows of the first half
	// teach, and the sum of a drift begins in the second. What alarmed before isn't known.
	Judged = 2 * History
	// Learning is how much time a producer's history must span before a window of it can be alarming.
	Learning = 3 * 24 * time.Hour
	// FewestDuplicates is the number of duplicates below which no window is alarming, however unlikely.
	FewestDuplicates = 5

	// pseudoCounts is the number of expected duplicates in an hour of the day that weighs as much as the assumption
	// that this hour is like all others.
	pseudoCounts = 50
	// fewestProducers is the number of producers for which the threshold is made, where there are fewer.
	fewestProducers = 10
	windowsADay     = int(24 * time.Hour / Window)
	daysAMonth      = 30
	// mostCorrelated bounds the overdispersion, so that a few odd windows can't make every number plausible.
	mostCorrelated = 0.5
	// leastRate keeps an expected rate away from 0 and from 1.
	leastRate = 1e-9
)

// Threshold returns the tail probability below which a window is alarming: with windows as the model has them, chance
// alone makes one alarm a month in an installation with this many producers.
func Threshold(producers int) float64 {
	return 1 / float64(max(producers, fewestProducers)*windowsADay*daysAMonth)
}

// A Count is what the jobs of one producer came to in one window.
type Count struct {
	Start      time.Time // of the window
	Ended      int64     // jobs, of any outcome
	Duplicates int64     // of these
}

// A Verdict is a window beside what the producer's history lets expect.
type Verdict struct {
	Producer string // set by a [Judge]
	Count

	Rate     float64 // the expected share of duplicates
	Expected float64 // the expected number of duplicates
	P        float64 // the probability of as many duplicates as were seen, or more
	Learning bool    // the history spans too little time, which holds back an alarm
	Alarm    bool
	Drift    Drift // with this window
}

// A Model is what is expected of one producer. Its zero value has no history. A Model isn't safe for concurrent use.
type Model struct {
	hours  [24]sums
	n, d   float64  // the sums of all hours
	taught []taught // in order of time
	drift  drifting
}

// taught is a [Count] of the history. There are thousands of each producer, so it is kept small.
type taught struct {
	start             int64 // in seconds since 1970
	ended, duplicates uint32
}

func (t taught) sums() (n, d float64) { return float64(t.ended), float64(t.duplicates) }

func (t taught) hour() int64 { return t.start / 3600 % 24 }

// sums are those of an hour of the day from which rate and overdispersion follow, so that judging a window takes the
// same time whatever the history's length.
type sums struct{ n, d, nn, nd, dd float64 }

func (s *sums) add(n, d, sign float64) {
	s.n += sign * n
	s.d += sign * d
	s.nn += sign * n * n
	s.nd += sign * n * d
	s.dd += sign * d * d
}

// Judge compares a window with the history before it, and then makes it part of the history, unless it is alarming or the
// producer drifts.
// Windows are judged in order of time. producers is the number of producers that are judged beside each other.
func (m *Model) Judge(c Count, producers int) Verdict {
	m.forget(c.Start.Add(-History))
	v := Verdict{Count: c, Learning: len(m.taught) == 0 || c.Start.Unix()-m.taught[0].start < int64(Learning/time.Second)}
	v.Rate = m.rate(c.Start.UTC().Hour())
	v.Expected = v.Rate * float64(c.Ended)
	correlation := m.correlation()
	var beyond float64
	v.P, beyond = tails(c.Ended, c.Duplicates, v.Rate, correlation)
	v.Alarm = !v.Learning && c.Duplicates >= FewestDuplicates && v.P < Threshold(producers)
	if c.Ended > 0 {
		m.drift.see(c)
	}
	switch {
	case v.Learning:
		m.drift = drifting{last: m.drift.last}
	case !v.Alarm && c.Ended > 0:
		m.drift.add(c, v.Rate, correlation, normal(v.P, beyond))
	}
	v.Drift = m.drift.Drift
	if !v.Alarm && !v.Drift.Alarm && c.Ended > 0 {
		m.teach(c)
	}
	return v
}

func (m *Model) teach(c Count) {
	t := taught{c.Start.Unix(), uint32(min(c.Ended, math.MaxUint32)), uint32(min(c.Duplicates, math.MaxUint32))}
	m.taught = append(m.taught, t)
	m.count(t, 1)
}

// count adds a window to the sums, or takes it out.
func (m *Model) count(t taught, sign float64) {
	n, d := t.sums()
	m.hours[t.hour()].add(n, d, sign)
	m.n += sign * n
	m.d += sign * d
}

// forget takes windows out of the history that began before a time.
func (m *Model) forget(before time.Time) {
	n := 0
	for n < len(m.taught) && m.taught[n].start < before.Unix() {
		m.count(m.taught[n], -1)
		n++
	}
	m.taught = m.taught[n:]
	if len(m.taught) == 0 {
		m.hours, m.n, m.d = [24]sums{}, 0, 0
	}
}

// pooled returns the share of duplicates in the whole history. One job of which a half was a duplicate is added, so
// that a history without duplicates doesn't make the first one impossible.
func (m *Model) pooled() float64 { return (m.d + 0.5) / (m.n + 1) }

// rate returns the expected share of duplicates in an hour of the day: the pooled one times the hour's factor.
func (m *Model) rate(hour int) float64 { return m.rateBeside(m.pooled(), hour) }

func (m *Model) rateBeside(pooled float64, hour int) float64 {
	s := &m.hours[hour]
	factor := (s.d + pseudoCounts) / (pooled*s.n + pseudoCounts)
	return min(max(pooled*factor, leastRate), 1-leastRate)
}

// correlation estimates the overdispersion by moments: 0 if each job is a duplicate independently of the others in its
// window, and more as the windows differ among themselves by more than chance.
func (m *Model) correlation() float64 {
	pooled := m.pooled()
	var excess, weight float64
	for hour := range m.hours {
		s := &m.hours[hour]
		if s.n == 0 {
			continue
		}
		p := m.rateBeside(pooled, hour)
		spread := p * (1 - p)
		excess += s.dd - 2*p*s.nd + p*p*s.nn - s.n*spread
		weight += (s.nn - s.n) * spread
	}
	if weight <= 0 {
		return 0
	}
	return min(max(excess/weight, 0), mostCorrelated)
}
