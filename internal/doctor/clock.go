package doctor

import (
	"context"
	"fmt"
	"time"
)

// A Clock is what a server's clock shows, compared with this machine's.
type Clock struct {
	Server           string  `json:"server"`
	RoundTripSeconds float64 `json:"round_trip_seconds"` // the shortest of a few
	AheadSeconds     float64 `json:"ahead_seconds"`      // of this machine's; exact to half the round trip
}

const (
	// rounds is how often a clock is read: the reading that took the shortest time is the most exact.
	rounds = 5
	// farApart is by how much clocks may differ, in seconds. Workers warn from twice as much on.
	farApart = 1.0
)

// readClock reads a server's clock by ask.
func readClock(ctx context.Context, server string, ask func(context.Context) (time.Time, error)) (c Clock, err error) {
	c.Server = server
	for n := range rounds {
		begun := time.Now()
		said, err := ask(ctx)
		if err != nil {
			return c, err
		}
		took := time.Since(begun)
		if n == 0 || took.Seconds() < c.RoundTripSeconds {
			c.RoundTripSeconds, c.AheadSeconds = took.Seconds(), said.Sub(begun.Add(took/2)).Seconds()
		}
	}
	return c, nil
}

// compareClocks compares the clocks with each other and with this machine's.
func compareClocks(r *Report) {
	all := append([]Clock{{Server: "this machine"}}, r.Clocks...)
	first, last := all[0], all[0]
	for _, c := range all[1:] {
		if c.AheadSeconds < first.AheadSeconds {
			first = c
		}
		if c.AheadSeconds > last.AheadSeconds {
			last = c
		}
	}
	apart := last.AheadSeconds - first.AheadSeconds
	if apart <= farApart+(first.RoundTripSeconds+last.RoundTripSeconds)/2 {
		return
	}
	r.find(Finding{
		Check: "clock", Level: Warning, Server: last.Server, What: fmt.Sprintf("its clock is %.1f s ahead of the clock of %s", apart, first.Server),
		Remedy: "set the wrong one, and let NTP keep it right",
	})
}
