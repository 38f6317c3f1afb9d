package worker_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"invoicer/locking"
	"invoicer/worker"
)

// A lock that somebody holds for long writes a line for each job that wants it, however often that asks.
func TestALostRaceIsLoggedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	said := newBook()
	b.crashed(t, "T1", "holder")
	w := b.start(t, "w1", func(p *parts) {
		p.Logger, p.LockWait = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})), time.Millisecond
	})
	first, second := b.enqueue(t, job("T1")), b.enqueue(t, job("T1"))
	lost := map[string]int{}
	lose := func(times int) {
		for lost[first] < times || lost[second] < times {
			lost[w.await(t, worker.LostRace).JobID]++
		}
	}
	lines := func(level string) (n int) {
		for line := range strings.Lines(said.text()) {
			if strings.Contains(line, "level="+level) && strings.Contains(line, `msg="lost the race"`) && strings.Contains(line, "holder_job_id=") {
				n++
			}
		}
		return n
	}
	lose(4)
	if n := lines("INFO"); n != 2 {
		t.Errorf("%d lines, want one for each of 2 jobs", n)
	}
	if n, want := lines("DEBUG"), 6; n < want {
		t.Errorf("%d lines for debugging, want %d at least", n, want)
	}

	// Another worker that has taken the holder's job over is news.
	if _, err := b.locker(t, b.Redis).Acquire(t.Context(), "T1", locking.Holder{ID: "holder", Worker: "next"}); err != nil {
		t.Fatal(err)
	}
	lose(max(lost[first], lost[second]) + 2) // of which one may have asked before
	if n := lines("INFO"); n != 4 {
		t.Errorf("%d lines, want one for each of 2 jobs and 2 holders", n)
	}
}
