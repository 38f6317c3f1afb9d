package dispatch_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

// failMany has so many jobs in the ledger that have failed, each tenth of which can't be an invoice.
func (b *site) failMany(t *testing.T, n int) {
	t.Helper()
	b.accept(t, 1, n)
	b.Exec(t, `UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'r', updated_at = now() - $1 * interval '1 s' + substr(transaction_id, 2)::integer * interval '1 s',
		payload = CASE WHEN transaction_id ~ '0$' THEN '{}' ELSE payload END`, n)
}

func (b *site) begin(t *testing.T, rate float64) string {
	t.Helper()
	r, _, err := b.store.Replays.Begin(t.Context(), &ledger.BulkReplay{ID: uuid.Must(uuid.NewV7()).String(), By: ledger.Actor{Name: "ada", Note: "mended"}, Rate: rate}, ledger.ReplayKey{})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func (b *site) replay(t *testing.T, id string) *ledger.BulkReplay {
	t.Helper()
	r, err := b.store.Replays.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bulk has a process work on replays until the returned function is called, and then awaits its end.
func (b *site) bulk(t *testing.T, bulks dispatch.Bulks, change ...func(*dispatch.BulkOptions)) (stop func()) {
	t.Helper()
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := dispatch.BulkOptions{
		Bulks: bulks, Failures: b.store.Ledger, Forecaster: invoice.NewForecaster(invoice.NewGenerator(b.store.Invoices, numbering)),
		Holder: uuid.NewString(), Lease: 500 * time.Millisecond, Look: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&o)
	}
	process := dispatch.NewBulk(o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { process.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// isExact compares a replay's counts with what the ledger has on record.
func (b *site) isExact(t *testing.T, id string, replayed, refused int) {
	t.Helper()
	r := b.replay(t, id)
	if r.Replayed != replayed || r.Refused != refused || r.Changed != 0 || r.Forecasts[invoice.Created] != replayed || len(r.Refusals) != min(refused, ledger.MostRefusals) {
		t.Errorf("it says: %+v", r)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_job_actions WHERE action = 'replay' AND actor = 'ada' AND note = 'mended'"); n != replayed {
		t.Errorf("%d replays are on record, want %d", n, replayed)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted' AND dispatch = 1"); n != replayed {
		t.Errorf("%d jobs are accepted again, want %d", n, replayed)
	}
}

func TestABulkReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 730
	b.failMany(t, jobs)
	id := b.begin(t, 0)
	b.Exec(t, "UPDATE invoice_jobs SET updated_at = now() + interval '1 hour' WHERE transaction_id = 'T1'") // it fails afterwards
	var sent atomic.Int64
	b.bulk(t, b.store.Replays, func(o *dispatch.BulkOptions) { o.Sent = func(ids ...string) { sent.Add(int64(len(ids))) } })
	rig.Eventually(t, "the end", func() bool { return b.replay(t, id).Ended() })
	b.isExact(t, id, jobs-1-jobs/10, jobs/10)
	r := b.replay(t, id)
	if r.State != ledger.ReplayFinished || r.Counted == nil || *r.Counted != jobs-1 || r.EndedAt == nil || sent.Load() != int64(r.Replayed) {
		t.Errorf("%+v, %d sent", r, sent.Load())
	}
	if p := r.Refusals[0]; p.JobID == "" || p.TransactionID != "T10" || len(p.Problems) == 0 {
		t.Errorf("%+v", p)
	}
}

// dying are replays of a process that dies at the nth time that it replays: before that, or right after.
type dying struct {
	dispatch.Bulks
	n     atomic.Int64
	after bool
	dead  chan struct{} // closed at its death
	end   chan struct{} // closed when it may end
}

func (d *dying) Replay(ctx context.Context, r *ledger.BulkReplay, holder string, jobs []ledger.Replay, forecasts map[string]invoice.Outcome) (ids []string, err error) {
	if d.n.Add(-1) != 0 {
		return d.Bulks.Replay(ctx, r, holder, jobs, forecasts)
	}
	if d.after {
		if ids, err = d.Bulks.Replay(ctx, r, holder, jobs, forecasts); err != nil {
			return nil, err
		}
	}
	close(d.dead)
	<-d.end
	if d.after {
		return ids, nil
	}
	return d.Bulks.Replay(context.WithoutCancel(ctx), r, holder, jobs, forecasts) // it was only asleep, and doesn't know
}

func (d *dying) Hold(ctx context.Context, id, holder string, lease time.Duration) error {
	select {
	case <-d.dead:
		return http.ErrAbortHandler
	default:
		return d.Bulks.Hold(ctx, id, holder, lease)
	}
}

// A replay whose process dies is taken over, and goes on behind what was done.
func TestABulkReplaySurvivesItsProcess(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before it has replayed": false, "when it has replayed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const jobs = 730
			b.failMany(t, jobs)
			id := b.begin(t, 0)
			d := &dying{Bulks: b.store.Replays, after: after, dead: make(chan struct{}), end: make(chan struct{})}
			d.n.Store(3)
			stop := b.bulk(t, d)
			<-d.dead
			b.bulk(t, b.store.Replays)
			rig.Eventually(t, "the end", func() bool { return b.replay(t, id).Ended() })
			close(d.end)
			stop()
			b.isExact(t, id, jobs-jobs/10, jobs/10)
			if r := b.replay(t, id); r.State != ledger.ReplayFinished || *r.Counted != jobs {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A process that was held up for so long that it has taken over from itself doesn't go on where it was.
func TestABulkReplayIsTakenOverFromItself(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before it has replayed": false, "when it has replayed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.failMany(t, 200)
			id := b.begin(t, 100)
			d := &dying{Bulks: b.store.Replays, after: after, dead: make(chan struct{}), end: make(chan struct{})}
			d.n.Store(3)
			b.bulk(t, d)
			<-d.dead
			rig.Eventually(t, "some replayed by the second claim", func() bool { return b.replay(t, id).Replayed > 10 })
			close(d.end)
			rig.Eventually(t, "the end", func() bool { return b.replay(t, id).Ended() })
			b.isExact(t, id, 180, 20)
		})
	}
}

// A process that stops leaves its replay to another one at once.
func TestABulkReplayGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.failMany(t, 50)
	id := b.begin(t, 100)
	long := func(o *dispatch.BulkOptions) { o.Lease = time.Hour }
	stop := b.bulk(t, b.store.Replays, long)
	rig.Eventually(t, "some replayed", func() bool { return b.replay(t, id).Replayed > 3 })
	stop()
	if r := b.replay(t, id); r.Ended() || r.Replayed > 40 {
		t.Fatalf("%+v", r)
	}
	b.bulk(t, b.store.Replays, long)
	rig.Eventually(t, "the end", func() bool { return b.replay(t, id).Ended() })
	b.isExact(t, id, 45, 5)
}

func TestABulkReplayIsCanceled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.failMany(t, 50)
	id := b.begin(t, 20)
	stop := b.bulk(t, b.store.Replays)
	rig.Eventually(t, "some replayed", func() bool { return b.replay(t, id).Replayed > 0 })
	r, err := b.store.Replays.Cancel(t.Context(), id, ledger.Actor{Name: "eve"})
	if err != nil || r.State != ledger.ReplayCanceled || r.EndedAt == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	done := b.Count(t, "SELECT count(*) FROM invoice_job_actions")
	other := b.begin(t, 0) // which isn't held up
	rig.Eventually(t, "the end of another", func() bool { return b.replay(t, other).Ended() })
	stop()
	if now := b.replay(t, id); now.State != ledger.ReplayCanceled || now.Replayed != done {
		t.Errorf("%+v, when canceled %d", now, done)
	}
	if n := b.Count(t, "SELECT count(*) FROM actions WHERE action = 'replay cancel' AND subject = $1 AND actor = 'eve'", id); n != 1 {
		t.Errorf("%d are on record", n)
	}
}
