package races

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Counts are what the jobs of each producer came to, window by window, in order of time. "" stands for jobs that name no producer.
type Counts map[string][]Count

// Kept is how many alarms, and how many drifts, of each producer a [Judge] keeps: the latest.
const Kept = 20

// A Judge judges the windows of all producers of an installation beside each other. Its zero value knows none. A Judge isn't
// safe for concurrent use.
//
// It needs about 80 KB for a producer with jobs in every window, and 100 MB at most: if there are more producers than have room, it
// forgets those that have been silent for longest, which then learn anew.
type Judge struct {
	producers map[string]*judged
	room      int // in windows; 0 stands for mostRoom
}

const (
	// mostRoom is how many windows are kept, and producerRoom how many of them need the memory that a producer needs besides.
	mostRoom     = 4_000_000
	producerRoom = 100
	// judgedAtOnce is how many windows are worth another goroutine.
	judgedAtOnce = 5_000
)

// judged is what a judge knows of a producer.
type judged struct {
	model  Model
	latest Verdict
	alarms []Alarm
	drifts []Drifted
}

// Judge judges windows, which must be complete and later than those before. A producer that has been silent for longer than the judge
// needs to know everything is forgotten.
func (j *Judge) Judge(counts Counts) {
	if j.producers == nil {
		j.producers = make(map[string]*judged)
	}
	var windows int
	var last time.Time
	for producer, of := range counts {
		if j.producers[producer] == nil {
			j.producers[producer] = &judged{}
		}
		windows += len(of)
		if n := len(of); n > 0 && of[n-1].Start.After(last) {
			last = of[n-1].Start
		}
	}
	j.judgeEach(counts, min(runtime.GOMAXPROCS(0), 1+windows/judgedAtOnce))
	maps.DeleteFunc(j.producers, func(_ string, p *judged) bool { return last.Sub(p.latest.Start) > Judged })
	j.makeRoom()
}

// judgeEach judges in a number of goroutines: producers have nothing in common but their number.
func (j *Judge) judgeEach(counts Counts, goroutines int) {
	producers := len(j.producers)
	names := make(chan string)
	var judging sync.WaitGroup
	for range goroutines {
		judging.Go(func() {
			for name := range names {
				p := j.producers[name]
				for _, c := range counts[name] {
					p.judge(name, c, producers)
				}
			}
		})
	}
	for name := range counts {
		names <- name
	}
	close(names)
	judging.Wait()
}

func (p *judged) judge(name string, c Count, producers int) {
	v := p.model.Judge(c, producers)
	v.Producer = name
	p.latest = v
	if v.Alarm {
		p.alarms = addAlarm(p.alarms, v)
	}
	if v.Drift.Alarm {
		p.drifts = addDrift(p.drifts, v)
	}
}

// makeRoom forgets producers, if there are too many.
func (j *Judge) makeRoom() {
	used, most := 0, cmp.Or(j.room, mostRoom)
	for _, p := range j.producers {
		used += p.room()
	}
	if used <= most {
		return
	}
	silent := slices.SortedFunc(maps.Keys(j.producers), func(a, b string) int {
		p, q := j.producers[a], j.producers[b]
		return cmp.Or(p.latest.Start.Compare(q.latest.Start), cmp.Compare(len(p.model.taught), len(q.model.taught)), cmp.Compare(a, b))
	})
	for _, name := range silent {
		if used <= most {
			return
		}
		used -= j.producers[name].room()
		delete(j.producers, name)
	}
}

func (p *judged) room() int { return producerRoom + len(p.model.taught) }

// Latest returns the verdict on each producer's latest window.
func (j *Judge) Latest() map[string]Verdict {
	latest := make(map[string]Verdict, len(j.producers))
	for name, p := range j.producers {
		latest[name] = p.latest
	}
	return latest
}

// Alarms returns the latest alarms of each producer, in order of their first windows.
func (j *Judge) Alarms() []Alarm {
	var all []Alarm
	for _, p := range j.producers {
		all = append(all, p.alarms...)
	}
	slices.SortFunc(all, func(a, b Alarm) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Producer, b.Producer)) })
	return all
}

// Drifts returns the latest drifts of each producer, in order of when they were first seen.
func (j *Judge) Drifts() []Drifted {
	var all []Drifted
	for _, p := range j.producers {
		all = append(all, p.drifts...)
	}
	slices.SortFunc(all, func(a, b Drifted) int { return cmp.Or(a.Seen.Compare(b.Seen), cmp.Compare(a.Producer, b.Producer)) })
	return all
}

// Alarming reports whether the window that ends at a time is alarming, if the verdict is the producer's latest.
func (v *Verdict) Alarming(until time.Time) bool { return v.Alarm && v.Start.Add(Window).Equal(until) }

// Drifting reports whether the producer still drifts at a time, if the verdict is its latest.
func (v *Verdict) Drifting(until time.Time) bool {
	return v.Drift.Alarm && until.Sub(v.Start) <= Silence
}

// An Alarm is a number of alarming windows of one producer, one right after the other.
type Alarm struct {
	Producer   string
	From       time.Time // the start of the first window
	Until      time.Time // the end of the last one
	Ended      int64
	Duplicates int64
	Expected   float64 // duplicates
	P          float64 // the smallest of the windows' tails
}

// addAlarm adds an alarming window to the alarm that it continues, or as another one.
func addAlarm(alarms []Alarm, v Verdict) []Alarm {
	if n := len(alarms); n == 0 || !alarms[n-1].Until.Equal(v.Start) {
		alarms = append(latest(alarms, Kept-1), Alarm{Producer: v.Producer, From: v.Start, P: v.P})
	}
	a := &alarms[len(alarms)-1]
	a.Until = v.Start.Add(Window)
	a.Ended += v.Ended
	a.Duplicates += v.Duplicates
	a.Expected += v.Expected
	a.P = min(a.P, v.P)
	return alarms
}

// A Drifted is a time in which a producer drifted.
type Drifted struct {
	Producer string
	Drift              // at the end of that time
	Seen     time.Time // the start of the window that proved it
	Until    time.Time // the end of the last window
}

// addDrift adds the window of a producer that drifts to the drift that it continues, or as another one.
func addDrift(drifts []Drifted, v Verdict) []Drifted {
	if n := len(drifts); n == 0 || !drifts[n-1].Since.Equal(v.Drift.Since) {
		drifts = append(latest(drifts, Kept-1), Drifted{Producer: v.Producer, Seen: v.Start})
	}
	d := &drifts[len(drifts)-1]
	d.Drift, d.Until = v.Drift, v.Start.Add(Window)
	return drifts
}

// latest returns the last of those in order of time. What is added to them doesn't change the others.
func latest[T any](all []T, most int) []T { return slices.Clip(all[max(0, len(all)-most):]) }
