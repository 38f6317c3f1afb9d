package locking

import (
	"errors"
	"fmt"
	"time"
)

// ErrLost means that the lock no longer belonged to this holder when Redis executed the call: it had expired, Redis
// had lost it, or the same [Holder.ID] had taken it over. Another holder may have it.
//
// Release and Finish also return it if the reply was lost and go-redis sent the command again: the first command had
// freed the lock.
var ErrLost = errors.New("lock lost")

// ErrNotHeld means that the lock has no holder.
var ErrNotHeld = errors.New("not held")

// A HeldError says that another holder has the lock.
type HeldError struct {
	Key string

	// Holder is zero if the value of the lock's key wasn't written by this package.
	Holder Holder

	// Remaining is how long the lock will last if it is neither freed nor extended, in whole milliseconds. It is at
	// most [Options.MaxTTL].
	Remaining time.Duration
}

func (e *HeldError) Error() string {
	holder := "an unknown holder"
	if e.Holder.ID != "" {
		holder = fmt.Sprintf("%q", e.Holder.ID)
	}
	if e.Holder.Worker != "" {
		holder += fmt.Sprintf(" (worker %q)", e.Holder.Worker)
	}
	return fmt.Sprintf("locking: %q is held by %s for another %v", e.Key, holder, e.Remaining)
}

// A DoneError says that the work is done.
type DoneError struct {
	Key string

	// Value is the value that was passed to [Lock.Finish].
	Value string
}

// Error leaves out the value, which may be long or confidential.
func (e *DoneError) Error() string {
	return fmt.Sprintf("locking: %q is done", e.Key)
}
