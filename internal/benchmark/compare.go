package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// A result is what one contestant did with one source's jobs, over all rounds.
type result struct {
	Name, Title, Input string
	Setting            setting
	Jobs               int // in each round
	// Rate, Min and Max are jobs in a second: the median round, the slowest and the fastest.
	Rate, Min, Max float64
	CPU            cpu // of the median round, in seconds for 10,000 jobs
	Samples        []sample
	Tried          map[string]float64 `json:",omitempty"` // jobs in a second by setting, in the one try that chose it
}

func newResult(c contestant, input string, s setting, samples []sample) result {
	sorted := slices.SortedFunc(slices.Values(samples), func(x, y sample) int { return cmp.Compare(x.rate(), y.rate()) })
	middle := sorted[len(sorted)/2]
	rate := middle.rate()
	if n := len(sorted); n%2 == 0 {
		rate = (sorted[n/2-1].rate() + rate) / 2
	}
	return result{
		Name: c.name, Title: c.title, Input: input, Setting: s, Jobs: middle.Jobs, Rate: rate,
		Min: sorted[0].rate(), Max: sorted[len(sorted)-1].rate(),
		CPU: middle.CPU.per(middle.Jobs, 10_000), Samples: samples,
	}
}

// An entry is a contestant with what was found out about it before the rounds.
type entry struct {
	contestant
	setting setting
	jobs    int
	tried   map[string]float64
}

// compare lets the contestants take turns. The settings that were found with one source are kept for the next one.
func (b *bench) compare(ctx context.Context, o options, s source, contestants []contestant, settings map[string]setting) ([]result, error) {
	var entries []entry
	for _, c := range contestants {
		e, err := b.tryOut(ctx, o, s, c, settings)
		if err != nil {
			return nil, err
		}
		settings[c.name] = e.setting
		entries = append(entries, e)
	}
	samples := make(map[string][]sample)
	for n := range o.rounds {
		for _, e := range entries {
			got, err := b.play(ctx, round{contestant: e.contestant, setting: e.setting, jobs: s.first(e.jobs)})
			if err != nil {
				return nil, err
			}
			samples[e.name] = append(samples[e.name], got)
			b.tell("%s: round %d of %d: %-14s %7.0f jobs/s", s.name, n+1, o.rounds, e.name, got.rate())
		}
	}
	var results []result
	for _, e := range entries {
		r := newResult(e.contestant, s.name, e.setting, samples[e.name])
		r.Tried = e.tried
		results = append(results, r)
	}
	return results, nil
}

// tryOut finds out how many jobs fill a round, and, the first time, at which setting a peer does best. What it measures
// is warm-up, and is discarded.
func (b *bench) tryOut(ctx context.Context, o options, s source, c contestant, settings map[string]setting) (entry, error) {
	e := entry{contestant: c}
	tries := []setting{o.common}
	if c.single {
		tries[0].Servers = 1
	}
	if known, ok := settings[c.name]; ok {
		tries = []setting{known}
	} else {
		for _, t := range c.tries {
			if !slices.Contains(tries, t) {
				tries = append(tries, t)
			}
		}
		e.tried = make(map[string]float64)
	}
	rates := make(map[setting]float64)
	rate := c.guess
	try := func(t setting) error {
		got, err := b.play(ctx, round{contestant: c, setting: t, jobs: s.first(atLeast(rate * b.seconds / 3))})
		if err != nil {
			return err
		}
		b.tell("%s: try out: %-14s %7.0f jobs/s at %s", s.name, c.name, got.rate(), t)
		if known := rates[t]; known > 0 {
			rates[t] = (known + got.rate()) / 2
		} else {
			rates[t] = got.rate()
		}
		rate = max(rate, got.rate())
		return nil
	}
	for i, t := range tries {
		if i == 1 {
			rate = rates[tries[0]] // what it really does, where the guess was wrong
		}
		if err := try(t); err != nil {
			return e, err
		}
	}
	byRate := func(x, y setting) int { return cmp.Compare(rates[y], rates[x]) }
	if slices.SortFunc(tries, byRate); len(tries) > 3 {
		for _, t := range tries[:3] { // once more, as one try may have been lucky
			if err := try(t); err != nil {
				return e, err
			}
		}
		slices.SortFunc(tries[:3], byRate)
	}
	e.setting = tries[0]
	for t, rate := range rates {
		if e.tried != nil {
			e.tried[t.String()] = rate
		}
	}
	e.jobs = atLeast(rates[e.setting]*b.seconds) + 2*e.setting.Slots
	return e, nil
}

// atLeast keeps rounds from being about a handful of jobs.
func atLeast(jobs float64) int { return max(100, int(math.Round(jobs))) }

func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(b.progress, time.Now().UTC().Format("15:04:05 ")+format+"\n", args...)
}
