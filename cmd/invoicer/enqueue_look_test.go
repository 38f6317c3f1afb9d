package main

import (
	"testing"
	"time"
)

// Looking for a job's end makes it take at most an eighth longer, or a millisecond, and a job that takes long isn't asked for all the time.
func TestUntilNextLook(t *testing.T) {
	t.Parallel()
	for awaited, want := range map[time.Duration]time.Duration{
		0: time.Millisecond, 8 * time.Millisecond: time.Millisecond, 80 * time.Millisecond: 10 * time.Millisecond, time.Hour: 100 * time.Millisecond,
	} {
		if got := untilNextLook(awaited); got != want {
			t.Errorf("after %s: %s, want %s", awaited, got, want)
		}
	}
}
