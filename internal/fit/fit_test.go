package fit_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"invoicer/internal/fit"
)

func TestNeeded(t *testing.T) {
	t.Parallel()
	for quantile, want := range map[float64]int{0.5: 8, 0.9: 185, 0.95: 738, 0.99: 18_445, 0.995: 73_778} {
		if got := fit.Needed(quantile); got != want {
			t.Errorf("quantile %g needs %d gaps, want %d", quantile, got, want)
		}
	}
}

func seconds(values ...int) []time.Duration {
	var ds []time.Duration
	for _, v := range values {
		ds = append(ds, time.Duration(v)*time.Second)
	}
	return ds
}

func hundred() []time.Duration {
	var values []int
	for i := range 100 {
		values = append(values, i+1)
	}
	return seconds(values...)
}

func TestQuantileAndWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gaps     []time.Duration
		quantile float64
		want     time.Duration
	}{
		{nil, 0.99, 0},
		{seconds(7), 0.01, 7 * time.Second},
		{seconds(1, 2), 0.5, time.Second},
		{seconds(1, 2), 0.51, 2 * time.Second},
		{seconds(3, 3, 3, 9), 0.75, 3 * time.Second},
		{hundred(), 0.9, 90 * time.Second},
		{hundred(), 0.99, 99 * time.Second},
		{hundred(), 0.995, 100 * time.Second},
	} {
		got := fit.Quantile(c.gaps, c.quantile)
		if got != c.want {
			t.Errorf("quantile %g of %v is %s, want %s", c.quantile, c.gaps, got, c.want)
		}
		if n := fit.Within(c.gaps, got); float64(n) < c.quantile*float64(len(c.gaps)) {
			t.Errorf("%d of %d gaps lie within the quantile %g", n, len(c.gaps), c.quantile)
		}
	}
	for ttl, want := range map[int]int{0: 0, 1: 1, 2: 1, 3: 4, 8: 4, 9: 5, 10: 5} {
		if got := fit.Within(seconds(1, 3, 3, 3, 9), time.Duration(ttl)*time.Second); got != want {
			t.Errorf("%d gaps lie within %ds, want %d", got, ttl, want)
		}
	}
}

// A step never goes past what fits, doesn't answer to a change of less than a fifth, and comes to rest.
func TestStep(t *testing.T) {
	t.Parallel()
	type step struct{ ttl, fitting, want time.Duration }
	for _, c := range []step{
		{100 * time.Second, 100 * time.Second, 100 * time.Second},
		{100 * time.Second, 119 * time.Second, 100 * time.Second},
		{100 * time.Second, 120 * time.Second, 120 * time.Second},
		{100 * time.Second, 81 * time.Second, 100 * time.Second},
		{100 * time.Second, 80 * time.Second, 80 * time.Second},
		{100 * time.Second, 24 * time.Hour, 120 * time.Second},
		{100 * time.Second, 0, 80 * time.Second},
	} {
		if got := fit.Step(c.ttl, c.fitting); got != c.want {
			t.Errorf("from %s, with %s to fit, the step leads to %s, want %s", c.ttl, c.fitting, got, c.want)
		}
	}
	draw := rand.New(rand.NewPCG(1, 2))
	for range 1000 { // from a second to two weeks
		ttl, fitting := time.Duration(math.Exp(draw.Float64()*14)*1e9), time.Duration(math.Exp(draw.Float64()*14)*1e9)
		steps := 0
		for next := fit.Step(ttl, fitting); next != ttl; next = fit.Step(ttl, fitting) {
			if (next > ttl) != (fitting > ttl) || (next > ttl) && next > fitting || (next < ttl) && next < fitting || math.Abs(float64(next)/float64(ttl)-1) > fit.MostMove+1e-6 {
				t.Fatalf("a step from %s to %s, with %s to fit", ttl, next, fitting)
			}
			ttl = next
			if steps++; steps > 100 {
				t.Fatalf("no rest near %s", fitting)
			}
		}
		if off := float64(fitting)/float64(ttl) - 1; off >= fit.MostMove || off <= -fit.MostMove {
			t.Errorf("it rests at %s, with %s to fit", ttl, fitting)
		}
	}
}

func TestFitting(t *testing.T) {
	t.Parallel()
	limits := fit.Limits{Quantile: 0.5, Min: 10 * time.Second, Max: time.Minute}
	if ttl, enough := limits.Fitting(seconds(1, 2, 3, 4, 5, 6, 7)); enough {
		t.Errorf("seven gaps are enough for %s", ttl)
	}
	for gap, want := range map[time.Duration]time.Duration{
		time.Second: 10 * time.Second, 20 * time.Second: 20 * time.Second, 20*time.Second + 1: 21 * time.Second, time.Hour: time.Minute,
	} {
		if ttl, enough := limits.Fitting(slices.Repeat([]time.Duration{gap}, 8)); !enough || ttl != want {
			t.Errorf("eight gaps of %s: %s, %t; want %s", gap, ttl, enough, want)
		}
	}
}

// Half of the late duplicates come within minutes, as from a retry, and the others after hours, as from a person.
func gap(draw *rand.Rand) time.Duration {
	middle, spread := math.Log(90), 1.0
	if draw.Float64() < 0.5 {
		middle, spread = math.Log(4*3600), 1.2
	}
	return time.Duration(math.Exp(middle+spread*draw.NormFloat64()) * float64(time.Second))
}

// longer returns the share of all gaps that are longer.
func longer(ttl time.Duration) float64 {
	tail := func(middle, spread float64) float64 {
		return math.Erfc((math.Log(ttl.Seconds())-middle)/spread/math.Sqrt2) / 2
	}
	return (tail(math.Log(90), 1) + tail(math.Log(4*3600), 1.2)) / 2
}

func sample(draw *rand.Rand, n int) []time.Duration {
	gaps := make([]time.Duration, n)
	for i := range gaps {
		gaps[i] = gap(draw)
	}
	slices.Sort(gaps)
	return gaps
}

// With as many gaps as are needed, the share that is missed is at most twice what was asked for, in 95 % of cases or more. With
// a fiftieth of them it often isn't, so that the number isn't idle.
func TestNeededGapsKeepThePromise(t *testing.T) {
	t.Parallel()
	const trials = 200
	for _, quantile := range []float64{0.9, 0.95, 0.99} {
		draw := rand.New(rand.NewPCG(7, uint64(quantile*1000)))
		kept, keptByFew := 0, 0
		for range trials {
			n := fit.Needed(quantile)
			if longer(fit.Quantile(sample(draw, n), quantile)) <= 2*(1-quantile) {
				kept++
			}
			if longer(fit.Quantile(sample(draw, n/50), quantile)) <= 2*(1-quantile) {
				keptByFew++
			}
		}
		t.Logf("quantile %g: kept in %d of %d trials with %d gaps, in %d with a fiftieth", quantile, kept, trials, fit.Needed(quantile), keptByFew)
		if kept < trials*95/100 {
			t.Errorf("quantile %g: kept in %d of %d trials", quantile, kept, trials)
		}
		if quantile == 0.9 && keptByFew > trials*95/100 {
			t.Errorf("quantile %g: a fiftieth of the gaps keeps it as well, in %d of %d trials", quantile, keptByFew, trials)
		}
	}
}

// Samples that differ by chance alone don't move the time once it fits: a month of looks, each at new gaps.
func TestChanceDoesNotMoveIt(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(3, 4))
	limits := fit.Limits{Quantile: 0.99, Min: time.Minute, Max: 30 * 24 * time.Hour}
	ttl, moves := 24*time.Hour, 0
	for look := range 200 {
		fitting, enough := limits.Fitting(sample(draw, fit.Needed(limits.Quantile)))
		if !enough {
			t.Fatal("the sample is too small")
		}
		next := fit.Step(ttl, fitting)
		if next != ttl && look >= 20 {
			moves++
		}
		ttl = next
	}
	if moves > 2 || longer(ttl) > 0.02 {
		t.Errorf("after %d moves it is %s, which misses %.1f %%", moves, ttl, 100*longer(ttl))
	}
}
