package invoice

import "time"

// Nonces are the random values that an installation's workers write to their database, a new one about every second, and
// from there to Redis, beside the queues that the installation owns. A copy of the database doesn't have those that came
// after it was made.
type Nonces struct {
	// DatabaseID is the database's identity, which its copies have as well.
	DatabaseID string
	// Latest are the newest values, the newest first.
	Latest []string
	// Age is how long ago the newest was written, by the database's clock.
	Age time.Duration
}
