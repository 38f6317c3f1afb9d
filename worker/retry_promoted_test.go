package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"invoicer/invoice"
)

// What was broken off by a promotion is tried again at once, since the next attempt meets another server; after an outage, jobs give it time.
func TestWhatWasBrokenOffIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err         error
		least, most time.Duration
	}{
		"broken off": {fmt.Errorf("%w, %w", invoice.ErrUnavailable, invoice.ErrBrokenOff), 50 * time.Millisecond, 250 * time.Millisecond},
		"an outage":  {fmt.Errorf("%w, %w", invoice.ErrUnavailable, errors.New("away")), time.Second, 5 * time.Second},
	} {
		for range 1000 {
			if d := retryDelay(0, sendable(c.err), nil); d < c.least || d > c.most || isFailure(c.err) {
				t.Fatalf("%s: it is tried again after %v; a failure: %t", name, d, isFailure(c.err))
			}
		}
	}
}
