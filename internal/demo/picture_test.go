package demo

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"invoicer/invoice"
)

// The killed worker's job is drawn where others saw it hold the lock, up to the kill, and again where another worker ended it.
func TestPictureOfAKill(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	lost := func(job string, second int) moment {
		return moment{2, logLine{Time: at(second), Message: lostRace, JobID: job, TransactionID: "T", Producer: "webhook", HolderJobID: "a", HolderWorker: "host-7-ab"}}
	}
	ended := func(job string, second int, outcome invoice.Outcome) moment {
		return moment{3, logLine{Time: at(second), Message: jobEnded, JobID: job, TransactionID: "T", Producer: "checkout", Outcome: outcome, Number: "INV-000001", Took: "1s"}}
	}
	moments := []moment{lost("b", 0), ended("a", 29, invoice.Created), ended("b", 30, invoice.Duplicate)}
	r := pictureOurs(moments, Killing{Worker: 1, PID: 7}, at(10), map[string]bool{"a": true})
	want := []string{
		"  producer     worker |0 ms                 30,000 ms|",
		"  checkout     1, 3   |==========x                 ==| INV-000001",
		"  checkout     3      |..............................| duplicate of INV-000001",
	}
	if got := r.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("drawn:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for name, r := range map[string]race{
		"of nobody killed": pictureOurs(moments[1:], Killing{}, time.Time{}, nil),
		"of long names": pictureNaive([]naiveRow{
			{number: 1 << 40, producer: strings.Repeat("ü", 99), worker: 1_000_000, askedAt: at(0), lockedAt: at(1), writtenAt: at(3)},
			{number: 1 << 50, producer: "p", worker: 1, askedAt: at(1), lockedAt: at(2), writtenAt: at(2)},
		}),
	} {
		for _, line := range r.lines() {
			if n := utf8.RuneCountInString(line); n > screen {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
}

// A naive invoice that was written when its lock had expired is to be seen as that, and as the second one.
func TestPictureOfTheNaive(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	r := pictureNaive([]naiveRow{
		{number: 2, producer: "checkout", worker: 1, askedAt: begin, lockedAt: begin, writtenAt: begin.Add(2 * naiveTTL)},
		{number: 1, producer: "webhook", worker: 2, askedAt: begin, lockedAt: begin.Add(naiveTTL), writtenAt: begin.Add(naiveTTL)},
	})
	got := r.lines()
	if !strings.Contains(got[1], "=~~") || !strings.HasSuffix(got[1], "also writes invoice 2") {
		t.Errorf("the one that stalled: %s", got[1])
	}
	if !strings.Contains(got[2], "..=") || !strings.HasSuffix(got[2], "| writes invoice 1") {
		t.Errorf("the one that was in time: %s", got[2])
	}
}

// Races of as many jobs as there can be leave room for the rest of a screen: three lines and the prompt are the caller's.
func TestTheStoryFitsAScreen(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for name, jobs := range map[string]struct{ naive, ours int }{"few": {2, 2}, "three producers": {3, 3}, "many": {50, mostRows}, "none of ours": {50, 0}} {
		s := Story{Killed: Killing{Worker: 1, InHand: 3}, Outcomes: map[invoice.Outcome]int{invoice.Created: 3}}
		var rows []naiveRow
		for i := range jobs.naive {
			rows = append(rows, naiveRow{number: int64(i + 1), producer: "p", askedAt: begin, lockedAt: begin, writtenAt: begin.Add(naiveTTL)})
		}
		s.naiveRace = pictureNaive(rows)
		for range jobs.ours {
			s.race.jobs = append(s.race.jobs, racer{producer: "p", spans: []span{{begin, begin.Add(time.Second), waits}}})
		}
		var out strings.Builder
		s.Tell(&out, "The audit passed.")
		const callers = 4 // what to try next, and the prompt
		if lines := strings.Count(strings.TrimPrefix(out.String(), "\n"), "\n"); lines > 24-callers {
			t.Errorf("%s: %d lines:\n%s", name, lines, out.String())
		}
		if s := out.String(); strings.Count(s, "writes invoice") < 2 {
			t.Errorf("%s: no two invoices of one transaction:\n%s", name, s)
		}
	}
}
