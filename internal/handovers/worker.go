package handovers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"invoicer/invoice/document"
	"invoicer/invoice/handover"
)

// A Store keeps hand-overs. Its errors are those of [postgres.Handovers].
type Store interface {
	Claim(ctx context.Context, channel string, lease time.Duration) (c handover.Claim, found bool, err error)
	Settle(ctx context.Context, c *handover.Claim, r handover.Result) error
	Counts(ctx context.Context) ([]handover.Count, error)
}

// A Maker returns the document of an invoice, and makes it if it isn't there yet.
type Maker interface {
	Get(ctx context.Context, invoiceID int64, format document.Format, language string) (document.Kept, error)
}

const (
	// makeWithin bounds the making of one document.
	makeWithin = 30 * time.Second
	// recordWithin bounds one try to record what came of an attempt. A lease has time for the documents, the attempt and one such try.
	recordWithin = 15 * time.Second
	// idle is how long to wait where nothing is due.
	idle = time.Second
	// shortest and longest bound the pause after a failure, mostLater what the other side may ask for.
	shortest  = 5 * time.Second
	longest   = 30 * time.Minute
	mostLater = 24 * time.Hour
	// mostDoubts is how many attempts may end so that nobody knows whether the other side took it. Each may be a copy, and doubtful is the least pause after
	// one: what made the first end so, such as a server that starts anew, should be over.
	mostDoubts = 3
	doubtful   = 10 * time.Minute
	// grace is how long an attempt that is under way may go on when the process is to end.
	grace = 3 * time.Second
	// seeing is how often what is open is counted.
	seeing = 15 * time.Second
)

// A Route is a channel, and how it is used.
type Route struct {
	Name    string
	Channel Channel
	Formats []document.Format // of which each parcel has a document
	Timeout time.Duration     // of an attempt
	// AskEvery is how often the other side is asked what became of a parcel, until it has cleared or accepted it, or doesn't want it. 0: never.
	AskEvery time.Duration
	// AskOn says to go on asking after it was cleared, until it is accepted or rejected.
	AskOn bool
	// GiveUp is how long a parcel that nobody takes is tried. 0: for ever.
	GiveUp time.Duration
	// AtOnce is how many attempts of this process may be under way.
	AtOnce int
}

// A Worker hands over what is due until its context ends. Each channel goes by itself: one that is slow or broken holds no other up.
type Worker struct {
	Store  Store
	Maker  Maker
	Routes []Route
	Logger *slog.Logger
	// Random returns a number from 0 up to 1, by which attempts are spread.
	Random func() float64
	// Tried is called after each attempt: with how the hand-over stands then, or failing. Default: nobody is told.
	Tried func(channel, result string, took time.Duration)
	// Seen is told now and then how many hand-overs stand how. Default: nobody is told.
	Seen func([]handover.Count)
}

// Run hands over until ctx ends. It returns when no attempt is under way: what takes longer than a moment is broken off, and done again later.
func (w *Worker) Run(ctx context.Context) {
	var running sync.WaitGroup
	for i := range w.Routes {
		running.Go(func() { w.serve(ctx, &w.Routes[i]) })
	}
	if w.Seen != nil && len(w.Routes) > 0 {
		running.Go(func() { w.see(ctx) })
	}
	running.Go(func() { w.sweep(ctx) })
	<-ctx.Done() // also where there is no channel
	running.Wait()
}

// sweep removes what other processes left behind, also where there is no channel any more.
func (w *Worker) sweep(ctx context.Context) {
	for {
		removed, err := Sweep(os.TempDir(), time.Now().Add(-sweptAfter))
		if removed > 0 {
			w.Logger.InfoContext(ctx, "folders with documents were left by workers that were killed, and are removed", "folders", removed)
		}
		if err != nil {
			w.Logger.WarnContext(ctx, "folders with documents that workers left can't be removed", "error", err)
		}
		if !pause(ctx, sweepEvery) {
			return
		}
	}
}

func (w *Worker) see(ctx context.Context) {
	for {
		if counts, err := w.Store.Counts(ctx); err == nil {
			w.Seen(counts)
		}
		if !pause(ctx, seeing) {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve serves one channel.
func (w *Worker) serve(ctx context.Context, r *Route) {
	attempts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		if pause(attempts, grace) {
			stop()
		}
	})()
	var busy sync.WaitGroup
	defer busy.Wait()
	lease := r.Timeout + time.Duration(len(r.Formats))*makeWithin + recordWithin
	slots := make(chan struct{}, r.AtOnce)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c, found, err := handover.Claim{}, false, ctx.Err()
		until := time.Now().Add(lease) // no later than the lease ends: it begins after this
		if err == nil {
			c, found, err = w.Store.Claim(ctx, r.Name, lease)
		}
		if !found {
			<-slots
			if err != nil {
				w.Logger.DebugContext(ctx, "hand-overs wait", "channel", r.Name, "error", err)
			}
			if !pause(ctx, idle) {
				return
			}
			continue
		}
		busy.Go(func() {
			defer func() { <-slots }()
			w.attempt(attempts, r, &c, until)
		})
	}
}

// attempt makes one attempt, and records what came of it as long as nobody else can have the claim.
func (w *Worker) attempt(ctx context.Context, r *Route, c *handover.Claim, until time.Time) {
	begun := time.Now()
	answer, err := w.guarded(ctx, r, c)
	if errors.Is(err, document.ErrErased) {
		return // it was cancelled with what is erased
	}
	_, doubt := errors.AsType[*UncertainError](err)
	if err != nil && ctx.Err() != nil && !doubt { // an answer that came all the same counts, and what may have arrived mustn't go again at once
		w.settle(ctx, r, c, until, handover.Result{State: c.State, Err: "it was broken off, as the worker ended", Again: time.Second})
		return
	}
	result := w.result(r, c, answer, err)
	told := string(result.State)
	if err != nil && result.State != handover.Failed {
		told = "failing"
	}
	if w.Tried != nil {
		w.Tried(r.Name, told, time.Since(begun))
	}
	log := w.Logger.With("channel", r.Name, "invoice_id", c.InvoiceID)
	switch {
	case result.State == handover.Failed && doubt:
		log.ErrorContext(ctx, "an invoice may have arrived several times, and isn't handed over again by itself", "attempt", c.Attempts, "error", err)
	case result.State == handover.Failed:
		log.ErrorContext(ctx, "an invoice was given up that no one takes", "attempt", c.Attempts, "error", err)
	case err != nil:
		log.WarnContext(ctx, "an invoice can't be handed over: it is tried again", "attempt", c.Attempts, "again", result.Again.Round(time.Second), "error", err)
	case result.State == handover.Rejected:
		log.WarnContext(ctx, "an invoice was rejected by whom it was handed over to")
	}
	w.settle(ctx, r, c, until, result)
}

// settle records what came of an attempt. While the database is away it tries again until another process may have the claim, since what isn't recorded
// is done again, by the same key; where the worker ends meanwhile, only for a moment. The database refuses what comes after another process's claim.
func (w *Worker) settle(ctx context.Context, r *Route, c *handover.Claim, until time.Time, result handover.Result) {
	limited, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	for {
		try, end := context.WithTimeout(limited, recordWithin)
		err := w.Store.Settle(try, c, result)
		end()
		if err == nil || errors.Is(err, handover.ErrGone) {
			return
		}
		if !pause(limited, time.Second) {
			w.Logger.WarnContext(ctx, "what came of a hand-over can't be recorded: it is tried again, by the same key", "channel", r.Name, "invoice_id", c.InvoiceID, "key", c.Key, "state", result.State, "error", err)
			return
		}
		w.Logger.DebugContext(ctx, "hand-overs wait", "channel", r.Name, "error", err)
	}
}

// guarded makes one attempt, and turns a panic of a channel into an error.
func (w *Worker) guarded(ctx context.Context, r *Route, c *handover.Claim) (a Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			w.Logger.DebugContext(ctx, "a channel has panicked", "channel", r.Name, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	p := Parcel{ID: c.ID, InvoiceID: c.InvoiceID, Key: c.Key, Channel: r.Name, Issuer: c.Issuer, Number: c.Number, Kind: c.Kind, Since: c.Since, To: c.Address, Clearance: c.Clearance}
	if c.State == handover.Queued {
		if p.Documents, err = w.documents(ctx, r, c); err != nil {
			return a, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	if c.State == handover.Queued {
		a, err = r.Channel.Hand(ctx, &p)
	} else {
		id := c.TheirID
		if id == "" {
			id = c.Key
		}
		a, err = r.Channel.Ask(ctx, &p, id)
	}
	if err == nil {
		err = a.check()
	}
	return a, err
}

// documents returns the documents of a parcel, and makes those that aren't there yet.
func (w *Worker) documents(ctx context.Context, r *Route, c *handover.Claim) ([]Document, error) {
	var list []Document
	for _, format := range r.Formats {
		making, cancel := context.WithTimeout(ctx, makeWithin)
		kept, err := w.Maker.Get(making, c.InvoiceID, format, "")
		cancel()
		if err != nil {
			return nil, fmt.Errorf("its document can't be made: %w", err)
		}
		list = append(list, Document{Format: format, Name: fileName(c.Number, format, r.Formats), MediaType: format.MediaType(), SHA256: kept.SHA256, Content: kept.Content})
	}
	return list, nil
}

// fileName is a number as the name of a file; with the format, if another one has the same ending.
func fileName(number string, format document.Format, all []document.Format) string {
	name := document.FileName(strings.TrimLeft(number, ".-"), "", "") // a program takes what begins with - for an option
	for _, other := range all {
		if other != format && other.Extension() == format.Extension() {
			name += "-" + string(format)
			break
		}
	}
	return name + "." + format.Extension()
}

// result returns what is recorded of an attempt.
func (w *Worker) result(r *Route, c *handover.Claim, a Answer, err error) handover.Result {
	if err != nil {
		result := handover.Result{State: c.State, Err: whole(err), Again: w.again(c.Attempts, err)}
		awaited := (*document.AwaitedError)(nil) // nobody was asked to take it yet
		if c.State == handover.Queued && !errors.As(err, &awaited) && r.GiveUp > 0 && c.Waited >= r.GiveUp {
			result.State = handover.Failed
		}
		doubts := c.Doubts
		if uncertain, ok := errors.AsType[*UncertainError](err); ok {
			doubts++
			result.Uncertain, result.TheirID, result.Again = true, uncertain.ID, max(result.Again, doubtful)
			if doubts >= mostDoubts {
				result.State = handover.Failed
			}
		}
		if result.State == handover.Failed {
			result.Again = 0
			if doubts > 0 {
				result.Err += fmt.Sprintf(". It may have arrived (attempts that ended in doubt: %d), and isn't sent again by itself: ask the other side; 'handover resend' sends it once more, 'handover cancel' leaves it at that", doubts)
			}
		}
		return result
	}
	result := handover.Result{State: a.State, Answer: a.Text, Answered: true}
	switch a.State { //nolint:exhaustive // the others are no clearance
	case handover.Cleared:
		result.Clearance = cmp.Or(a.Clearance, a.ID)
	case handover.Accepted: // with it comes another id, if any: to quote that as a clearance would be false
		result.Clearance = a.Clearance
	}
	switch {
	case a.State == handover.Sent && c.State != handover.Queued: // nothing new
		result.State = c.State
	case a.State == handover.Sent:
		result.TheirID = a.ID
	case c.TheirID == "":
		result.TheirID = a.ID
	}
	if result.State == handover.Sent || result.State == handover.Cleared && r.AskOn {
		result.Again = r.AskEvery
	}
	return result
}

// again returns after what pause a parcel is tried again: 5 s at first, and then twice as long each time, half an hour at most, a fifth more or less;
// no sooner than the other side has asked for.
func (w *Worker) again(attempts int, err error) time.Duration {
	wait := time.Duration(float64(min(shortest<<min(max(attempts-1, 0), 20), longest)) * (0.8 + 0.4*w.Random()))
	var later *LaterError
	if errors.As(err, &later) {
		wait = max(wait, min(later.After, mostLater))
	}
	return wait
}
