package races_test

import (
	"testing"
	"time"

	"invoicer/internal/races"
)

func start() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

// feed lets a model judge windows of 200 jobs for some days, with duplicates in every window, and returns the time after.
func feed(m *races.Model, from time.Time, days int, duplicates int64) time.Time {
	for end := from.AddDate(0, 0, days); from.Before(end); from = from.Add(races.Window) {
		m.Judge(races.Count{Start: from, Ended: 200, Duplicates: duplicates}, 1)
	}
	return from
}

func TestLearningHoldsBackAlarms(t *testing.T) {
	t.Parallel()
	var m races.Model
	if v := m.Judge(races.Count{Start: start(), Ended: 200, Duplicates: 200}, 1); !v.Learning || v.Alarm {
		t.Errorf("the first window: %+v", v)
	}
	m = races.Model{}
	now := feed(&m, start(), 2, 4)
	if v := m.Judge(races.Count{Start: now, Ended: 200, Duplicates: 100}, 1); !v.Learning || v.Alarm {
		t.Errorf("after two days: %+v", v)
	}
	m = races.Model{}
	now = feed(&m, start(), 3, 4)
	if v := m.Judge(races.Count{Start: now, Ended: 200, Duplicates: 100}, 1); v.Learning || !v.Alarm {
		t.Errorf("after three days: %+v", v)
	}
}

func TestFewDuplicatesAreNoAlarm(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := feed(&m, start(), 14, 0)
	if v := m.Judge(races.Count{Start: now, Ended: 200, Duplicates: 4}, 1); v.Alarm || v.P > races.Threshold(1) {
		t.Errorf("four duplicates, however unlikely: %+v", v)
	}
	m = races.Model{}
	now = feed(&m, start(), 14, 0)
	if v := m.Judge(races.Count{Start: now, Ended: 200, Duplicates: 5}, 1); !v.Alarm {
		t.Errorf("five duplicates of a producer that never had any: %+v", v)
	}
}

// What is alarming for a day stays alarming: it doesn't become what is expected.
func TestAlarmedWindowsDontTeach(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := feed(&m, start(), 14, 4)
	for range 288 {
		if v := m.Judge(races.Count{Start: now, Ended: 200, Duplicates: 40}, 1); !v.Alarm || v.Expected > 4.2 {
			t.Fatalf("at %s: %+v", now, v)
		}
		now = now.Add(races.Window)
	}
}

func TestHistoryEndsAfterFourteenDays(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := feed(&m, start(), 10, 40)
	now = feed(&m, now, 14, 4)
	if v := m.Judge(races.Count{Start: now, Ended: 200, Duplicates: 4}, 1); v.Expected < 3.9 || v.Expected > 4.1 {
		t.Errorf("fourteen days after a higher rate: %+v", v)
	}
	if v := m.Judge(races.Count{Start: now.AddDate(0, 0, 15), Ended: 200, Duplicates: 100}, 1); !v.Learning {
		t.Errorf("a producer that was silent for longer than the history: %+v", v)
	}
}

// An hour of the day has its own expectation as far as its windows are many.
func TestHourOfTheDay(t *testing.T) {
	t.Parallel()
	var m races.Model
	now := start()
	for end := now.AddDate(0, 0, 14); now.Before(end); now = now.Add(races.Window) {
		c := races.Count{Start: now, Ended: 200, Duplicates: 4}
		if now.Hour() == 3 {
			c.Duplicates = 12 // a nightly batch
		}
		m.Judge(c, 1)
	}
	atNoon := m.Judge(races.Count{Start: now.Add(12 * time.Hour), Ended: 200, Duplicates: 4}, 1)
	atThree := m.Judge(races.Count{Start: now.Add(27 * time.Hour), Ended: 200, Duplicates: 12}, 1)
	if atThree.Expected < 11 || atThree.Expected > 12 || atNoon.Expected < 4 || atNoon.Expected > 4.2 {
		t.Errorf("expected %.2f at 3:00, where 12 are usual, and %.2f at 12:00, where 4 are", atThree.Expected, atNoon.Expected)
	}
	if atThree.Alarm || atThree.P < 0.01 {
		t.Errorf("what is usual at 3:00: %+v", atThree)
	}
}

func TestThreshold(t *testing.T) {
	t.Parallel()
	if got, want := races.Threshold(3), 1.0/86400; got != want {
		t.Errorf("of 3 producers %g, not %g", got, want)
	}
	if got, want := races.Threshold(100), 1.0/864000; got != want {
		t.Errorf("of 100 producers %g, not %g", got, want)
	}
}
