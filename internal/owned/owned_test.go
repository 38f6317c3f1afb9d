package owned_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"invoicer/internal/owned"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWaitIsForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all owned.Goroutines
		begun := time.Now()
		for i := range 3 {
			all.Go(func() { time.Sleep(time.Duration(i+1) * time.Second) })
		}
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				if !all.Wait(time.Minute) || time.Since(begun) != 3*time.Second {
					t.Errorf("it waited for %s", time.Since(begun))
				}
			})
		}
		waiting.Wait()
		if !all.Wait(0) {
			t.Error("somebody runs")
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all owned.Goroutines
		letGo := make(chan struct{})
		all.Go(func() { <-letGo })
		begun := time.Now()
		if all.Wait(2*time.Second) || time.Since(begun) != 2*time.Second {
			t.Errorf("it waited for %s", time.Since(begun))
		}
		close(letGo)
		if !all.Wait(2*time.Second) || time.Since(begun) != 2*time.Second {
			t.Errorf("it ends after %s", time.Since(begun))
		}
	})
}

// One that begins another one isn't the last.
func TestGoWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all owned.Goroutines
		ended := false
		all.Go(func() {
			time.Sleep(time.Second)
			all.Go(func() {
				time.Sleep(time.Second)
				ended = true
			})
		})
		if !all.Wait(time.Minute) || !ended {
			t.Error("it didn't wait for the second")
		}
	})
}
