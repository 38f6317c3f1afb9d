package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// Bulks are replays of all failed jobs that match a filter, as the database keeps them. Their errors are [ledger.ErrReplayLost] where a replay
// was canceled, or another process works on it.
type Bulks interface {
	// Claim returns a replay that nobody works on, or nil.
	Claim(ctx context.Context, holder string, lease time.Duration) (*ledger.BulkReplay, error)
	Hold(ctx context.Context, id, holder string, lease time.Duration) error
	// Progress records how far a replay has come.
	Progress(ctx context.Context, r *ledger.BulkReplay, holder string) error
	// Replay makes jobs accepted again, adds them to r, and records that in the same transaction.
	Replay(ctx context.Context, r *ledger.BulkReplay, holder string, jobs []ledger.Replay, forecasts map[string]invoice.Outcome) ([]string, error)
}

// BulkOptions are the options of a [Bulk]. Zero values mean the defaults, unless required.
type BulkOptions struct {
	Bulks      Bulks      // required
	Failures   Failures   // required
	Forecaster Forecaster // required
	// Holder is the name of this process, which no other one has. Each claim adds a number to it, since a process that was held up may take over
	// from itself. Required.
	Holder string
	// Lease is after how long without a sign of life of its process a replay is taken over. Default: 15s.
	Lease time.Duration
	// Look is how often replays are looked for that nobody works on. Default: 1s.
	Look time.Duration
	// Sent is called with jobs that are accepted again. It must return soon. Default: nobody is told.
	Sent   func(jobIDs ...string)
	Logger *slog.Logger // required
}

// A Bulk works on the replays that the database has, in any number of processes. One whose process dies is taken over, and goes on behind what
// was done. No job is replayed twice by one replay.
type Bulk struct {
	o    BulkOptions
	wake chan struct{}
}

// bulksAtOnce is how many replays a process works on at the same time.
const bulksAtOnce = 3

// NewBulk returns a Bulk. Its Run works.
func NewBulk(o BulkOptions) *Bulk {
	if o.Lease == 0 {
		o.Lease = 15 * time.Second
	}
	if o.Look == 0 {
		o.Look = time.Second
	}
	if o.Sent == nil {
		o.Sent = func(...string) {}
	}
	return &Bulk{o: o, wake: make(chan struct{}, 1)}
}

// Begun has replays be looked for now, since one has begun.
func (b *Bulk) Begun() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run works on replays until ctx ends. What it works on then is left for others at once.
func (b *Bulk) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	room := make(chan struct{}, bulksAtOnce)
	for claims := 1; ; claims++ {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		holder := b.o.Holder + " " + strconv.Itoa(claims)
		claimed, err := b.o.Bulks.Claim(ctx, holder, b.o.Lease)
		if err == nil && claimed != nil {
			running.Go(func() {
				defer func() { <-room }()
				b.work(ctx, claimed, holder)
			})
			continue
		}
		<-room
		pause := b.o.Look
		if err != nil && ctx.Err() == nil {
			b.o.Logger.Debug("replays can't be looked for", "error", err)
			if state := (interface{ SQLState() string })(nil); errors.As(err, &state) && state.SQLState() == insufficientPrivilege {
				pause = lookAgain
			}
		}
		look := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-look.C:
		case <-b.wake:
		}
		look.Stop()
	}
}

// lookAgain is how long a process whose role may not replay waits until it looks whether it may by now.
const lookAgain = time.Minute

// insufficientPrivilege is the SQLSTATE of a missing right.
const insufficientPrivilege = "42501"

// work works on a replay to its end, or until ctx ends.
func (b *Bulk) work(ctx context.Context, r *ledger.BulkReplay, holder string) {
	ctx, cancel := context.WithCancelCause(ctx)
	var holding sync.WaitGroup
	holding.Go(func() { b.hold(ctx, r.ID, holder, cancel) })
	run := &bulkRun{Bulk: b, holder: holder, replay: *r, Failures: b.o.Failures}
	_, err := NewReplayer(run, run).Run(ctx, ReplayOptions{Filter: r.Filter, By: r.By, Rate: r.Rate, Begin: run.counted, Observe: run.observe})
	if ctx.Err() != nil { // whatever error that has led to
		err = context.Cause(ctx)
	}
	cancel(nil)
	holding.Wait()
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), replayTimeout)
	defer done()
	switch {
	case err == nil:
		run.replay.State = ledger.ReplayFinished
		err = b.o.Bulks.Progress(ending, &run.replay, holder)
	case errors.Is(err, ledger.ErrReplayLost):
		return
	case errors.Is(err, context.Canceled):
		err = b.o.Bulks.Hold(ending, r.ID, holder, 0)
	case errors.Is(err, invoice.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
	default:
		b.o.Logger.Error("a replay of many jobs ended early", "replay", r.ID, "error", err)
		run.replay.State, run.replay.Reason = ledger.ReplayFailed, "the database didn't answer as expected; the log says more"
		err = b.o.Bulks.Progress(ending, &run.replay, holder)
	}
	if err != nil && !errors.Is(err, ledger.ErrReplayLost) { // it is taken over after its lease
		b.o.Logger.Debug("a replay of many jobs is interrupted", "replay", r.ID, "error", err)
	}
}

// hold keeps others from a replay until ctx ends, and ends it if the replay is lost.
func (b *Bulk) hold(ctx context.Context, id, holder string, lost context.CancelCauseFunc) {
	tick := time.NewTicker(b.o.Lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := b.o.Bulks.Hold(ctx, id, holder, b.o.Lease); errors.Is(err, ledger.ErrReplayLost) {
			lost(err)
			return
		}
	}
}

// A bulkRun stands between a [Replayer] and the ledger: it goes on where the replay stands, and records how far it comes.
type bulkRun struct {
	*Bulk
	Failures

	holder    string
	replay    ledger.BulkReplay
	forecasts map[string]invoice.Outcome // of jobs that weren't sent yet
}

func (r *bulkRun) counted(jobs int) {
	if r.replay.Counted == nil {
		r.replay.Counted = &jobs
	}
}

// Failed implements [Failures]. When the next jobs are asked for, all before them are done.
func (r *bulkRun) Failed(ctx context.Context, f ledger.FailedFilter, after ledger.FailedJob, limit int) ([]ledger.FailedJob, error) {
	if after.ID == 0 {
		after = r.replay.After
	} else {
		r.replay.After = position(&after)
	}
	if err := r.o.Bulks.Progress(ctx, &r.replay, r.holder); err != nil {
		return nil, err
	}
	return r.Failures.Failed(ctx, f, after, limit)
}

// ForecastAll implements [Forecaster].
func (r *bulkRun) ForecastAll(ctx context.Context, requests []invoice.Request) []invoice.Forecast {
	list := r.o.Forecaster.ForecastAll(ctx, requests)
	r.forecasts = make(map[string]invoice.Outcome)
	for i := range list {
		r.forecasts[requests[i].JobID] = list[i].Result.Outcome
	}
	return list
}

// Replay implements [Failures].
func (r *bulkRun) Replay(ctx context.Context, jobs []ledger.Replay, _ ledger.Actor) ([]string, error) {
	before := r.replay.After
	if last := &jobs[len(jobs)-1].Failed; isBehind(last, &before) {
		r.replay.After = position(last)
	}
	ids, err := r.o.Bulks.Replay(ctx, &r.replay, r.holder, jobs, r.forecasts)
	if err != nil {
		return nil, err
	}
	r.o.Sent(ids...)
	return ids, nil
}

// observe records jobs that are left as they are.
func (r *bulkRun) observe(one Replayed) {
	if len(one.Problems) == 0 {
		return
	}
	r.replay.Refused++
	if len(r.replay.Refusals) < ledger.MostRefusals {
		r.replay.Refusals = append(r.replay.Refusals, ledger.Refusal{JobID: one.Failed.JobID, Issuer: one.Failed.Issuer, TransactionID: one.Failed.TransactionID, Problems: one.Problems})
	}
	if isBehind(&one.Failed, &r.replay.After) {
		r.replay.After = position(&one.Failed)
	}
}

func position(j *ledger.FailedJob) ledger.FailedJob {
	return ledger.FailedJob{ID: j.ID, FailedAt: j.FailedAt}
}

func isBehind(a, b *ledger.FailedJob) bool {
	if d := a.FailedAt.Compare(b.FailedAt); d != 0 {
		return d > 0
	}
	return a.ID > b.ID
}
