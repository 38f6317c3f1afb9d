package races_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"invoicer/internal/races"
)

// A shop has windows of one producer, up to a time.
type shop struct {
	mu     sync.Mutex
	until  int
	broken bool
	reads  int
	read   map[time.Time]int // how often
}

func (s *shop) windows(_ context.Context, since time.Time) (races.Counts, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads++; s.broken && s.reads%2 == 0 {
		return nil, time.Time{}, errors.New("away")
	}
	from := 0
	if !since.IsZero() {
		from = int(since.Sub(start()) / races.Window)
	}
	until := min(s.until, from+288)
	for i := from; i < until; i++ {
		s.read[windowAt(i)]++
	}
	return races.Counts{"a": quiet(from, until)}, windowAt(until), nil
}

func TestEachWindowIsJudgedOnce(t *testing.T) {
	t.Parallel()
	s := &shop{until: 4 * 288, read: make(map[time.Time]int)}
	f := races.NewFollower(s.windows)
	for _, until := range []int{4 * 288, 4*288 + 1, 4*288 + 1, 4*288 - 10, 4*288 + 2} {
		s.mu.Lock()
		s.until = until
		s.mu.Unlock()
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				found, err := f.Findings(t.Context())
				if err != nil || found.Until.Before(windowAt(until)) || found.Latest["a"].Learning || !found.Latest["a"].Start.Add(races.Window).Equal(found.Until) {
					t.Errorf("%+v, error %v", found, err)
				}
			})
		}
		asking.Wait()
	}
	for at, times := range s.read {
		if times != 1 {
			t.Errorf("the window of %s was read %d times", at, times)
		}
	}
	if len(s.read) != 4*288+2 {
		t.Errorf("%d windows were read", len(s.read))
	}
}

// What was judged before an error isn't read again.
func TestFollowerGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	s := &shop{until: 4 * 288, broken: true, read: make(map[time.Time]int)}
	f := races.NewFollower(s.windows)
	failed := 0
	for ; failed < 10; failed++ {
		if _, err := f.Findings(t.Context()); err == nil {
			break
		}
	}
	if failed != 4 {
		t.Errorf("it failed %d times, want 4: one for each day", failed)
	}
	for at, times := range s.read {
		if times != 1 {
			t.Errorf("the window of %s was read %d times", at, times)
		}
	}
}

// Whoever waits for another one's judging does so no longer than for as long as it may.
func TestFindingsInTime(t *testing.T) {
	t.Parallel()
	reading, done := make(chan struct{}), make(chan struct{})
	f := races.NewFollower(func(context.Context, time.Time) (races.Counts, time.Time, error) {
		close(reading)
		<-done
		return nil, time.Time{}, errors.New("away")
	})
	var first sync.WaitGroup
	first.Go(func() { _, _ = f.Findings(t.Context()) })
	<-reading
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Findings(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(done)
	first.Wait()
}
