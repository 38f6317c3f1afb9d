package pages

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// However many watch a page, and however long reading it takes, it is being read for a hundredth of the time at most.
func TestWatchersShareReadings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		takes time.Duration
		err   error
		least int // in a minute
		most  int
	}{
		{takes: time.Millisecond, least: 27, most: 31},
		{takes: 30 * time.Millisecond, least: 15, most: 21},
		{takes: 2 * time.Second, least: 5, most: 7},
		{takes: 30 * time.Millisecond, err: errors.New("away"), least: 27, most: 31}, // it is back soon, perhaps
	} {
		t.Run(fmt.Sprint(c.takes, c.err), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, readings := newLive(), 0
				var watchers sync.WaitGroup
				for i := range 50 {
					watchers.Go(func() {
						time.Sleep(time.Duration(i) * 20 * time.Millisecond)
						for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(livePause) {
							r := l.get("page", func() (string, bool, error) {
								readings++ // races, should two read at a time
								time.Sleep(c.takes)
								return fmt.Sprint(readings), false, c.err
							})
							if r.content == "" {
								t.Error("a watcher got nothing")
							}
						}
					})
				}
				watchers.Wait()
				if readings < c.least || readings > c.most {
					t.Errorf("%d readings in a minute, want %d to %d", readings, c.least, c.most)
				}
			})
		})
	}
}
