package queue

import (
	"strconv"
	"time"
)

// In asynq (v0.26, internal/rdb, heartbeat.go), a worker gets a lease of 30s with each task, and extends it to 30s again
// every 5s.
const (
	leaseDuration = 30 * time.Second
	// SignOfLife is how often a living worker extends its leases.
	SignOfLife = 5 * time.Second
)

// A Lease is the last observation of a task's lease.
type Lease struct {
	End   string    // in Unix seconds, as Redis has it; "" for none
	Since time.Time // since when End hasn't changed, by this process's clock
}

// Dead reports whether the lease's worker counts as dead: the lease wasn't extended for that long. Its end is in the worker's
// estimate of Redis's time; so it must also have been watched, by this process's clock, for longer than SignOfLife.
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
