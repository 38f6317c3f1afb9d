package worker

import (
	"strconv"
	"testing"
)

func TestLossesAreBounded(t *testing.T) {
	t.Parallel()
	l := newLosses()
	lose := func(n int) bool { return l.first(loss{jobID: strconv.Itoa(n), holderID: "h", holderWorker: "w"}) }
	for n := range 5 * mostLosses {
		if !lose(n) {
			t.Fatalf("loss %d is no news", n)
		}
		if lose(n) {
			t.Fatalf("loss %d is news twice", n)
		}
		if size := len(l.latest) + len(l.before); size > 2*mostLosses {
			t.Fatalf("%d are remembered", size)
		}
	}
	for n := 4 * mostLosses; n < 5*mostLosses; n++ {
		if lose(n) {
			t.Fatalf("loss %d is forgotten", n)
		}
	}
	if !l.first(loss{jobID: strconv.Itoa(5*mostLosses - 1), holderID: "h", holderWorker: "another"}) {
		t.Error("another worker's lock is no news")
	}
}
