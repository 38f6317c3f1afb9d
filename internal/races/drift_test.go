package races_test

import (
	"math"
	"testing"
	"time"

	"invoicer/internal/races"
)

// steady has a model judge windows of 200 jobs with a number of duplicates each, and returns the verdicts and the time after.
func steady(m *races.Model, from time.Time, windows int, duplicates int64) ([]races.Verdict, time.Time) {
	var verdicts []races.Verdict
	for range windows {
		verdicts = append(verdicts, m.Judge(races.Count{Start: from, Ended: 200, Duplicates: duplicates}, 1))
		from = from.Add(races.Window)
	}
	return verdicts, from
}

// A normal score is 0 in the middle, and the quantile of the normal distribution elsewhere.
func TestScore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, d int64
		rate float64
		want float64
	}{{1, 0, 0.5, -0.674490}, {1, 1, 0.5, 0.674490}, {2, 1, 0.5, 0}, {100_000, 50_000, 0.5, 0}, {100_000, 50_158, 0.5, 0.99928}} {
		if got := races.Score(c.n, c.d, c.rate, 0); math.Abs(got-c.want) > 1e-3 {
			t.Errorf("%d of %d at %g: %f, not %f", c.d, c.n, c.rate, got, c.want)
		}
	}
	if got := races.Score(1000, 1000, 1e-9, 0); !math.IsInf(got, 1) && got < 30 {
		t.Errorf("what can't be has the score %f", got)
	}
}

// Eight duplicates where four are usual prove nothing in one window. In many they do.
func TestDriftBeginsAndEnds(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := feed(&m, start(), 14, 4)
	verdicts, after := steady(&m, now, 12, 8)
	began := -1
	for i, v := range verdicts {
		if v.Alarm {
			t.Errorf("window %d is a jump: %+v", i, v)
		}
		if v.Drift.Alarm && began < 0 {
			began = i
		}
		if began >= 0 != v.Drift.Alarm {
			t.Errorf("the drift ended at window %d: %+v", i, v.Drift)
		}
	}
	if began < 2 || began > 10 {
		t.Fatalf("the drift began at window %d", began)
	}
	last := verdicts[len(verdicts)-1].Drift
	if !last.Since.Equal(now) || last.Ended != 12*200 || last.Duplicates != 12*8 || math.Abs(last.Expected-48) > 2 {
		t.Errorf("%+v, want it since %s, with 96 duplicates and 48 expected", last, now)
	}
	verdicts, _ = steady(&m, after, 288, 8)
	if v := verdicts[287]; v.Drift.Sum > 10 || !v.Drift.Alarm || v.Expected > 4.2 {
		t.Errorf("after a day, the sum isn't bounded or the drift was learned: %+v", v)
	}
	verdicts, _ = steady(&m, after.AddDate(0, 0, 1), 12, 4)
	if v := verdicts[7]; !v.Drift.Alarm || v.Drift.Sum >= 5 {
		t.Errorf("before the sum is back at 0: %+v", v)
	}
	if v := verdicts[11]; v.Drift.Alarm || v.Drift.Sum != 0 {
		t.Errorf("an hour after its end: %+v", v)
	}
}

// While a producer is learning it doesn't drift, and what a jump tells isn't told again.
func TestNoDrift(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := feed(&m, start(), 2, 4)
	if verdicts, _ := steady(&m, now, 200, 9); verdicts[199].Drift.Sum > 0 {
		t.Errorf("while learning: %+v", verdicts[199])
	}
	m = races.Model{}
	now = feed(&m, start(), 14, 4)
	if verdicts, _ := steady(&m, now, 12, 60); !verdicts[11].Alarm || verdicts[11].Drift.Sum > 0 {
		t.Errorf("of windows that are alarming: %+v", verdicts[11])
	}
	m = races.Model{}
	now = feed(&m, start(), 14, 4)
	if verdicts, _ := steady(&m, now, 1, 15); verdicts[0].Alarm || verdicts[0].Drift.Alarm || verdicts[0].Drift.Sum == 0 {
		t.Errorf("one window, just below a jump: %+v", verdicts[0])
	}
}

// A producer that is silent for a day begins anew; a nightly batch doesn't.
func TestSilenceEndsADrift(t *testing.T) {
	t.Parallel()
	for silent, drifts := range map[time.Duration]bool{23 * time.Hour: true, 25 * time.Hour: false} {
		var m races.Model
		verdicts, now := steady(&m, feed(&m, start(), 14, 4), 12, 8)
		if !verdicts[11].Drift.Alarm || !verdicts[11].Drifting(now.Add(races.Silence-races.Window)) || verdicts[11].Drifting(now.Add(races.Silence)) {
			t.Errorf("%+v", verdicts[11])
		}
		if v := m.Judge(races.Count{Start: now.Add(silent), Ended: 200, Duplicates: 8}, 1); v.Drift.Alarm != drifts {
			t.Errorf("after %s: %+v", silent, v.Drift)
		}
	}
}

// Windows of few jobs are judged together, within an hour of the clock.
func TestWindowsGather(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := feed(&m, start(), 14, 4)
	few := func(at time.Duration, ended, duplicates int64) races.Drift {
		return m.Judge(races.Count{Start: now.Add(at), Ended: ended, Duplicates: duplicates}, 1).Drift
	}
	for i := range 3 {
		if d := few(time.Duration(i)*races.Window, 6, 2); d.Sum != 0 {
			t.Errorf("%d jobs have a score: %+v", 6*(i+1), d)
		}
	}
	if d := few(3*races.Window, 2, 0); d.Sum != 2 || !d.Since.Equal(now) || d.Ended != 20 || d.Duplicates != 6 {
		t.Errorf("20 jobs: %+v", d)
	}
	if d := few(11*races.Window, 1, 1); d.Sum != 2 {
		t.Errorf("the last window of an hour, before it is over: %+v", d)
	}
	if d := few(12*races.Window, 1, 0); d.Sum < 2.9 || d.Ended != 21 || d.Duplicates != 7 {
		t.Errorf("an hour that has ended: %+v", d)
	}
}
