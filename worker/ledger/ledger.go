package ledger

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// What a [Relay] or [Reconciler] has done, as [Event] tells it.
const (
	Relayed   = "relayed"   // accepted jobs are in their queue
	PutBack   = "put_back"  // jobs that the queue doesn't have are accepted again
	Requeued  = "requeued"  // a job whose worker is gone is back in its queue
	GivenUp   = "given_up"  // a job that nobody will try again is recorded as failed
	Swept     = "swept"     // after Redis had forgotten something, every job was looked for
	Watching  = "watching"  // a queue is this process's to look after
	Suspected = "suspected" // Redis has forgotten something, or may have
	Waits     = "waits"     // something is in the way: it is tried again and again
	Goes      = "goes"      // nothing is in the way
)

// An Event is something that was done, for metrics and tests.
type Event struct {
	What  string
	Queue string // "" where jobs of several are meant
	JobID string // where it is about one
	Jobs  int    // how many it is about
	By    string // ByRelay or ByReconciler, where it waits or goes
	Err   error  // why it waits
}

// Who waits or goes, as [Event] tells it.
const (
	ByRelay      = "relay"
	ByReconciler = "reconciler"
)

// pause waits, for as long as it is told or a tenth more or less, and tells whether to go on.
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
