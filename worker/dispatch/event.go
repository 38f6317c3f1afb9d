package dispatch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// What a [Relay] or [Reconciler] has done, in [Event].What.
const (
	Relayed   = "relayed"   // accepted jobs were put into their queue
	PutBack   = "put_back"  // jobs that the queue doesn't have were made accepted again
	Requeued  = "requeued"  // a job whose worker is dead went back to its queue
	GivenUp   = "given_up"  // a job that won't be tried again was recorded as failed
	Swept     = "swept"     // a sweep ended: every job was looked for
	Watching  = "watching"  // this process looks after a queue
	Suspected = "suspected" // Redis has lost data, or may have: a sweep began
	Waits     = "waits"     // an outage is in the way: the work is retried
	Goes      = "goes"      // the work goes on
)

// An Event reports something that was done, for metrics and tests.
type Event struct {
	What  string
	Queue string // "" if jobs of several queues are meant
	JobID string // if the event is about one job
	Jobs  int    // number of jobs that the event is about
	By    string // Waits, Goes: ByRelay or ByReconciler
	Err   error  // Waits: the reason
}

// The part that waits or goes on, in [Event].By.
const (
	ByRelay      = "relay"
	ByReconciler = "reconciler"
)

// pause waits for d, give or take a tenth. It reports false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	next := time.NewTimer(d - d/10 + rand.N(d/5+1)) //nolint:gosec // jitter needs no secrecy
	defer next.Stop()
	select {
	case <-next.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

func orIgnore(observe func(Event)) func(Event) {
	if observe == nil {
		return func(Event) {}
	}
	return observe
}
