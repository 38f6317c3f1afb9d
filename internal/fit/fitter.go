package fit

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is the time between two looks, each of which makes one step at most.
	lookEvery = 10 * time.Minute
	// lookTimeout bounds one look.
	lookTimeout = time.Minute
)

// A Source is asked for the gaps of the newest late requests, most of them at most, and for the entries that began within each
// of the times.
type Source interface {
	Late(ctx context.Context, most int, times []time.Duration) (Observed, error)
}

// Options of a [Fitter].
type Options struct {
	Limits
	// TTL is how long entries last, or if they are to be fitted, how long they last at first, within the limits.
	TTL time.Duration
	// Fixed says that TTL stays. The looks then only show what would fit.
	Fixed bool
	// Source is asked at each look. Required.
	Source Source
	// Show is called after each look with what it saw, or with nil if it failed. Of the times, the first one is how long entries
	// lasted until then, and the others are those of [Times]. Default: it isn't called.
	Show func(*Look)
	// Logger is told of changes. Default: nothing is logged.
	Logger *slog.Logger
}

// A Fitter knows how long a cache's entries are to last, and looks now and then whether another time fits better.
type Fitter struct {
	options Options
	ttl     atomic.Int64
	failing bool
}

// New returns a fitter that hasn't looked yet.
func New(o Options) (*Fitter, error) {
	if o.Source == nil || o.TTL <= 0 || o.Quantile <= 0 || o.Quantile >= 1 || o.Min <= 0 || o.Max < o.Min {
		return nil, errors.New("fit: Source, a positive TTL, a Quantile between 0 and 1 and limits are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Show == nil {
		o.Show = func(*Look) {}
	}
	if !o.Fixed {
		o.TTL = o.Clamp(o.TTL)
	}
	f := &Fitter{options: o}
	f.ttl.Store(int64(o.TTL))
	return f, nil
}

// TTL returns how long an entry that begins now is to last. It returns at once, and is safe for concurrent use.
func (f *Fitter) TTL() time.Duration { return time.Duration(f.ttl.Load()) }

// Run looks until ctx ends. A look that fails leaves everything as it is.
func (f *Fitter) Run(ctx context.Context) {
	next := time.NewTicker(lookEvery)
	defer next.Stop()
	for {
		f.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
	}
}

func (f *Fitter) look(parent context.Context) {
	ctx, cancel := context.WithTimeout(parent, lookTimeout)
	defer cancel()
	o := f.options
	ttl := f.TTL()
	times := append([]time.Duration{ttl}, Times()...)
	observed, err := o.Source.Late(ctx, o.SampleSize(), times)
	if err != nil {
		if !f.failing && parent.Err() == nil {
			f.failing = true
			o.Logger.WarnContext(ctx, "late duplicates can't be looked at: Redis goes on remembering invoices for as long as before", "for", ttl.String(), "error", err)
		}
		o.Show(nil)
		return
	}
	f.failing = false
	look := o.Look(observed, times)
	if next := Step(ttl, look.Fitting); !o.Fixed && look.Fitting > 0 && next != ttl {
		f.ttl.Store(int64(next))
		o.Logger.InfoContext(ctx, "how long Redis remembers an invoice changes by a step", "from", ttl.String(), "to", next.String(),
			"fitting", look.Fitting.String(), "late_duplicates", look.Late)
	}
	o.Show(&look)
}
