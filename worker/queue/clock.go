package queue

import (
	"sync"
	"time"
)

// A localClock is this machine's clock.
type localClock struct {
	now     func() time.Time     // wall clock: it may be set at any moment
	elapsed func() time.Duration // monotonic: it can't be set
}

func newLocalClock() localClock {
	begun := time.Now()
	return localClock{now: time.Now, elapsed: func() time.Duration { return time.Since(begun) }}
}

const (
	// drift bounds how fast a reading becomes inexact: clocks go wrong by less than a thousandth of the time that passes.
	drift = 1000
	// unsettledFor is how long a clock counts as unsettled after it was set: by then every worker has extended its leases.
	unsettledFor = 10 * time.Second
	// tolerance is by how much clocks may differ before a warning is logged.
	tolerance = 2 * time.Second
)

// A reading is a time that a server's clock has shown.
type reading struct {
	taken time.Duration // when it was read, by localClock.elapsed
	said  time.Time
	error time.Duration // the bound of the reading's error, in both directions
}

// A serverClock estimates a server's clock. Between two readings it advances by the monotonic time that has passed, so
// setting the local clock doesn't change it.
type serverClock struct {
	local localClock

	mu      sync.Mutex
	last    reading
	known   bool
	settled time.Duration // until when, by localClock.elapsed, the clock counts as unsettled
}

// read takes a reading with ask, which returns the server's time. It returns by how much the server's clock was set since the
// last reading: positive for forward, and 0 if the round trip's time can explain the difference.
func (c *serverClock) read(ask func() (time.Time, error)) (set time.Duration, err error) {
	asked := c.local.elapsed()
	said, err := ask()
	if err != nil {
		return 0, err
	}
	half := (c.local.elapsed() - asked) / 2
	now := reading{taken: asked + half, said: said, error: half}

	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		c.last, c.known = now, true
		return 0, nil
	}
	age := now.taken - c.last.taken
	before := c.last.error + age/drift
	off := now.said.Sub(c.last.said.Add(age))
	if off.Abs() <= now.error+before && now.error > before {
		return 0, nil // the last reading agrees, and is more exact
	}
	c.last = now
	if off.Abs() <= tolerance+now.error+before {
		return 0, nil
	}
	c.settled = now.taken + unsettledFor
	return off, nil
}

// ahead returns by how much the server's clock is ahead of the local one, and the bound of that figure's error; both are 0
// before the first reading.
func (c *serverClock) ahead() (d, exact time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return 0, 0
	}
	age := c.local.elapsed() - c.last.taken
	return c.last.said.Add(age).Sub(c.local.now()), c.last.error + age/drift
}

// isKnown reports whether the clock was ever read.
func (c *serverClock) isKnown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// unsettled reports whether the server's clock was set within unsettledFor: times that were written before don't fit it.
func (c *serverClock) unsettled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local.elapsed() < c.settled
}
