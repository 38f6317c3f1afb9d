package worker

import (
	"context"
	"time"

	"invoicer/invoice"
)

const (
	// leastPaused and mostPaused bound how long a job that Redis alone has waits until it asks again whether its series is resumed.
	// Its number has to come within 30 seconds.
	leastPaused, mostPaused = 10 * time.Second, 20 * time.Second
	// leastResumed and mostResumed bound how long a job of the ledger waits that can't wait there. Its number has to come within 5
	// seconds. The least is as long as a worker may take a series for paused after it was resumed.
	leastResumed, mostResumed = time.Second, 2 * time.Second
)

// A resumedError puts a job of the ledger back because it can't wait there for its series, which is most likely resumed by now.
type resumedError struct{ paused *invoice.PausedError }

func (e *resumedError) Error() string { return e.paused.Error() }
func (e *resumedError) Unwrap() error { return e.paused }

// park has a job of the ledger wait there for its paused series: its task ends, and a relay sends another one once the series is
// resumed. It returns the error with which any other job goes back to its queue, to ask again. A worker may take a series for paused
// for a moment after it was resumed; a job of the ledger then asks again shortly.
func (h *Handler) park(ctx context.Context, a *attempt, paused *invoice.PausedError) error {
	h.returned(ctx, a, paused)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	waits, err := h.recorder.Park(clean, a.jobID, paused.Series)
	if err != nil {
		h.log.WarnContext(ctx, "job of a paused series goes back to the queue: the ledger doesn't answer", "job_id", a.jobID, "error", err)
	}
	switch {
	case waits:
		return nil
	case a.fromLedger:
		return &resumedError{paused}
	default:
		return paused
	}
}
