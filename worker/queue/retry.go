package queue

import (
	"math/rand/v2"
	"time"
)

// longestDelay is the longest that a job waits for another try.
const longestDelay = 10 * time.Minute

// RetryDelay is how long a task that has failed that often waits for another try: exponentially longer, up to ten minutes,
// and jittered, so that what failed together doesn't come back together.
func RetryDelay(retried int) time.Duration {
	delay := longestDelay
	if retried < 10 {
		delay = min(longestDelay, time.Second<<max(retried, 0)) // what the queue has counted may have been altered
	}
	return Between(delay/2, delay)
}

// Between returns a duration that is drawn at random, at least the one and less than the other.
func Between(least, most time.Duration) time.Duration {
	return least + rand.N(most-least) //nolint:gosec // jitter needs no secrecy
}
