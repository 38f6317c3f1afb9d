package queue

import (
	"sync"
	"time"
)

// A localClock is this machine's: what it says the time is, which somebody may set at any moment, and how long it has been
// running, which nobody can.
type localClock struct {
	now     func() time.Time
	elapsed func() time.Duration
}

func newLocalClock() localClock {
	begun := time.Now()
	return localClock{now: time.Now, elapsed: func() time.Duration { return time.Since(begun) }}
}

const (
	// drift is by how much less exact a reading becomes with time: clocks go wrong by less than a thousandth.
	drift = 1000
	// unsettledFor is how long a clock counts as unsettled after it was set: by then every worker has extended its leases.
	unsettledFor = 10 * time.Second
	// tolerance is by how much clocks may differ before anybody is told.
	tolerance = 2 * time.Second
)

// A reading is what a server's clock said.
type reading struct {
	taken time.Duration // by how long this machine's clock had been running
	said  time.Time
	error time.Duration // at most that much earlier or later
}

// A serverClock is a server's clock, as far as it is known here. Between two readings it goes on with the time that has
// passed, whatever is done to the local clock meanwhile.
type serverClock struct {
	local localClock

	mu      sync.Mutex
	last    reading
	known   bool
	settled time.Duration // when what followed from the clock's having been set is over
}

// read takes a reading of what the server answers when it is asked for the time. It returns by how much the server's clock
// was set since the last one: ahead if that is positive, and 0 for what the answer's way can explain.
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
		return 0, nil // what is known already is as true, and more exact
	}
	c.last = now
	if off.Abs() <= tolerance+now.error+before {
		return 0, nil
	}
	c.settled = now.taken + unsettledFor
	return off, nil
}

// ahead is by how much the server's clock is ahead of the local one, 0 as long as that isn't known, and how exact that is.
func (c *serverClock) ahead() (d, exact time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return 0, 0
	}
	age := c.local.elapsed() - c.last.taken
	return c.last.said.Add(age).Sub(c.local.now()), c.last.error + age/drift
}

// isKnown tells whether the clock was ever read.
func (c *serverClock) isKnown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// unsettled tells that the server's clock was set a moment ago: what was written before is by another time.
func (c *serverClock) unsettled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local.elapsed() < c.settled
}
