package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"invoicer/config"
	"invoicer/internal/importer"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

const (
	// The end of a job is looked for again after an eighth of the time that it has taken, within these bounds.
	shortestPause, longestPause = time.Millisecond, 100 * time.Millisecond
	// lookCloser is how often it is found out for what a job waits that doesn't end.
	lookCloser = 5 * time.Second
)

// An orderly awaits the end of each job before the next one is sent, so that numbers follow the order of the lines.
type orderly struct {
	store     *postgres.DB
	numbering *invoice.Numbering
	say       func(string)
	named     bool   // whoever gets the error names the job
	behind    string // what becomes of those behind a job that fails, and what to do

	usual time.Duration // about how long the last jobs took
}

// inOrder has the sender await each job. Call disconnect after the last answer.
func (r *enqueueRun) inOrder(cfg *config.Config, s *importer.Sender) (disconnect func(), err error) {
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return nil, err
	}
	store, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	o := &orderly{
		store: store, numbering: numbering, say: func(text string) { s.Progress.Say(text) },
		behind: "the lines behind it aren't sent: mend it, replay or dismiss the job, and go on with the next line",
	}
	s.Await = o.await
	return func() { _ = store.Close() }, nil // no statement is under way any more
}

// await returns once the job is invoiced, or is a duplicate. Every other end is an error, since the lines behind it must not be
// numbered first. While Postgres is away, it waits.
func (o *orderly) await(ctx context.Context, jobID string, payload []byte) error {
	begun, looked, said := time.Now(), time.Now(), false
	next := time.NewTimer(o.usual / 2)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		end, err := o.store.Reports.EndOf(ctx, jobID)
		switch {
		case err != nil && !errors.Is(err, invoice.ErrUnavailable):
			return err
		case err != nil: // it comes back
		case end.PausedSeries != nil:
			return &invoice.PausedError{Series: invoice.ParseSeriesID(*end.PausedSeries)}
		case end.Outcome == string(invoice.Created), end.Outcome == string(invoice.Duplicate):
			o.usual = (o.usual + min(time.Since(begun), longestPause)) / 2
			return nil
		case end.Outcome != "":
			it := "its job " + jobID
			if o.named {
				it = "it"
			}
			return fmt.Errorf("%s is %s: %s; %s", it, end.Outcome, orDash(end.Reason), o.behind)
		}
		if time.Since(looked) > lookCloser {
			looked = time.Now()
			if err := o.paused(ctx, payload); err != nil {
				return err
			}
		}
		if !said && time.Since(begun) > lookCloser {
			said = true
			o.say(fmt.Sprintf("waiting for job %s to end: does a worker take jobs from its queue? `invoicer status --job %[1]s` says why it waits", jobID))
		}
		next.Reset(untilNextLook(time.Since(begun)))
	}
}

// untilNextLook returns when to look again for the end of a job that was awaited for so long.
func untilNextLook(awaited time.Duration) time.Duration {
	return min(max(awaited/8, shortestPause), longestPause)
}

// paused returns a [*invoice.PausedError] if the job waits in Redis for a paused series.
func (o *orderly) paused(ctx context.Context, payload []byte) error {
	job, err := invoice.Decode(payload)
	if err != nil {
		return err
	}
	totals, err := job.Calculate()
	if err != nil {
		return err
	}
	name, _ := o.numbering.SeriesOf(job.Series, totals.Kind)
	series := invoice.SeriesID{Issuer: job.Issuer, Name: name}
	paused, err := o.store.Reports.PausedSeries(ctx)
	if err == nil && slices.Contains(paused, series) {
		return &invoice.PausedError{Series: series}
	}
	return nil
}
