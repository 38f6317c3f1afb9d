package documents

import (
	"context"
	"time"

	"invoicer/invoice/document"
)

// Turns bound how many documents a process makes at once for those who ask for them, so that drawing leaves it time for all else. What is kept
// already is handed out without one.
type Turns struct {
	room     chan struct{}
	patience time.Duration
}

// NewTurns returns as many turns, for which each request waits so long at most.
func NewTurns(atOnce int, patience time.Duration) *Turns {
	return &Turns{room: make(chan struct{}, atOnce), patience: patience}
}

// take waits for a turn, and returns what ends it. It returns [document.ErrBusy] if there was none in time.
func (t *Turns) take(ctx context.Context) (end func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case t.room <- struct{}{}:
		return func() { <-t.room }, nil
	case <-timer.C:
		return nil, document.ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
