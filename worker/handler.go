package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/fault"
	"invoicer/internal/tracing"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/locking"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// A Generator makes invoices and looks up existing ones. [invoice.Generator] implements it.
type Generator interface {
	Generate(ctx context.Context, r invoice.Request) (invoice.Result, error)
	Lookup(ctx context.Context, r invoice.Request, reason invoice.Reason) (invoice.Result, error)
	Known(ctx context.Context, r invoice.Request, known invoice.Ref, reason invoice.Reason) (invoice.Result, error)
}

// A Recorder returns accepted jobs and records how jobs end.
type Recorder interface {
	// Record records an end. It returns an error, and records nothing, if the end isn't the job's.
	Record(ctx context.Context, e ledger.End) error
	// Accepted returns the payload that was accepted under a job id, nil if it isn't kept any more, and whether the
	// job was accepted.
	Accepted(ctx context.Context, jobID string) (payload []byte, ok bool, err error)
	// CountAttempt counts a failed attempt and returns the number of failed attempts, 0 if the job wasn't accepted.
	CountAttempt(ctx context.Context, jobID string, payload []byte) (int, error)
	// Park has an accepted job wait until its paused series is resumed, and reports whether it does.
	Park(ctx context.Context, jobID string, series invoice.SeriesID) (bool, error)
	// RecordAttempt records a failed attempt for people. Nothing depends on it.
	RecordAttempt(ctx context.Context, a ledger.FailedAttempt) error
}

// cleanupTimeout bounds the work that remains after a job's own time is up: freeing its lock, recording its failure.
const cleanupTimeout = 3 * time.Second

// maxCrashes is how often a job may be interrupted by a crash, in addition to its failures. The queue counts both as
// one. A worker that loses Redis is no failure of its job, but a job that crashes its workers must not do so for
// ever.
const maxCrashes = 10

// maxStale bounds the stale done entries that one attempt deletes. After that it makes the invoice without asking
// Redis.
const maxStale = 3

// A Handler takes jobs from their payload to their recorded end. Its methods may run twice for the same job,
// concurrently, and after the job's lock was lost.
type Handler struct {
	generator Generator
	locker    *locking.Locker
	recorder  Recorder
	options   Options
	log       *slog.Logger
	waiting   chan struct{} // slots that may wait for a held lock
	losses    *losses
	running   sync.WaitGroup
	inHand    atomic.Int64  // jobs
	draining  chan struct{} // closed when the worker takes no more jobs
	stopped   chan struct{} // closed when all waits must end
	foreign   foreignTasks
	unkept    atomic.Bool // failed attempts can't be recorded, and that was logged
}

// NewHandler returns a handler with the worker's options.
func NewHandler(g Generator, l *locking.Locker, r Recorder, o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return &Handler{
		generator: g, locker: l, recorder: r, options: o, log: o.Logger,
		waiting:  make(chan struct{}, max(1, o.Concurrency/4)),
		losses:   newLosses(),
		draining: make(chan struct{}),
		stopped:  make(chan struct{}),
	}, nil
}

// ProcessTask implements [asynq.Handler]. It returns nil once a good end is committed, an error that wraps
// [asynq.SkipRetry] once a bad end is committed, and [asynq.RevokeTask] for another installation's task, and once an end is
// committed of a job whose transaction was erased. After any other error the queue retries the job.
func (h *Handler) ProcessTask(ctx context.Context, task *asynq.Task) error {
	if h.isForeign(ctx, task) {
		return asynq.RevokeTask
	}
	h.inHand.Add(1)
	defer h.inHand.Add(-1)
	a := newAttempt(ctx, task, h.options.Name)
	ctx, a.span = h.options.Tracer.Continue(ctx, task.Headers()[client.TraceparentHeader], tracing.Consumer, "process job", "job_id", a.jobID, "queue", a.queue)
	defer a.span.End()
	err := h.process(ctx, a)
	for err != nil && !errors.Is(err, asynq.RevokeTask) && !errors.Is(err, asynq.SkipRetry) && a.final {
		// The queue would archive the job now, before its end is recorded. So keep the job in hand until it is.
		select {
		case <-time.After(queue.Between(time.Second, 2*time.Second)):
			err = h.process(ctx, a)
		case <-ctx.Done():
			return sendable(err)
		case <-h.stopped:
			return sendable(err)
		}
	}
	return sendable(err)
}

// free returns about how many more jobs could be worked on now. It doesn't count the tasks that asynq is about to
// deliver or to acknowledge.
func (h *Handler) free() int { return h.options.Concurrency - int(h.inHand.Load()) }

// handleError is called by asynq before it retries or archives a task. A task whose own deadline has passed may never
// have reached the handler; so its job is processed here.
func (h *Handler) handleError(ctx context.Context, task *asynq.Task, err error) {
	if err != context.DeadlineExceeded || h.isForeign(ctx, task) { //nolint:errorlint // asynq's own, not the handler's
		return
	}
	h.inHand.Add(1)
	defer h.inHand.Add(-1)
	ctx = context.WithoutCancel(ctx)
	_ = h.process(ctx, newAttempt(ctx, task, h.options.Name)) // asynq has decided already what it does next
}

// process takes an attempt to the job's recorded end and acknowledges it.
func (h *Handler) process(ctx context.Context, a *attempt) error {
	h.running.Add(1)
	defer h.running.Done()
	work, cancel := context.WithTimeout(ctx, h.options.JobTimeout)
	defer cancel()

	end, err := h.try(ctx, work, a)
	for n := 0; n < maxAltered && a.correct(err); n++ {
		end, err = h.try(ctx, work, a)
	}
	if mustBeLeft(err) {
		return h.leave(ctx, a, err)
	}
	if paused := (*invoice.PausedError)(nil); errors.As(err, &paused) {
		return h.park(ctx, a, paused)
	}
	if err != nil {
		h.returned(ctx, a, err)
		return err
	}
	h.ended(ctx, a, end)
	if err := h.options.Fault.Hit(ctx, fault.Recorded); err != nil {
		return err
	}
	if h.ofErased(ctx, end) {
		return asynq.RevokeTask // which deletes it, payload and all, whereas the queue keeps completed and archived ones for a time
	}
	return a.acknowledge(ctx, end)
}

// try returns the job's recorded end, which may be a failure because the retries are used up, or an error if there is
// no end yet.
func (h *Handler) try(ctx, work context.Context, a *attempt) (*ledger.End, error) {
	end, err := h.run(work, a)
	for pause := firstPause; isOutage(err) && !errors.Is(err, invoice.ErrHeld) && h.pauseFor(work, pause); pause = min(2*pause, longestPause) {
		h.waits(a, err)
		end, err = h.run(work, a) // the job waits in hand: the jobs behind it in the queue would meet the same outage
	}
	if err == nil || mustBeLeft(err) || errors.As(err, new(*ledger.AlteredError)) {
		return end, err
	}
	exhausted, err := h.exhausted(ctx, a, err)
	if exhausted {
		return h.giveUp(ctx, a, err)
	}
	return end, err
}

// How long a job waits in hand before it asks again whether an outage is over.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// pauseFor waits for d with jitter. It reports false if the job's time is up or the worker drains.
func (h *Handler) pauseFor(ctx context.Context, d time.Duration) bool {
	next := time.NewTimer(queue.Between(d/2, d+d/2))
	defer next.Stop()
	select {
	case <-next.C:
		return true
	case <-ctx.Done():
	case <-h.draining:
	}
	return false
}

// run returns the job's recorded end, or an error if there is none yet.
func (h *Handler) run(ctx context.Context, a *attempt) (end *ledger.End, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
		}
	}()
	if err := h.resolve(ctx, a); err != nil {
		return nil, err
	}
	if ok, err := h.typed(ctx, a); err != nil {
		return nil, err
	} else if !ok {
		return h.refuse(ctx, a, invoice.Invalid, fmt.Sprintf("task type %.64q is not known; this worker knows %s", a.task.Type(), client.TaskType))
	}
	read, err := h.decode(ctx, a)
	if h.options.LedgerOnly && !a.fromLedger {
		return h.refuseDirect(ctx, a)
	}
	if poisoned, err := h.poisoned(ctx, a); err != nil {
		return nil, err
	} else if poisoned {
		return h.giveUp(ctx, a, errors.New("its worker crashed or lost its lease every time"))
	}
	var invalid *invoice.InvalidError
	if errors.As(err, &invalid) {
		return h.refuse(ctx, a, invoice.Invalid, invalid.Error())
	}
	if err != nil {
		return nil, err
	}

	result, err := h.settle(ctx, a, h.request(a, &read))
	if errors.Is(err, invoice.ErrNotAccepted) {
		return h.refuseDirect(ctx, a)
	}
	if errors.As(err, &invalid) {
		return h.refuse(ctx, a, invoice.Invalid, invalid.Error())
	}
	if err != nil {
		return nil, err
	}
	if result.Outcome == invoice.Conflict {
		return h.refuse(ctx, a, invoice.Conflict, result.Detail)
	}
	return a.result(result), nil
}

func (h *Handler) request(a *attempt, read *invoice.Reading) invoice.Request {
	r := invoice.NewRequest(a.jobID, a.number(), read.Job)
	r.Totals, r.Payload, r.LedgerOnly = &read.Totals, a.payload, h.options.LedgerOnly
	return r
}

// settle finds the job's result and records it, unless it is a conflict. If the database doesn't hold a done entry's
// invoice, as after a restore, settle deletes the entry and starts again; if such entries return, it continues
// without Redis. It starts again, too, if the import that the job is a duplicate of was withdrawn meanwhile.
func (h *Handler) settle(ctx context.Context, a *attempt, r invoice.Request) (invoice.Result, error) {
	for range maxStale {
		result, entry, err := h.race(ctx, a, r)
		if err == nil && !result.Recorded && result.Outcome != invoice.Conflict {
			end := a.result(result)
			end.LedgerOnly = r.LedgerOnly
			err = h.record(ctx, end)
		}
		withdrawn := result.Invoice != nil && result.Invoice.Imported != nil
		if !errors.Is(err, invoice.ErrNotInvoiced) || entry == nil && !withdrawn {
			return result, err
		}
		if withdrawn {
			continue
		}
		if err := h.forget(ctx, a, r, entry); err != nil {
			return invoice.Result{}, err
		}
	}
	return h.generateUnlocked(ctx, a, r)
}

// race asks for the transaction's lock until it has a result: from making the invoice, from the done entry, which it
// then returns as well, or from what the lock's holder has committed. If the holder has committed nothing when the
// wait is over, the job goes back to the queue, since the holder may still fail.
func (h *Handler) race(ctx context.Context, a *attempt, r invoice.Request) (result invoice.Result, entry *locking.DoneError, err error) {
	reason := invoice.AlreadyInvoiced
	var wait *waiter
	var lost time.Time
	asking, span := h.options.Tracer.Start(ctx, "take lock")
	defer span.End()
	for {
		lock, err := h.locker.Within(r.Job.Issuer).Acquire(asking, r.Job.TransactionID, locking.Holder{ID: a.jobID, Worker: a.worker})
		if wait != nil {
			a.lockWait = time.Since(lost)
		}
		var done *locking.DoneError
		var held *locking.HeldError
		switch {
		case err == nil:
			span.Set("lock", "acquired")
			span.End()
			result, err = h.generate(ctx, a, lock, r, reason)
			return result, nil, err
		case errors.As(err, &done):
			span.Set("lock", "done")
			span.End()
			known, _, ok := DecodeDone(done.Value)
			if !ok {
				return invoice.Result{}, done, invoice.ErrNotInvoiced
			}
			result, err = h.generator.Known(ctx, r, known, reason)
			a.doneEntry = err == nil
			if err == nil && *result.Invoice != known {
				err = h.forget(ctx, a, r, done) // the entry decided nothing
			}
			return result, done, err
		case !errors.As(err, &held):
			span.Fail(err)
			return invoice.Result{}, nil, redisError(err)
		}
		if wait == nil {
			reason, lost = invoice.LostRace, time.Now()
			span.Set("lock", "held", "lost_to_job_id", held.Holder.ID)
			h.lost(ctx, a, held)
			if err := h.options.Fault.Hit(ctx, fault.Held); err != nil {
				return invoice.Result{}, nil, err
			}
			if wait = h.waiter(); wait == nil {
				return invoice.Result{}, nil, &contentionError{held: held}
			}
			defer wait.stop()
		}
		if wait.again(ctx, held.Remaining) {
			continue
		}
		span.End()
		result, err = h.generator.Lookup(ctx, r, reason)
		if errors.Is(err, invoice.ErrNotInvoiced) {
			err = &contentionError{held: held}
		}
		return result, nil, err
	}
}

// generate makes the invoice under the lock, and frees the lock even after an error or a panic. It stores the done
// entry only after the commit.
func (h *Handler) generate(ctx context.Context, a *attempt, lock *locking.Lock, r invoice.Request, reason invoice.Reason) (result invoice.Result, err error) {
	remember := ""
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		var freed error
		if remember != "" {
			freed = lock.Finish(clean, remember, h.options.CacheTTL())
			if result.Remembered != nil {
				<-result.Remembered
			}
		} else {
			freed = lock.Release(clean)
		}
		if errors.Is(freed, locking.ErrLost) {
			h.log.WarnContext(ctx, "lock lost during the job: the database decided", "transaction_id", r.Job.TransactionID, "job_id", a.jobID)
		} else if freed != nil {
			h.log.WarnContext(ctx, "lock not freed: it expires by itself", "transaction_id", r.Job.TransactionID, "job_id", a.jobID, "error", freed)
		}
		if err == nil {
			err = h.options.Fault.Hit(ctx, fault.Finished)
		}
	}()
	if err := h.options.Fault.Hit(ctx, fault.Locked); err != nil {
		return result, err
	}
	result, err = h.generator.Generate(ctx, r)
	if err != nil {
		return result, err
	}
	if result.Outcome == invoice.Duplicate && reason == invoice.LostRace && !result.Invoice.Erased() {
		result.Reason = reason
	}
	if result.Recorded {
		h.made(a, &result)
	}
	if err := h.options.Fault.Hit(ctx, fault.Committed); err != nil {
		return result, err
	}
	if result.Invoice.TransactionID == r.Job.TransactionID && result.Invoice.Imported == nil {
		if remember, err = encodeDone(result.Invoice, result.Numbered); err != nil {
			return result, err
		}
	}
	return result, nil
}
