package queue

import (
	"math/rand/v2"
	"time"
)

// longestDelay is the longest that a job waits for another try.
const longestDelay = 10 * time.Minute

// RetryDelay returns how long a task that was retried that often waits for its next try: it grows exponentially, up to ten
// minutes, and is jittered, so that tasks that failed together don't come back together.
func RetryDelay(retried int) time.Duration {
	delay := longestDelay
	if retried < 10 {
		delay = min(longestDelay, time.Second<<max(retried, 0)) // the count in the queue may have been altered
	}
	return Between(delay/2, delay)
}

// Between returns a random duration that is at least the one and less than the other.
func Between(least, most time.Duration) time.Duration {
	return least + rand.N(most-least) //nolint:gosec // jitter needs no secrecy
}
