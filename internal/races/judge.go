package races

import "time"

// A ProducerCount is what the jobs of a producer came to in one window. "" stands for jobs that name no producer.
type ProducerCount struct {
	Producer string
	Count
}

// A Judge judges the windows of all producers of an installation beside each other. Its zero value knows none. A Judge isn't
// safe for concurrent use.
type Judge struct {
	models map[string]*Model
	latest map[string]Verdict
}

// Judge judges windows, which must be complete and later than those before, in order of time.
func (j *Judge) Judge(counts []ProducerCount) []Verdict {
	if j.models == nil {
		j.models, j.latest = make(map[string]*Model), make(map[string]Verdict)
	}
	for _, c := range counts {
		if j.models[c.Producer] == nil {
			j.models[c.Producer] = &Model{}
		}
	}
	verdicts := make([]Verdict, len(counts))
	for i, c := range counts {
		verdicts[i] = j.models[c.Producer].Judge(c.Count, len(j.models))
		verdicts[i].Producer = c.Producer
		j.latest[c.Producer] = verdicts[i]
	}
	return verdicts
}

// Latest returns the verdict on each producer's latest window.
func (j *Judge) Latest() map[string]Verdict { return j.latest }

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

// Alarms puts alarming windows that follow each other together. The verdicts are in order of time, and so are the alarms, by
// their first window.
func Alarms(verdicts []Verdict) []Alarm {
	var alarms []Alarm
	last := make(map[string]int) // producer → its latest alarm
	for _, v := range verdicts {
		if !v.Alarm {
			continue
		}
		at, known := last[v.Producer]
		if !known || !alarms[at].Until.Equal(v.Start) {
			at = len(alarms)
			last[v.Producer] = at
			alarms = append(alarms, Alarm{Producer: v.Producer, From: v.Start, P: v.P})
		}
		a := &alarms[at]
		a.Until = v.Start.Add(Window)
		a.Ended += v.Ended
		a.Duplicates += v.Duplicates
		a.Expected += v.Expected
		a.P = min(a.P, v.P)
	}
	return alarms
}
