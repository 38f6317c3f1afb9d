package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/locking"
)

// What happened to a job, in [Event].What.
const (
	Invoiced = "invoiced"  // its invoice is committed, and its lock is still held
	Ended    = "ended"     // its end is committed
	LostRace = "lost_race" // it found the lock held
	PutBack  = "put_back"  // it went back to the queue, without using up a retry
	Retried  = "retried"   // it failed, and will be tried again
	Left     = "left"      // it stays as it is on record, because it was dismissed
)

// An Event reports something that happened to a job, for metrics, progress and tests. It contains none of the job's
// content.
type Event struct {
	What          string
	JobID         string
	Issuer        string
	TransactionID string
	Producer      string
	Queue         string
	Worker        string
	Attempt       int
	Took          time.Duration // of this attempt so far
	TraceID       string        // the trace of the attempt, "" if none is recorded

	LockWait time.Duration // ended, put_back, retried: how long the attempt waited for a lock that was held; 0 if it didn't

	Outcome   invoice.Outcome  // ended
	Reason    invoice.Reason   // ended as a duplicate
	Invoice   *invoice.Ref     // invoiced; ended with or against an invoice
	Holder    locking.Holder   // lost_race
	Err       error            // put_back, retried, left
	Series    invoice.SeriesID // ended as created, in this attempt: the invoice's
	Since     time.Duration    // ended as created, in this attempt: how long ago the ledger accepted the job; 0 if it didn't
	DoneEntry bool             // ended: Redis knew that the transaction was invoiced
	Altered   bool             // ended: the task was altered in the queue, and the job was done with the accepted payload
}

// LateDuplicate reports whether the job ended as a duplicate that found its transaction neither locked nor uninvoiced. Whether Redis
// still knew the invoice, as DoneEntry says, is a matter of [Options.CacheTTL]. Redis never knows an import, so its duplicates don't count.
func (e *Event) LateDuplicate() bool {
	return e.What == Ended && e.Outcome == invoice.Duplicate && e.Reason == invoice.AlreadyInvoiced &&
		(e.Invoice == nil || e.Invoice.Imported == nil)
}

func (h *Handler) event(a *attempt, what string) Event {
	return Event{
		What: what, JobID: a.jobID, Issuer: a.issuer, TransactionID: a.transactionID, Producer: a.producer, Queue: a.queue,
		Worker: a.worker, Attempt: a.number(), Took: time.Since(a.begun), LockWait: a.lockWait,
		TraceID: a.span.TraceID(),
	}
}

// made reports an invoice that the attempt has made.
func (h *Handler) made(a *attempt, r *invoice.Result) {
	a.series, a.since = r.Series, r.Since
	e := h.event(a, Invoiced)
	e.Invoice = r.Invoice
	h.options.Observe(e)
}

// ended reports a committed end, with one log line at most and one event.
func (h *Handler) ended(ctx context.Context, a *attempt, end *ledger.End) {
	e := h.event(a, Ended)
	e.Outcome, e.Reason, e.Invoice, e.Altered = end.Outcome, end.Reason, end.Invoice, a.altered
	e.Series, e.Since, e.DoneEntry = a.series, a.since, a.doneEntry
	if good := end.Outcome == invoice.Created || end.Outcome == invoice.Duplicate; !good || a.altered || !h.options.LogProblems {
		h.logEnd(ctx, a, end, e.Took)
	}
	a.traceEnd(end)
	h.options.Observe(e)
}

func (a *attempt) traceEnd(end *ledger.End) {
	a.span.Set("transaction_id", a.transactionID, "producer", a.producer, "outcome", string(end.Outcome), "reason", string(end.Reason), "detail", end.Detail)
	if end.Invoice != nil {
		a.span.Set("invoice_number", end.Invoice.Number)
	}
	if end.Outcome == invoice.Failed {
		a.span.Fail(errors.New(end.Detail))
	}
}

func (h *Handler) logEnd(ctx context.Context, a *attempt, end *ledger.End, took time.Duration) {
	level, attributes := slog.LevelInfo, append(a.attributes(), "outcome", end.Outcome, "took", took.String())
	if end.Invoice != nil {
		attributes = append(attributes, "invoice_number", end.Invoice.Number)
	}
	if end.Reason != "" {
		attributes = append(attributes, "reason", end.Reason)
	}
	if end.Invoice != nil && end.Invoice.Erased() {
		attributes = append(attributes, "note", "the invoice was erased: its content can't be compared")
	}
	if end.Detail != "" {
		level, attributes = slog.LevelWarn, append(attributes, "detail", end.Detail)
	}
	if a.altered {
		level, attributes = slog.LevelWarn, append(attributes, "note", "its task was altered in the queue: it is done as the ledger accepted it")
	}
	h.log.Log(ctx, level, "job ended", attributes...)
}

func (a *attempt) traceReturn(err error) {
	if a.span == nil {
		return // without making up the error's text
	}
	a.span.Set("transaction_id", a.transactionID, "producer", a.producer, "put_back", err.Error())
	if isFailure(err) {
		a.span.Fail(err)
	}
}

// lost reports that the attempt found its lock held, and by whom. It logs that once for each job and holder.
func (h *Handler) lost(ctx context.Context, a *attempt, held *locking.HeldError) {
	e := h.event(a, LostRace)
	e.Holder = held.Holder
	level := slog.LevelDebug
	if h.losses.first(loss{a.jobID, held.Holder.ID, held.Holder.Worker}) {
		level = slog.LevelInfo
	}
	h.log.Log(ctx, level, "lost the race", append(a.attributes(), "holder_job_id", held.Holder.ID, "holder_worker", held.Holder.Worker, "remaining", held.Remaining.String())...)
	h.options.Observe(e)
}

// returned reports that the job goes back to the queue.
func (h *Handler) returned(ctx context.Context, a *attempt, err error) {
	e := h.event(a, PutBack)
	e.Err = err
	level := slog.LevelDebug
	attributes := append(a.attributes(), "error", err)
	var version *invoice.VersionError
	if errors.As(err, &version) || errors.As(err, new(*olderWorkersError)) {
		level = slog.LevelWarn // otherwise the job would wait for a newer worker unnoticed
	}
	a.traceReturn(err)
	if isFailure(err) {
		e.What, level = Retried, slog.LevelWarn
		var p *panicError
		if errors.As(err, &p) {
			attributes = append(attributes, "stack", string(p.stack))
		}
		h.keepAttempt(ctx, a, err)
	}
	h.log.Log(ctx, level, "job goes back to the queue", attributes...)
	h.options.Observe(e)
}

func (a *attempt) attributes() []any {
	list := []any{"job_id", a.jobID, "transaction_id", a.transactionID, "producer", a.producer, "queue", a.queue, "attempt", a.number()}
	if id := a.span.TraceID(); id != "" {
		list = append(list, "trace_id", id)
	}
	return list
}
