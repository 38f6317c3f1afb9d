package worker

import (
	"context"
	"time"

	"invoicer/worker/queue"
)

// A waiter is a slot's permit to wait for a held lock.
type waiter struct {
	over *time.Timer
	stop func()
}

// waiter returns nil if waiting is off, or if a quarter of the slots wait already: the others are better used for
// other transactions.
func (h *Handler) waiter() *waiter {
	if h.options.LockWait == 0 {
		return nil
	}
	select {
	case h.waiting <- struct{}{}:
		over := time.NewTimer(h.options.LockWait)
		return &waiter{over: over, stop: func() {
			over.Stop()
			<-h.waiting
		}}
	default:
		return nil
	}
}

// again waits a little and reports whether to ask for the lock once more. It reports false once the wait or the job's
// time is over.
func (w *waiter) again(ctx context.Context, remaining time.Duration) bool {
	pause := queue.Between(5*time.Millisecond, 20*time.Millisecond)
	if remaining > 0 {
		pause = min(pause, remaining)
	}
	next := time.NewTimer(pause)
	defer next.Stop()
	select {
	case <-next.C:
		return true
	case <-w.over.C:
		return false
	case <-ctx.Done():
		return false
	}
}
