package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

// counted counts what a ledger that has nothing to do asks its database: each of these is one statement.
type counted struct {
	dispatch.Database
	statements atomic.Int64
}

func (c *counted) Watch(ctx context.Context, holder string, lease time.Duration, queues []ledger.Watch) ([]ledger.Watch, error) {
	c.statements.Add(1)
	return c.Database.Watch(ctx, holder, lease, queues)
}

func (c *counted) Enqueued(ctx context.Context, queue string, after ledger.Dispatch, settled time.Duration, limit int) ([]ledger.Dispatch, error) {
	c.statements.Add(1)
	return c.Database.Enqueued(ctx, queue, after, settled, limit)
}

// What an idle reconciler costs is what it asks: one statement a round, and one script for each queue.
func TestAnIdleReconcilerAsksLittle(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	queues := []string{b.Queue, b.Queue + "_2", b.Queue + "_3"}
	store := &counted{Database: b.store.Ledger}
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) {
		p.database, p.Queues, p.Settled, p.Lease = store, queues, 1, time.Minute
	})
	round(t, r)
	round(t, r)
	for range queues {
		told.await(t, dispatch.Swept)
	}
	const rounds = 10
	store.statements.Store(0)
	if err := b.Redis.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range rounds {
		round(t, r)
	}
	if n := store.statements.Load(); n != rounds {
		t.Errorf("%d statements in %d rounds", n, rounds)
	}
	stats, err := b.Redis.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for line := range strings.Lines(stats) {
		var calls int
		if name, rest, ok := strings.Cut(line, ":calls="); ok && !strings.HasPrefix(name, "cmdstat_config") {
			if _, err := fmt.Sscan(strings.ReplaceAll(rest, ",", " "), &calls); err != nil {
				t.Fatal(err)
			}
			commands += calls
		}
	}
	if most := rounds * len(queues) * 16; commands == 0 || commands > most { // the script and ten in it, and now and then the kinds of the keys
		t.Errorf("%d commands in %d rounds of %d queues, want %d at most:\n%s", commands, rounds, len(queues), most, stats)
	}
}

// waiting ends its user's context when it was waited for jobs so often.
type waiting struct {
	dispatch.Outbox
	often         int
	end           context.CancelFunc
	waits, claims int
}

func (w *waiting) Await(ctx context.Context, soon bool) error {
	if w.waits++; w.waits == w.often {
		w.end()
	}
	return w.Outbox.Await(ctx, soon)
}

func (w *waiting) Claim(ctx context.Context, limit int, except ...string) ([]ledger.Dispatch, error) {
	w.claims++
	return w.Outbox.Claim(ctx, limit, except...)
}

// An idle relay asks twice in half a second: it waits in the database.
func TestAnIdleRelayWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	outbox := &waiting{Outbox: b.store.Ledger, often: 4, end: cancel}
	began := b.Text(t, "SELECT clock_timestamp()::text")
	dispatch.NewRelay(outbox, b.Redis, dispatch.RelayOptions{}).Run(ctx)
	if outbox.claims != outbox.waits {
		t.Errorf("%d claims beside %d waits", outbox.claims, outbox.waits)
	}
	looks := b.Count(t, "SELECT (1000 * extract(epoch FROM clock_timestamp() - $1::timestamptz))::int / 70", began)
	if asked := outbox.claims + outbox.waits; looks < 2*asked {
		t.Errorf("it asked %d times, and would have looked %d times", asked, looks)
	}
}

// resuming ends its user's context when it was waited for jobs so often.
type resuming struct {
	waiting
	sinceLook, longest int // waits
	looks              int
}

func (r *resuming) Await(ctx context.Context, soon bool) error {
	r.sinceLook++
	r.longest = max(r.longest, r.sinceLook)
	return r.waiting.Await(ctx, soon)
}

func (r *resuming) Unpark(ctx context.Context) (int, error) {
	r.looks++
	r.sinceLook = 0
	return r.Outbox.Unpark(ctx)
}

// Each wait of a relay is half a second at most, so a series that was resumed is found within two.
func TestARelayLooksForResumedSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	outbox := &resuming{waiting: waiting{Outbox: b.store.Ledger, often: 6, end: cancel}}
	dispatch.NewRelay(outbox, b.Redis, dispatch.RelayOptions{}).Run(ctx)
	if outbox.looks < 2 || outbox.longest > 3 {
		t.Errorf("it looked %d times in %d waits, at most %d of which came between two looks", outbox.looks, outbox.waits, outbox.longest)
	}
}

// single gives one job, and then ends its user's context after so many waits.
type single struct {
	waiting
	soon []bool // of each wait since the job
	gave bool
}

func (s *single) Await(_ context.Context, soon bool) error {
	if s.soon = append(s.soon, soon); len(s.soon) == s.often {
		s.end()
	}
	return nil
}

func (s *single) Claim(ctx context.Context, limit int, except ...string) ([]ledger.Dispatch, error) {
	if s.gave {
		return nil, nil
	}
	claimed, err := s.Outbox.Claim(ctx, limit, except...)
	s.gave = len(claimed) > 0
	return claimed, err
}

// Whoever asks for one job after the other needn't wait for the relay, even if each job takes a tenth of a second; an idle relay soon
// waits as before.
func TestARelayExpectsTheNextSingleJobSoon(t *testing.T) {
	t.Parallel()
	for jobs, want := range map[int][]bool{1: {true, true, true, true, false, false}, 2: {false, false, false, false, false, false}} {
		b := setup(t)
		b.accept(t, 1, jobs)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		outbox := &single{waiting: waiting{Outbox: b.store.Ledger, often: len(want), end: cancel}}
		dispatch.NewRelay(outbox, b.Redis, dispatch.RelayOptions{}).Run(ctx)
		if !slices.Equal(outbox.soon, want) {
			t.Errorf("after %d jobs the waits for the next one are soon: %v, want %v", jobs, outbox.soon, want)
		}
	}
}
