package queue

import (
	"strconv"
	"time"
)

// What asynq does (v0.26, internal/rdb, heartbeat.go): a worker takes a lease of 30s with a task, and extends it to that
// again every 5s.
const (
	leaseDuration = 30 * time.Second
	// SignOfLife is how often a living worker shows one.
	SignOfLife = 5 * time.Second
)

// A Lease is what was last seen of one, and since when it hasn't changed.
type Lease struct {
	End   string // in Unix seconds, as Redis has it; "" for none
	Since time.Time
}

// Dead tells whether the lease shows no sign of life any more. Its own time is Redis's, as far as its worker knows that; so
// it must also have been watched, by this process's clock, for longer than a living worker is silent.
func (l Lease) Dead(now, byRedis time.Time, after time.Duration) bool {
	silent := now.Sub(l.Since)
	if silent >= after {
		return true
	}
	end, err := strconv.ParseInt(l.End, 10, 64)
	if err != nil {
		return false
	}
	extended := time.Unix(end, 0).Add(-leaseDuration)
	return byRedis.Sub(extended) >= after && silent > SignOfLife+time.Second/2
}
