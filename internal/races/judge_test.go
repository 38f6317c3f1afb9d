package races_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"invoicer/internal/races"
)

func windowAt(i int) time.Time { return start().Add(time.Duration(i) * races.Window) }

// quiet returns windows of 200 jobs with four duplicates each, from one to before another.
func quiet(from, until int) []races.Count {
	var counts []races.Count
	for i := from; i < until; i++ {
		counts = append(counts, races.Count{Start: windowAt(i), Ended: 200, Duplicates: 4})
	}
	return counts
}

// A judge that starts now finds what one finds that has been running.
func TestARestartedJudgeFindsTheSame(t *testing.T) {
	t.Parallel()
	all := producers(1, noisy)
	var running, restarted races.Judge
	const days = 44
	risen := 0
	for i := range days * 288 {
		at := windowAt(i)
		counts := make(races.Counts)
		for name, p := range all[4:7] {
			times := 1.0
			if i > (days-1)*288 && name == 0 {
				times = 1.5
			}
			counts[string(rune('a'+name))] = []races.Count{p.window(at, times)}
		}
		running.Judge(counts)
		if at.Before(start().AddDate(0, 0, days).Add(-races.Judged)) {
			continue
		}
		restarted.Judge(counts)
		if i < (days-1)*288 {
			continue
		}
		told, again := running.Latest(), restarted.Latest()
		if !maps.Equal(told, again) {
			t.Fatalf("at %s: %+v, and restarted %+v", at, told, again)
		}
		for _, v := range told {
			if v.Drift.Sum > 0 {
				risen++
			}
		}
	}
	if risen < 50 {
		t.Errorf("only %d sums were above 0", risen)
	}
}

// Alarming windows that follow each other are one alarm, also if they are judged one by one.
func TestAlarmsAndDriftsAreKept(t *testing.T) {
	t.Parallel()
	const learned = 4 * 288
	counts := races.Counts{"a": quiet(0, learned+400), "b": quiet(0, learned+400)}
	for _, i := range []int{0, 1, 3} {
		counts["a"][learned+i].Duplicates = 50
	}
	counts["b"][learned+2].Duplicates = 60
	for i := range 24 {
		counts["b"][learned+50+i].Duplicates = 8
		counts["b"][learned+200+i].Duplicates = 8
	}
	var atOnce, oneByOne races.Judge
	atOnce.Judge(counts)
	for i := range learned + 400 {
		oneByOne.Judge(races.Counts{"a": counts["a"][i : i+1], "b": counts["b"][i : i+1]})
	}
	alarms, drifts := atOnce.Alarms(), atOnce.Drifts()
	if !slices.Equal(alarms, oneByOne.Alarms()) || !slices.Equal(drifts, oneByOne.Drifts()) {
		t.Errorf("at once %+v and %+v, one by one %+v and %+v", alarms, drifts, oneByOne.Alarms(), oneByOne.Drifts())
	}
	if len(alarms) != 3 || alarms[0].Producer != "a" || alarms[1].Producer != "b" || alarms[2].Producer != "a" {
		t.Fatalf("alarms %+v", alarms)
	}
	if a := alarms[0]; !a.From.Equal(windowAt(learned)) || !a.Until.Equal(windowAt(learned+2)) || a.Ended != 400 || a.Duplicates != 100 || a.P > 1e-6 {
		t.Errorf("the first alarm is %+v", a)
	}
	if len(drifts) != 2 || !drifts[0].Since.Equal(windowAt(learned+50)) || !drifts[1].Since.Equal(windowAt(learned+200)) || drifts[0].Duplicates < 24*8 ||
		!drifts[0].Seen.After(drifts[0].Since) || !drifts[0].Until.After(windowAt(learned+70)) {
		t.Errorf("drifts %+v", drifts)
	}
}

// Only the latest are kept.
func TestNotAllAlarmsAreKept(t *testing.T) {
	t.Parallel()
	const learned, apart = 4 * 288, 300 // more than a day, so that they are no drift
	counts := races.Counts{"a": quiet(0, learned+30*apart)}
	for i := range 30 {
		counts["a"][learned+i*apart].Duplicates = 60
	}
	var j races.Judge
	j.Judge(counts)
	alarms := j.Alarms()
	if len(alarms) != races.Kept || !alarms[races.Kept-1].From.Equal(windowAt(learned+29*apart)) {
		t.Errorf("%d alarms, the last of them %+v", len(alarms), alarms[len(alarms)-1])
	}
}

// Silent producers are forgotten once a restarted judge wouldn't know them, and earlier if there are too many.
func TestProducersAreForgotten(t *testing.T) {
	t.Parallel()
	var j races.Judge
	judged := int(races.Judged / races.Window)
	j.Judge(races.Counts{"silent": quiet(0, 1), "late": quiet(1, 2)})
	j.Judge(races.Counts{"a": quiet(judged, judged+1)})
	if latest := j.Latest(); len(latest) != 3 {
		t.Errorf("%+v, want all three", latest)
	}
	j.Judge(races.Counts{"a": quiet(judged+1, judged+2)})
	if latest := j.Latest(); len(latest) != 2 || latest["late"].Ended != 200 {
		t.Errorf("%+v, want the silent one forgotten", latest)
	}

	small := races.NewJudge(10_000)
	counts := races.Counts{"checkout": quiet(0, 1000)}
	for i := range 200 {
		counts[fmt.Sprint("made up ", i)] = quiet(i, i+1)
	}
	small.Judge(counts)
	latest := small.Latest()
	if _, known := latest["checkout"]; !known || len(latest) != 1+(10_000-1_100)/101 {
		t.Errorf("%d producers are known, and checkout %t", len(latest), known)
	}
	if _, known := latest["made up 199"]; !known {
		t.Error("one of the latest was forgotten, not one that was silent for longer")
	}
}
