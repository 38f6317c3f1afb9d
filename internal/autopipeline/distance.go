package autopipeline

import "time"

const (
	// near is a round-trip time below which one batch at a time is enough.
	near = 500 * time.Microsecond
	// mostBatches is the largest number of batches on their way at once.
	mostBatches = 8
	// window is the number of round trips of which the shortest is taken.
	window = 16
)

// A distance is the shortest of the latest round trips: the network's time, without waiting times. The zero value is
// that of a server nearby.
type distance struct {
	shortest time.Duration // of the last full window
	next     time.Duration // of the current one
	n        int
}

func (d *distance) add(roundTrip time.Duration) {
	if d.n == 0 || roundTrip < d.next {
		d.next = roundTrip
	}
	if d.n++; d.n == window {
		d.shortest, d.n = d.next, 0
	}
}

// batches returns the number of batches that may be on their way at once.
func (d *distance) batches() int { return min(1+int(d.shortest/near), mostBatches) }
