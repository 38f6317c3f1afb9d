package dispatch

import (
	"context"
	"time"

	"invoicer/worker/queue"
)

// Round lets tests say when a reconciler looks.
func (r *Reconciler) Round(ctx context.Context) error { return r.round(ctx) }

// Dead tells whether a lease with this score, unchanged for as long as it has been watched, is taken for a dead worker's by
// somebody to whose clock Redis's is ahead.
func Dead(score string, watched, ahead, after time.Duration) bool {
	now := time.Now()
	return queue.Lease{End: score, Since: now.Add(-watched)}.Dead(now, now.Add(ahead), after)
}
