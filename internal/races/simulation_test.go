package races_test

import (
	"math"
	"math/rand/v2"
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
	for _, c := range []struct{ noise, most float64 }{{noisy, 0.3}, {noisier, 1}} {
		const months = 3.0 // one with each seed
		var ours, theirs float64
		for seed := range uint64(months) {
			for _, p := range producers(seed, c.noise) {
				alarms, crude := falseAlarms(p)
				ours += float64(alarms) / (10 * months)
				theirs += float64(crude) / (10 * months)
			}
		}
		t.Logf("windows that deviate by %.0f %%: %.2f false alarms a producer-month; mean + 3 sigma on the same data: %.1f", 100*c.noise, ours, theirs)
		if ours > c.most {
			t.Errorf("%.2f false alarms a producer-month, more than %.1f", ours, c.most)
		}
		if theirs < 16 {
			t.Errorf("mean + 3 sigma makes %.1f a producer-month: the data isn't what the rule is made for", theirs)
		}
	}
}

func falseAlarms(p *producer) (ours, crude int) {
	const learned, counted = 14 * 288, 30 * 288
	var m races.Model
	var s sigma
	for i := range learned + counted {
		c := p.window(start().Add(time.Duration(i)*races.Window), 1)
		alarm, beyond := m.Judge(c, 10).Alarm, s.judge(c)
		if i >= learned && alarm {
			ours++
		}
		if i >= learned && beyond {
			crude++
		}
	}
	return ours, crude
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
