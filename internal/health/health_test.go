package health

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A process is ready once each probe has succeeded, and not before the slowest one has answered. When its parts end, no probe
// is left behind.
func TestReadinessWaitsForEachProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const late = time.Second
		h := New(Options{
			Silence: time.Minute, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
			Probes: []Probe{
				{Name: "quick", Server: "redis at r", Try: func(context.Context) error { return nil }},
				{Name: "slow", Server: "postgres at p", Try: func(ctx context.Context) error {
					select {
					case <-time.After(late):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}},
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Watching().Run(ctx) }()
		want := func(obstacles ...string) {
			t.Helper()
			if got := h.obstacles(); !slices.Equal(got, obstacles) {
				t.Errorf("obstacles %q, want %q", got, obstacles)
			}
		}
		time.Sleep(late / 2) // the bubble's time
		want("starting")
		time.Sleep(late)
		want()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A probe that never answers has failed. It is still waited for, so that no second one of its kind runs beside it.
func TestProbeThatDoesNotAnswerHasFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer, running := make(chan struct{}), 0
		h := New(Options{
			Silence: time.Minute, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
			Probes: []Probe{{Name: "deaf", Server: "redis at r", Try: func(context.Context) error { // it knows no context
				running++
				defer func() { running-- }()
				if running > 1 {
					return errors.New("two at once")
				}
				<-answer
				return nil
			}}},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Watching().Run(ctx) }()
		time.Sleep(10 * probeTimeout) // the bubble's time
		if got, want := h.obstacles(), "redis at r is away"; len(got) != 1 || got[0] != want {
			t.Errorf("obstacles %q, want %q", got, want)
		}
		close(answer)
		time.Sleep(2 * probeInterval)
		if got := h.obstacles(); len(got) > 0 {
			t.Errorf("obstacles %q after it has answered", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
