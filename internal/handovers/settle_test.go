package handovers_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"invoicer/internal/handovers"
	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

// An away store has one hand-over, and records nothing for a time: as a database does while another server takes its place.
type away struct {
	until   time.Time
	hangs   bool // a statement is sent and never answered, rather than refused
	claimed atomic.Int64
	tries   atomic.Int64
	last    time.Time
	settled atomic.Pointer[handover.Result]
}

func (a *away) Claim(context.Context, string, time.Duration) (handover.Claim, bool, error) {
	first := a.claimed.Add(1) == 1
	return handover.Claim{ID: 1, Turn: 1, Attempts: 1, State: handover.Queued, Key: "0f0e", Number: "INV-1"}, first, nil
}

func (a *away) Settle(ctx context.Context, _ *handover.Claim, r handover.Result) error {
	a.tries.Add(1)
	a.last = time.Now()
	if time.Now().Before(a.until) {
		if a.hangs {
			<-ctx.Done()
			return ctx.Err()
		}
		return errors.New("the database is starting up")
	}
	a.settled.Store(&r)
	return nil
}

func (*away) Counts(context.Context) ([]handover.Count, error) { return nil, nil }

// serve runs a worker of one channel that takes everything at once, until stop.
func serve(t *testing.T, store *away, log *bytes.Buffer) (stop func()) {
	t.Helper()
	w := &handovers.Worker{
		Store: store, Maker: maker(simple), Random: func() float64 { return 0.5 }, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Routes: []handovers.Route{{Name: "one", Channel: channel(taken), Formats: []document.Format{document.AsUBL}, Timeout: 10 * time.Minute, AtOnce: 1}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	return func() { cancel(); <-done }
}

// What the other side has said is recorded however long the database is away, as long as no other process can have the claim.
func TestAnAnswerOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"refuses": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				store := &away{until: time.Now().Add(5 * time.Minute), hangs: hangs}
				stop := serve(t, store, &log)
				time.Sleep(6 * time.Minute)
				stop()
				if r := store.settled.Load(); r == nil || r.State != handover.Accepted || strings.Contains(log.String(), "recorded") {
					t.Errorf("after %d tries: %+v\n%s", store.tries.Load(), r, log.String())
				}
			})
		})
	}
}

// An answer is given up when another process may have the claim, and a moment after the worker is to end; the log names it then.
func TestAnAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	const moment = 7 * time.Second                                 // for attempts that are under way, and then for their answers
	const lease = 10*time.Minute + 30*time.Second + 15*time.Second // the attempt, its document and the record
	for name, within := range map[string]time.Duration{"at the end of the lease": lease, "at the end of the worker": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				began := time.Now()
				store := &away{until: began.Add(24 * time.Hour)}
				stop := serve(t, store, &log)
				if within < lease {
					time.Sleep(within)
				} else {
					time.Sleep(2 * lease)
				}
				stop()
				if took := time.Since(began); within < lease && took > within+moment {
					t.Errorf("it ended after %v", took)
				}
				if tried := store.last.Sub(began); tried < within-10*time.Second || tried > within+moment || tried > lease {
					t.Errorf("it was tried until %v", tried)
				}
				for _, want := range []string{"level=WARN", "can't be recorded", "key=0f0e", "channel=one", "starting up"} {
					if !strings.Contains(log.String(), want) {
						t.Errorf("the log doesn't say %s:\n%s", want, log.String())
					}
				}
			})
		})
	}
}
