package races_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"invoicer/internal/races"
)

// A producer of the simulation: its rate swings by half over the day, and besides each window's own rate is drawn around
// that, from a log-normal distribution, which the model doesn't know.
type producer struct {
	draw  *rand.Rand
	jobs  float64 // in a window, on average
	even  bool    // each window has that many; else they differ by up to half
	rate  float64 // share of duplicates, on average
	phase float64
	noise float64
}

const swing = 0.5 // of the rate, over the day

const (
	noisy   = 0.15 // deviation of a window's rate, as a share of what the hour gives
	noisier = 0.3
)

func (p *producer) window(at time.Time, times float64) races.Count {
	day := 2 * math.Pi * at.Sub(start()).Hours() / 24
	rate := p.rate * (1 + swing*math.Sin(day+p.phase)) * times
	rate *= math.Exp(p.noise*p.draw.NormFloat64() - p.noise*p.noise/2)
	c := races.Count{Start: at, Ended: int64(p.jobs)}
	if !p.even {
		c.Ended = int64(p.jobs * (0.5 + p.draw.Float64()))
	}
	if p.jobs < 20 {
		c.Ended = int64(p.jobs*2*p.draw.Float64() + p.draw.Float64())
	}
	// From one duplicate to the next: the gaps are geometric.
	for i := gap(p.draw, rate); i < c.Ended; i += 1 + gap(p.draw, rate) {
		c.Duplicates++
	}
	return c
}

func gap(draw *rand.Rand, rate float64) int64 {
	return int64(math.Log(1-draw.Float64()) / math.Log1p(-min(rate, 0.99)))
}

// producers returns ten of them, with shares of duplicates from 0.2 % to 10 %.
func producers(seed uint64, noise float64) []*producer {
	var all []*producer
	for i, rate := range []float64{0.002, 0.005, 0.01, 0.01, 0.02, 0.02, 0.03, 0.04, 0.06, 0.1} {
		draw := rand.New(rand.NewPCG(seed, uint64(i)))
		all = append(all, &producer{draw: draw, jobs: 50 + 300*draw.Float64(), rate: rate, phase: 2 * math.Pi * draw.Float64(), noise: noise})
	}
	return all
}

// fewJobs returns ten that send much less, one of them a job each half hour.
func fewJobs(seed uint64, noise float64) []*producer {
	all := producers(seed, noise)
	for i, p := range all {
		p.jobs = 0.2 + float64(i)
	}
	return all
}

// A sigma is the rule that many dashboards have: more than three standard deviations above the mean of fourteen days.
type sigma struct {
	rates        []float64
	sum, squares float64
}

func (s *sigma) judge(c races.Count) bool {
	rate := float64(c.Duplicates) / float64(c.Ended)
	n := float64(len(s.rates))
	mean := s.sum / n
	alarm := rate > mean+3*math.Sqrt(max(0, s.squares/n-mean*mean))
	s.rates, s.sum, s.squares = append(s.rates, rate), s.sum+rate, s.squares+rate*rate
	if len(s.rates) > 14*288 {
		first := s.rates[0]
		s.rates, s.sum, s.squares = s.rates[1:], s.sum-first, s.squares-first*first
	}
	return alarm && c.Duplicates >= races.FewestDuplicates
}

// TestFalseAlarms lets ten producers run for fourteen days of history and thirty that count, with nothing wrong.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		producers func(uint64, float64) []*producer
		noise     float64
		most      float64 // jumps and drifts a producer-month
		fewest    float64 // what mean + 3 sigma makes: else the data isn't what the rule is made for
	}{
		{"many jobs", producers, noisy, 0.3, 16},
		{"many jobs", producers, noisier, 1, 16},
		{"few jobs", fewJobs, noisy, 0.3, 0},
		{"few jobs", fewJobs, noisier, 0.3, 0},
	} {
		t.Run(fmt.Sprintf("%s, windows deviate by %.0f %%", c.name, 100*c.noise), func(t *testing.T) {
			t.Parallel()
			const months = 3.0 // one with each seed
			var all alarms
			for seed := range uint64(months) {
				for _, p := range c.producers(seed, c.noise) {
					all.add(falseAlarms(p))
				}
			}
			each := func(n int) float64 { return float64(n) / (10 * months) }
			t.Logf("false alarms a producer-month: %.2f jumps, %.2f drifts; mean + 3 sigma on the same data: %.1f", each(all.jumps), each(all.drifts), each(all.crude))
			if ours := each(all.jumps + all.drifts); ours > c.most {
				t.Errorf("%.2f false alarms a producer-month, more than %.1f", ours, c.most)
			}
			if theirs := each(all.crude); theirs < c.fewest {
				t.Errorf("mean + 3 sigma makes %.1f a producer-month", theirs)
			}
		})
	}
}

type alarms struct{ jumps, drifts, crude int }

func (a *alarms) add(b alarms) {
	a.jumps, a.drifts, a.crude = a.jumps+b.jumps, a.drifts+b.drifts, a.crude+b.crude
}

func falseAlarms(p *producer) (found alarms) {
	const learned, counted = 14 * 288, 30 * 288
	var m races.Model
	var s sigma
	drifting := false
	for i := range learned + counted {
		c := p.window(start().Add(time.Duration(i)*races.Window), 1)
		if c.Ended == 0 {
			continue
		}
		v, beyond := m.Judge(c, 10), s.judge(c)
		if i >= learned && v.Alarm {
			found.jumps++
		}
		if i >= learned && v.Drift.Alarm && !drifting {
			found.drifts++
		}
		if i >= learned && beyond {
			found.crude++
		}
		drifting = v.Drift.Alarm
	}
	return found
}

// TestJumpIsSeen makes a producer's rate five times what it is at that hour, at any moment of a window, and counts in how many
// cases a window that ends within 15 minutes is alarming. Three windows do: the one in which it begins, and the next two.
func TestJumpIsSeen(t *testing.T) {
	t.Parallel()
	const trials = 200
	for _, c := range []struct {
		noise, rate float64
		fewest      int
	}{{noisy, 0.02, trials * 93 / 100}, {noisy, 0.05, trials * 99 / 100}, {noisier, 0.02, trials * 70 / 100}, {noisier, 0.05, trials * 90 / 100}} {
		seen := 0
		for trial := range uint64(trials) {
			if jumpSeen(trial, c.noise, c.rate) {
				seen++
			}
		}
		t.Logf("windows that deviate by %.0f %%, fivefold from %.0f %%, 200 jobs a window: seen within 15 minutes in %d of %d cases",
			100*c.noise, 100*c.rate, seen, trials)
		if seen < c.fewest {
			t.Errorf("seen in %d of %d cases, not in %d", seen, trials, c.fewest)
		}
	}
}

func jumpSeen(trial uint64, noise, rate float64) bool {
	draw := rand.New(rand.NewPCG(trial, 99))
	phase := 2 * math.Pi * draw.Float64()
	windows := 7*288 + draw.IntN(288)
	at := start().Add(time.Duration(windows) * races.Window)
	day := 2 * math.Pi * at.Sub(start()).Hours() / 24
	p := &producer{draw: draw, jobs: 200, even: true, rate: rate / (1 + swing*math.Sin(day+phase)), phase: phase, noise: noise}
	var m races.Model
	for i := range windows {
		m.Judge(p.window(start().Add(time.Duration(i)*races.Window), 1), 10)
	}
	for _, share := range []float64{draw.Float64(), 1, 1} {
		if m.Judge(p.window(at, 1+4*share), 10).Alarm {
			return true
		}
		at = at.Add(races.Window)
	}
	return false
}

// TestDriftIsSeen raises a producer's rate, at once or by a little each day, and measures when it is first said to drift, or its
// first window is alarming.
func TestDriftIsSeen(t *testing.T) {
	t.Parallel()
	const trials = 50
	times := func(x float64) func(float64) float64 { return func(float64) float64 { return x } }
	rising := func(share float64) func(float64) float64 { return func(day float64) float64 { return 1 + share*day } }
	for _, c := range []struct {
		name   string
		times  func(day float64) float64
		rate   float64
		median time.Duration // which it must not exceed
	}{
		{"1.5 times", times(1.5), 0.01, 24 * time.Hour},
		{"1.5 times", times(1.5), 0.02, 8 * time.Hour},
		{"1.5 times", times(1.5), 0.05, 3 * time.Hour},
		{"2 times", times(2), 0.01, 4 * time.Hour},
		{"2 times", times(2), 0.02, 2 * time.Hour},
		{"2 times", times(2), 0.05, time.Hour},
		{"5 % more each day", rising(0.05), 0.02, 10 * 24 * time.Hour},
		{"20 % more each day", rising(0.2), 0.02, 4 * 24 * time.Hour},
	} {
		t.Run(fmt.Sprintf("%s, from %.0f %%", c.name, 100*c.rate), func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			for trial := range uint64(trials) {
				took = append(took, driftSeen(trial, c.rate, c.times))
			}
			slices.Sort(took)
			t.Logf("200 jobs a window, windows deviate by %.0f %%: half of %d cases were seen within %s, 90 %% within %s", 100*noisy, trials, took[trials/2], took[trials*9/10])
			if took[trials/2] > c.median {
				t.Errorf("half were seen within %s, not within %s", took[trials/2], c.median)
			}
		})
	}
}

func driftSeen(trial uint64, rate float64, times func(day float64) float64) time.Duration {
	draw := rand.New(rand.NewPCG(trial, 99))
	p := &producer{draw: draw, jobs: 200, even: true, rate: rate, phase: 2 * math.Pi * draw.Float64(), noise: noisy}
	var m races.Model
	began := start().Add(time.Duration(14*288+draw.IntN(288)) * races.Window)
	for at := start(); ; at = at.Add(races.Window) {
		if at.Before(began) {
			m.Judge(p.window(at, 1), 10)
			continue
		}
		lasted := at.Add(races.Window).Sub(began)
		if v := m.Judge(p.window(at, times(lasted.Hours()/24)), 10); v.Alarm || v.Drift.Alarm || lasted > races.Judged {
			return lasted
		}
	}
}
