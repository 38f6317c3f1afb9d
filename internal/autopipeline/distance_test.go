package autopipeline

import (
	"testing"
	"time"
)

// How many batches may be on their way follows the shortest round trip: waiting for the processor makes some longer, and
// none shorter.
func TestBatchesFollowTheDistance(t *testing.T) {
	t.Parallel()
	var d distance
	if n := d.batches(); n != 1 {
		t.Errorf("%d batches before anything was measured, want 1", n)
	}
	for _, step := range []struct {
		shortest time.Duration
		want     int
	}{
		{100 * time.Microsecond, 1},
		{time.Millisecond, 3},
		{time.Minute, 8},
		{100 * time.Microsecond, 1}, // it came nearer, as after a failover
	} {
		for i := range window {
			d.add(step.shortest + time.Duration(i)*time.Millisecond)
		}
		if n := d.batches(); n != step.want {
			t.Errorf("%d batches at round trips of %s and more, want %d", n, step.shortest, step.want)
		}
	}
}
