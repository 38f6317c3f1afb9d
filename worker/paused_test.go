package worker

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"invoicer/invoice"
)

// parking is a ledger that has jobs wait for a paused series, or not.
type parking struct {
	Recorder
	waits bool
	err   error
}

func (p parking) Park(context.Context, string, invoice.SeriesID) (bool, error) { return p.waits, p.err }

// After a series is resumed, a job that only Redis has gets its number within 30 seconds. One of the ledger gets it within 5, even if
// it just missed being put to those that wait there: of these, a relay takes one to find the series resumed.
func TestWhenAJobAsksAgainForItsPausedSeries(t *testing.T) {
	t.Parallel()
	const (
		outdated = time.Second     // how long a worker may take a resumed series for paused
		looking  = 2 * time.Second // more than relay, queue and worker take to begin a job
	)
	for name, c := range map[string]struct {
		parking
		fromLedger  bool
		least, most time.Duration
	}{
		"direct":                       {parking{}, false, 5 * time.Second, 30*time.Second - looking},
		"direct, without the ledger":   {parking{err: errors.New("planted")}, false, 5 * time.Second, 30*time.Second - looking},
		"accepted, resumed meanwhile":  {parking{}, true, outdated, 5*time.Second - looking},
		"accepted, without the ledger": {parking{err: errors.New("planted")}, true, outdated, 5*time.Second - looking},
		"accepted, and waits there":    {parking{waits: true}, true, 0, 0},
	} {
		h := &Handler{recorder: c.parking, log: slog.New(slog.DiscardHandler), options: Options{Observe: func(Event) {}}}
		for range 1000 {
			err := h.park(t.Context(), &attempt{jobID: "j", fromLedger: c.fromLedger}, &invoice.PausedError{Series: invoice.SeriesID{Name: "STOP"}})
			if c.waits {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err == nil || isFailure(err) {
				t.Fatalf("%s: a failure: %t; %v", name, err != nil && isFailure(err), err)
			}
			if d := retryDelay(0, sendable(err), nil); d < c.least || d > c.most {
				t.Fatalf("%s: asks again after %s, want %s to %s", name, d, c.least, c.most)
			}
		}
	}
}
