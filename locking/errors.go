package locking

import (
	"errors"
	"fmt"
	"time"
)

// ErrLost means that when Redis carried the call out, the lock was not this holder's any more: it had expired, Redis
// had forgotten it, or the same [Holder.ID] had taken it over. Somebody else may have it.
//
// Release and Finish report it too when a first reply was lost on its way and go-redis asked again: the first had freed
// the lock.
var ErrLost = errors.New("lock lost")

// ErrNotHeld means that nobody holds the lock.
var ErrNotHeld = errors.New("not held")

// A HeldError says that somebody else holds the lock.
type HeldError struct {
	Key string

	// Holder is zero when what stands under the lock's key was not written by this package.
	Holder Holder

	// Remaining is how long the lock will last if nobody frees or extends it, to the millisecond: up to [Options.MaxTTL].
	Remaining time.Duration
}

func (e *HeldError) Error() string {
	who := "somebody unknown"
	if e.Holder.ID != "" {
		who = fmt.Sprintf("%q", e.Holder.ID)
	}
	if e.Holder.Worker != "" {
		who += fmt.Sprintf(" (worker %q)", e.Holder.Worker)
	}
	return fmt.Sprintf("locking: %q is held by %s for another %v", e.Key, who, e.Remaining)
}

// A DoneError says that the work has been done.
type DoneError struct {
	Key string

	// Value is what [Lock.Finish] was given.
	Value string
}

// Error leaves the value out, which may be long and nobody's business.
func (e *DoneError) Error() string {
	return fmt.Sprintf("locking: %q is done", e.Key)
}
