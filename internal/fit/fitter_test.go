package fit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"invoicer/internal/fit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A source has late requests that all came after the same time.
type source struct {
	mu    sync.Mutex
	gap   time.Duration
	late  int
	away  bool
	asked int // gaps, the last time
}

func (s *source) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *source) Late(_ context.Context, most int, times []time.Duration) (fit.Observed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked = most; s.away {
		return fit.Observed{}, errors.New("away")
	}
	return fit.Observed{
		Gaps:    slices.Repeat([]time.Duration{s.gap}, s.late),
		Entries: make([]int64, len(times)), EntryBytes: 400,
	}, nil
}

func TestFitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var shown []*fit.Look
		s := &source{gap: time.Hour, late: 184}
		f, err := fit.New(fit.Options{
			Limits: fit.Limits{Quantile: 0.9, Min: 15 * time.Hour, Max: 30 * time.Hour}, TTL: 24 * time.Hour,
			Source: s, Show: func(l *fit.Look) { shown = append(shown, l) }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx)
		}()
		is := func(want time.Duration) {
			t.Helper()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if got := f.TTL(); got.Round(time.Second) != want {
				t.Errorf("entries last for %s, want %s", got, want)
			}
		}
		time.Sleep(time.Minute) // so that no look is at the moment of a change
		is(24 * time.Hour)      // the sample lacks one
		is(24 * time.Hour)
		if last := shown[len(shown)-1]; last.Late != 184 || last.Needed != 185 || last.Fitting != 0 {
			t.Errorf("a sample that is too small: %+v", last)
		}
		s.change(func() { s.late = 185 })
		is(19*time.Hour + 12*time.Minute)
		s.change(func() { s.away = true })
		is(19*time.Hour + 12*time.Minute)
		is(19*time.Hour + 12*time.Minute)
		if last := shown[len(shown)-1]; last != nil || strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("two failures: %+v\n%s", last, &log)
		}
		s.change(func() { s.away = false })
		is(15*time.Hour + 21*time.Minute + 36*time.Second)
		is(15*time.Hour + 21*time.Minute + 36*time.Second) // 15h would fit, which is less than a fifth away
		if last := shown[len(shown)-1]; last.Fitting != 15*time.Hour || len(last.Times) != 1+len(fit.Times()) || last.Times[0].TTL != f.TTL() {
			t.Errorf("beside the shortest time allowed: %+v", last)
		}
		if moves := strings.Count(log.String(), "changes by a step"); moves != 2 || s.asked != 20_000 {
			t.Errorf("%d moves are logged, want 2; it asked for %d gaps\n%s", moves, s.asked, &log)
		}
		s.change(func() { s.gap = 40 * time.Hour })
		for range 10 {
			time.Sleep(10 * time.Minute)
		}
		if synctest.Wait(); f.TTL() < 25*time.Hour || f.TTL() > 30*time.Hour {
			t.Errorf("with gaps of 40h entries last for %s, want a time within a fifth of 30h", f.TTL())
		}
		stop()
		<-done
	})
}

// A fixed time stays, outside the limits too, and what fits is shown all the same.
func TestFixed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var shown *fit.Look
		f, err := fit.New(fit.Options{
			Limits: fit.Limits{Quantile: 0.9, Min: time.Minute, Max: time.Hour}, TTL: 24 * time.Hour, Fixed: true,
			Source: &source{gap: 5 * time.Minute, late: 1000}, Show: func(l *fit.Look) { shown = l },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx)
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		<-done
		if f.TTL() != 24*time.Hour || shown == nil || shown.Fitting != 5*time.Minute {
			t.Errorf("entries last for %s, and %+v is shown", f.TTL(), shown)
		}
	})
}

func TestLook(t *testing.T) {
	t.Parallel()
	limits := fit.Limits{Quantile: 0.5, Min: time.Second, Max: time.Hour}
	look := limits.Look(fit.Observed{Gaps: seconds(1, 2, 3, 4, 50, 60, 70, 80), Entries: []int64{10, 20}, EntryBytes: 400}, seconds(3, 60))
	want := fit.Look{Late: 8, Needed: 8, Fitting: 4 * time.Second, Times: []fit.Time{
		{TTL: 3 * time.Second, Hits: 3, Entries: 10, Bytes: 4000}, {TTL: time.Minute, Hits: 6, Entries: 20, Bytes: 8000},
	}}
	if fmt.Sprint(look) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", look, want)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	good := func() fit.Options {
		return fit.Options{Limits: fit.Limits{Quantile: 0.9, Min: 1, Max: 2}, TTL: 9, Source: &source{}}
	}
	f, err := fit.New(good())
	if err != nil {
		t.Fatal(err)
	}
	if f.TTL() != 2 {
		t.Errorf("entries last for %s at first, which is not within the limits", f.TTL())
	}
	for name, spoil := range map[string]func(*fit.Options){
		"no source":      func(o *fit.Options) { o.Source = nil },
		"no time":        func(o *fit.Options) { o.TTL = 0 },
		"quantile 0":     func(o *fit.Options) { o.Quantile = 0 },
		"quantile 1":     func(o *fit.Options) { o.Quantile = 1 },
		"limits crossed": func(o *fit.Options) { o.Max = 0 },
	} {
		o := good()
		spoil(&o)
		if _, err := fit.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
