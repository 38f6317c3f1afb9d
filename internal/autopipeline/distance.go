package autopipeline

import "time"

const (
	// near is a round trip that isn't worth more than one batch at a time.
	near = 500 * time.Microsecond
	// mostBatches is how many may be on their way at once.
	mostBatches = 8
	// window is how many round trips are looked at to find the shortest one.
	window = 16
)

// A distance is the shortest of the latest round trips: what the network takes, without what anybody had to wait for. The
// zero value is that of a server nearby.
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

// batches is how many may be on their way at once.
func (d *distance) batches() int { return min(1+int(d.shortest/near), mostBatches) }
