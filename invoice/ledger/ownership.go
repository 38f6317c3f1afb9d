package ledger

import "time"

// Nonces are random values by which an installation proves that it owns its queues. Its workers write a new one to
// their database about every second, and copy it to Redis, next to the queues. A copy of the database lacks the
// values that were written after it was made.
type Nonces struct {
	// DatabaseID is the database's identity, which its copies share.
	DatabaseID string
	// Latest holds the newest values, the newest first.
	Latest []string
	// Age is how long ago the newest value was written, by the database's clock.
	Age time.Duration
}
