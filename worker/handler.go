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
	"invoicer/invoice"
	"invoicer/locking"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// A Generator makes invoices and knows which were made; [invoice.Generator] is one.
type Generator interface {
	Generate(ctx context.Context, r invoice.Request) (invoice.Result, error)
	Lookup(ctx context.Context, r invoice.Request, reason invoice.Reason) (invoice.Result, error)
	Known(ctx context.Context, r invoice.Request, known invoice.Ref, reason invoice.Reason) (invoice.Result, error)
}

// A Recorder knows what was accepted, and writes down how jobs end.
type Recorder interface {
	// Record writes an end down, unless it tells by its error that it isn't the job's.
	Record(ctx context.Context, e invoice.End) error
	// Accepted returns what was accepted under a job id, nil if it isn't kept any more, and whether anything was.
	Accepted(ctx context.Context, jobID string) (payload []byte, ok bool, err error)
	// CountAttempt counts an attempt that came to nothing, and returns how many these are, 0 where nothing was accepted.
	CountAttempt(ctx context.Context, jobID string, payload []byte) (int, error)
}

// cleanupTimeout bounds what has to happen after a job's own time is up: freeing its lock, writing down that it failed.
const cleanupTimeout = 3 * time.Second

// maxCrashes is how many times more than it may fail a job may be cut off in mid-work. The queue counts both alike, and a
// worker that is cut off from Redis is no failure of its job; but a job that kills its workers must not do so for ever.
const maxCrashes = 10

// maxStale bounds how often one attempt believes a done entry that turns out to be stale: then it believes none.
const maxStale = 3

// A Handler takes one job at a time the way from its payload to its recorded end. Every method of it is safe to run
// twice, at once, and after its lock is lost.
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
	draining  chan struct{} // closed when no more jobs are taken
	stopped   chan struct{} // closed when nothing is to be waited for any more
	foreign   foreignTasks
}

// NewHandler returns a handler; the options are the worker's.
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

// ProcessTask implements [asynq.Handler]. It returns nil only after the job's end is committed, an error that wraps
// [asynq.SkipRetry] after a bad end is, [asynq.RevokeTask] for another installation's task, and any other error to have
// the job back.
func (h *Handler) ProcessTask(ctx context.Context, task *asynq.Task) error {
	if h.isForeign(ctx, task) {
		return asynq.RevokeTask
	}
	h.inHand.Add(1)
	defer h.inHand.Add(-1)
	a := newAttempt(ctx, task, h.options.Name)
	err := h.process(ctx, a)
	for err != nil && !errors.Is(err, asynq.SkipRetry) && a.final {
		// The queue would archive the job now, and its end isn't written down: keep it in hand until it is.
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

// free is about how many jobs more could be worked on now: it doesn't know of those that asynq is about to hand over, or
// to acknowledge.
func (h *Handler) free() int { return h.options.Concurrency - int(h.inHand.Load()) }

// handleError is asynq's last word to us before it retries or archives. A task whose own deadline has passed may never
// have come to the handler; its job is done all the same.
func (h *Handler) handleError(ctx context.Context, task *asynq.Task, err error) {
	if err != context.DeadlineExceeded || h.isForeign(ctx, task) { //nolint:errorlint // asynq's own, not one that the handler returned
		return
	}
	h.inHand.Add(1)
	defer h.inHand.Add(-1)
	ctx = context.WithoutCancel(ctx)
	_ = h.process(ctx, newAttempt(ctx, task, h.options.Name)) // what asynq does next is settled
}

// process sees an attempt to its recorded end.
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
	if err != nil {
		h.returned(ctx, a, err)
		return err
	}
	h.ended(ctx, a, end)
	if err := fault.Hit(ctx, fault.Recorded); err != nil {
		return err
	}
	return a.acknowledge(ctx, end)
}

// try comes to the job's recorded end, which may be that it is given up, or to an error if there is none yet.
func (h *Handler) try(ctx, work context.Context, a *attempt) (invoice.End, error) {
	end, err := h.run(work, a)
	for pause := firstPause; isOutage(err) && !errors.Is(err, invoice.ErrHeld) && h.pauseFor(work, pause); pause = min(2*pause, longestPause) {
		h.waits(a, err)
		end, err = h.run(work, a) // it waits in hand: what is behind it in the queue would meet the same outage
	}
	if err == nil || mustBeLeft(err) || errors.As(err, new(*invoice.AlteredError)) {
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

// pauseFor waits, jittered, and tells whether to go on: not when the job's time is up, and not when the worker drains.
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

// run comes to the job's recorded end, or to an error if there is none yet.
func (h *Handler) run(ctx context.Context, a *attempt) (end invoice.End, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
		}
	}()
	if err := h.whose(ctx, a); err != nil {
		return invoice.End{}, err
	}
	if ok, err := h.typed(ctx, a); err != nil {
		return invoice.End{}, err
	} else if !ok {
		return h.refuse(ctx, a, invoice.Invalid, fmt.Sprintf("task type %.64q is not known; this worker knows %s", a.task.Type(), client.TaskType))
	}
	job, err := h.decode(ctx, a)
	if h.options.LedgerOnly && !a.fromLedger {
		return h.refuseDirect(ctx, a)
	}
	if poisoned, err := h.poisoned(ctx, a); err != nil {
		return invoice.End{}, err
	} else if poisoned {
		return h.giveUp(ctx, a, errors.New("its worker crashed or lost its lease every time"))
	}
	var invalid *invoice.InvalidError
	if errors.As(err, &invalid) {
		return h.refuse(ctx, a, invoice.Invalid, invalid.Error())
	}
	if err != nil {
		return invoice.End{}, err
	}

	result, err := h.settle(ctx, a, h.request(a, job))
	if errors.Is(err, invoice.ErrNotAccepted) {
		return h.refuseDirect(ctx, a)
	}
	if errors.As(err, &invalid) {
		return h.refuse(ctx, a, invoice.Invalid, invalid.Error())
	}
	if err != nil {
		return invoice.End{}, err
	}
	if result.Outcome == invoice.Conflict {
		return h.refuse(ctx, a, invoice.Conflict, result.Detail)
	}
	return a.result(result), nil
}

func (h *Handler) request(a *attempt, job *invoice.Job) invoice.Request {
	r := invoice.NewRequest(a.jobID, a.number(), job)
	r.Payload, r.LedgerOnly = a.payload, h.options.LedgerOnly
	return r
}

// settle finds the job's result and has it recorded, unless it is a conflict. A done entry whose invoice the database
// doesn't hold, as after a restore, is deleted, and the job takes the normal path; if such entries come back, Redis isn't
// asked any more.
func (h *Handler) settle(ctx context.Context, a *attempt, r invoice.Request) (invoice.Result, error) {
	for range maxStale {
		result, entry, err := h.race(ctx, a, r)
		if err == nil && !result.Recorded && result.Outcome != invoice.Conflict {
			end := a.result(result)
			end.LedgerOnly = r.LedgerOnly
			err = h.record(ctx, &end)
		}
		if entry == nil || !errors.Is(err, invoice.ErrNotInvoiced) {
			return result, err
		}
		if err := h.forget(ctx, a, r, entry); err != nil {
			return invoice.Result{}, err
		}
	}
	return h.generateUnlocked(ctx, a, r)
}

// forget deletes a done entry that says something else than the database.
func (h *Handler) forget(ctx context.Context, a *attempt, r invoice.Request, entry *locking.DoneError) error {
	h.log.WarnContext(ctx, "done entry without an invoice: deleted", "transaction_id", r.Job.TransactionID, "job_id", a.jobID)
	if _, err := h.locker.Forget(ctx, r.Job.TransactionID, entry.Value); err != nil {
		return redisError(err)
	}
	return nil
}

// race asks for the transaction's lock until it has a result: by making the invoice, by the done entry (which it
// then returns as well), or by seeing what the holder of the lock has committed. A job whose holder has committed
// nothing when the wait is over goes back to the queue: the holder may still fail.
func (h *Handler) race(ctx context.Context, a *attempt, r invoice.Request) (result invoice.Result, entry *locking.DoneError, err error) {
	reason := invoice.AlreadyInvoiced
	var wait *waiter
	for {
		lock, err := h.locker.Acquire(ctx, r.Job.TransactionID, locking.Holder{ID: a.jobID, Worker: a.worker})
		var done *locking.DoneError
		var held *locking.HeldError
		switch {
		case err == nil:
			result, err = h.generate(ctx, a, lock, r, reason)
			return result, nil, err
		case errors.As(err, &done):
			known, ok := decodeDone(done.Value)
			if !ok {
				return invoice.Result{}, done, invoice.ErrNotInvoiced
			}
			result, err = h.generator.Known(ctx, r, known, reason)
			if err == nil && *result.Invoice != known {
				err = h.forget(ctx, a, r, done) // nothing was decided by it
			}
			return result, done, err
		case !errors.As(err, &held):
			return invoice.Result{}, nil, redisError(err)
		}
		if wait == nil {
			reason = invoice.LostRace
			h.lost(ctx, a, held)
			if err := fault.Hit(ctx, fault.Held); err != nil {
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
		result, err = h.generator.Lookup(ctx, r, reason)
		if errors.Is(err, invoice.ErrNotInvoiced) {
			err = &contentionError{held: held}
		}
		return result, nil, err
	}
}

// generate makes the invoice under the lock, and frees the lock whatever happens. The done entry is stored only after
// the commit.
func (h *Handler) generate(ctx context.Context, a *attempt, lock *locking.Lock, r invoice.Request, reason invoice.Reason) (result invoice.Result, err error) {
	remember := ""
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		var freed error
		if remember != "" {
			freed = lock.Finish(clean, remember, h.options.CacheTTL)
		} else {
			freed = lock.Release(clean)
		}
		if errors.Is(freed, locking.ErrLost) {
			h.log.WarnContext(ctx, "lock lost during the job: the database decided", "transaction_id", r.Job.TransactionID, "job_id", a.jobID)
		} else if freed != nil {
			h.log.WarnContext(ctx, "lock not freed: it expires by itself", "transaction_id", r.Job.TransactionID, "job_id", a.jobID, "error", freed)
		}
		if err == nil {
			err = fault.Hit(ctx, fault.Finished)
		}
	}()
	if err := fault.Hit(ctx, fault.Locked); err != nil {
		return result, err
	}
	result, err = h.generator.Generate(ctx, r)
	if err != nil {
		return result, err
	}
	if result.Outcome == invoice.Duplicate && reason == invoice.LostRace {
		result.Reason = reason
	}
	if result.Recorded {
		e := h.event(a, Invoiced)
		e.Invoice = result.Invoice
		h.options.Observe(e)
	}
	if err := fault.Hit(ctx, fault.Committed); err != nil {
		return result, err
	}
	if result.Invoice.TransactionID == r.Job.TransactionID {
		if remember, err = encodeDone(result.Invoice); err != nil {
			return result, err
		}
	}
	return result, nil
}
