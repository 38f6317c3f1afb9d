package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// Failures is the record of failed jobs.
type Failures interface {
	// CountFailed returns the number of failed jobs that match the filter, and the time by the database's clock.
	CountFailed(ctx context.Context, f ledger.FailedFilter) (n int, now time.Time, err error)
	// Failed returns up to limit of the failed jobs that match the filter, in the order in which they failed,
	// beginning after the given job. It returns none after the last.
	Failed(ctx context.Context, f ledger.FailedFilter, after ledger.FailedJob, limit int) ([]ledger.FailedJob, error)
	// Replay makes the jobs accepted again that are still as they were listed, and returns their ids.
	Replay(ctx context.Context, jobs []ledger.Replay, by ledger.Actor) ([]string, error)
}

// A Forecaster predicts the results of jobs, and changes nothing.
type Forecaster interface {
	// ForecastAll returns the forecast of each request, as [invoice.Forecaster] does.
	ForecastAll(ctx context.Context, requests []invoice.Request) []invoice.Forecast
}

// ReplayOptions say what is replayed, by whom and how fast. Zero values mean the defaults.
type ReplayOptions struct {
	Filter ledger.FailedFilter
	By     ledger.Actor // required, except for a dry run
	// Limit is the largest number of jobs that are looked at: those that are sent, and those that still are invalid. Default: all.
	Limit int
	// Rate bounds the jobs that are sent in a second. Default: no bound.
	Rate float64
	// Order is the order in which jobs are sent, each after the one before it has ended. Default: that in which they failed, without
	// waiting for ends.
	Order ReplayOrder
	// Await returns once a job that was sent has ended, and an error if those behind it are not to be sent. Required with Order,
	// except for a dry run.
	Await func(ctx context.Context, jobID string, payload []byte) error
	// DryRun makes the forecasts without sending any job.
	DryRun bool
	// Begin is called before the first job, with the number of jobs that match the filter. Default: it isn't called.
	Begin func(jobs int)
	// Observe is called for each job. Default: it isn't called.
	Observe func(Replayed)
}

// A Replayed reports what was done about one failed job.
type Replayed struct {
	Failed ledger.FailedJob // the job before the replay, without its payload
	// Forecast is the result that was predicted right before: Created (without an Invoice), Duplicate, Conflict or
	// Invalid.
	Forecast invoice.Result
	// Problems says why the job can't be an invoice, if the forecast is Invalid. Such a job is left as it is.
	Problems []invoice.Problem
	// Sent says that the job is accepted again. In a dry run it is always false.
	Sent bool
}

// A ReplaySummary counts what was done.
type ReplaySummary struct {
	// Replayed counts the jobs that were sent, or in a dry run would be, by the outcomes of their forecasts.
	Replayed map[invoice.Outcome]int
	Invalid  int // jobs left as they are, since they can't be an invoice
	Changed  int // jobs not sent, since they weren't failed any more by then
}

// Total returns the number of jobs that were sent, or in a dry run would be.
func (s ReplaySummary) Total() int {
	n := 0
	for count := range maps.Values(s.Replayed) {
		n += count
	}
	return n
}

// A Replayer makes failed jobs accepted again, each under its own job id. A [Relay] then sends each as its next
// dispatch.
//
// Jobs that fail while it runs are left alone, including those that it has sent itself. Running it twice, even at the
// same time, sends no job twice.
type Replayer struct {
	failures   Failures
	forecaster Forecaster
}

// NewReplayer returns a replayer of the given failures.
func NewReplayer(failures Failures, forecaster Forecaster) *Replayer {
	return &Replayer{failures: failures, forecaster: forecaster}
}

// replayBatch is the number of jobs that are read at once, and without a rate sent at once.
const replayBatch = 100

// replayTimeout bounds sending a batch, which a signal doesn't interrupt.
const replayTimeout = 10 * time.Second

// Run goes once through the failed jobs. Everything that the summary counts is done, even if Run returns an error or
// ctx has ended. If a reply was lost, one more batch may be done.
func (r *Replayer) Run(ctx context.Context, o ReplayOptions) (ReplaySummary, error) {
	run := &replayRun{Replayer: r, options: o, summary: ReplaySummary{Replayed: make(map[invoice.Outcome]int)}, batch: replayBatch}
	if o.By.Name == "" && !o.DryRun {
		return run.summary, errors.New("ledger: a replay needs the name of the person or program that runs it")
	}
	if o.Rate > 0 && !o.DryRun {
		tick := time.NewTicker(max(time.Duration(float64(time.Second)/o.Rate), 1))
		defer tick.Stop()
		run.tick, run.batch = tick.C, 1
	}
	if o.Order != "" {
		run.batch = 1
	}
	if run.options.Observe == nil {
		run.options.Observe = func(Replayed) {}
	}
	return run.summary, run.all(ctx)
}

// A replayRun is one run of a replayer.
type replayRun struct {
	*Replayer
	options ReplayOptions
	summary ReplaySummary
	tick    <-chan time.Time // nil without a rate
	batch   int
	waiting []forecasted
}

// A forecasted job is to be sent with the next batch.
type forecasted struct {
	job ledger.Replay
	Replayed
}

func (r *replayRun) all(ctx context.Context) error {
	count, now, err := r.failures.CountFailed(ctx, r.options.Filter)
	if err != nil {
		return err
	}
	if r.options.Begin != nil {
		r.options.Begin(count)
	}
	filter := r.options.Filter
	if filter.Until.IsZero() || filter.Until.After(now) {
		filter.Until = now // with jobs that fail from now on, perhaps again, the run might never end
	}
	if r.options.Order != "" {
		return r.inOrder(ctx, filter)
	}
	var after ledger.FailedJob
	for {
		page, err := r.failures.Failed(ctx, filter, after, replayBatch)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return r.send(ctx)
		}
		for together := range slices.Chunk(page, r.batch) {
			for _, one := range r.forecast(ctx, together) {
				if r.full() {
					return r.send(ctx)
				}
				if one.err != nil {
					return one.err
				}
				if err := r.consider(ctx, one.forecasted); err != nil {
					return err
				}
			}
		}
		after = page[len(page)-1]
		if err := r.send(ctx); err != nil {
			return err
		}
	}
}

func (r *replayRun) full() bool {
	return r.options.Limit > 0 && r.summary.Total()+r.summary.Invalid+len(r.waiting) >= r.options.Limit
}

// A forecast is one that was made, or couldn't be.
type forecast struct {
	forecasted

	err error
}

// forecast makes the forecasts of jobs that are sent together.
func (r *replayRun) forecast(ctx context.Context, jobs []ledger.FailedJob) []forecast {
	made := make([]forecast, len(jobs))
	var requests []invoice.Request
	var of []*forecast // the requests
	for i, failed := range jobs {
		job, problems, err := decodeFailed(failed)
		made[i] = forecast{forecasted{job: ledger.Replay{Failed: failed, Job: job}, Replayed: Replayed{Failed: failed}}, err}
		made[i].Failed.Payload = nil
		switch {
		case err != nil:
		case problems != nil:
			made[i].invalid(problems)
		case r.options.Filter.Issuers != nil && !slices.Contains(r.options.Filter.Issuers, job.Issuer): // recorded by a release that knew no issuers
			made[i].invalid([]invoice.Problem{{Field: "issuer", Message: "is one whose jobs you may not see: somebody who may can replay it"}})
		default:
			requests, of = append(requests, invoice.NewRequest(failed.JobID, 1, job)), append(of, &made[i])
		}
	}
	if len(requests) == 0 {
		return made
	}
	for i, f := range r.forecaster.ForecastAll(ctx, requests) {
		var invalid *invoice.InvalidError
		switch {
		case f.Err == nil:
			of[i].Forecast = f.Result
		case errors.As(f.Err, &invalid):
			of[i].invalid(invalid.Problems)
		default:
			of[i].err = fmt.Errorf("job %s: %w", requests[i].JobID, f.Err)
		}
	}
	return made
}

func (f *forecast) invalid(problems []invoice.Problem) {
	f.Forecast, f.Problems = invoice.Result{Outcome: invoice.Invalid}, problems
}

// consider has a job sent unless it is certain to fail again.
func (r *replayRun) consider(ctx context.Context, next forecasted) error {
	if next.Problems != nil {
		r.summary.Invalid++
		r.options.Observe(next.Replayed)
		return nil
	}
	if r.options.DryRun {
		r.summary.Replayed[next.Forecast.Outcome]++
		r.options.Observe(next.Replayed)
		return nil
	}
	r.waiting = append(r.waiting, next)
	if len(r.waiting) < r.batch {
		return nil
	}
	return r.send(ctx)
}

// decodeFailed decodes a failed job's payload. The problems are nil if the job can be sent again.
func decodeFailed(failed ledger.FailedJob) (*invoice.Job, []invoice.Problem, error) {
	problem := func(field, message string) (*invoice.Job, []invoice.Problem, error) {
		return nil, []invoice.Problem{{Field: field, Message: message}}, nil
	}
	switch {
	case failed.TaskType != "":
		return problem("task_type", fmt.Sprintf("is %.64q, which this program doesn't know: replay it with the one that does", failed.TaskType))
	case failed.NoText:
		return problem("payload", "is bytes that are no text")
	case failed.Payload == nil:
		return problem("payload", "is not kept any more: send the job again from the billing service")
	}
	job, err := invoice.Decode(failed.Payload)
	var invalid *invoice.InvalidError
	var newer *invoice.VersionError
	switch {
	case errors.As(err, &invalid):
		return nil, invalid.Problems, nil
	case errors.As(err, &newer):
		return problem("version", fmt.Sprintf("%d is newer than this program knows, which is %d", newer.Version, invoice.TaskVersion))
	}
	return job, nil, err
}

// send sends the current batch.
func (r *replayRun) send(ctx context.Context) error {
	if len(r.waiting) == 0 {
		return nil
	}
	if r.tick != nil && r.summary.Total() > 0 {
		select {
		case <-r.tick:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	jobs := make([]ledger.Replay, len(r.waiting))
	for i := range r.waiting {
		jobs[i] = r.waiting[i].job
	}
	// An interrupted transaction might be committed all the same, and the summary wouldn't count it.
	replaying, cancel := context.WithTimeout(context.WithoutCancel(ctx), replayTimeout)
	defer cancel()
	ids, err := r.failures.Replay(replaying, jobs, r.options.By)
	if err != nil {
		return err
	}
	sent := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		sent[id] = struct{}{}
	}
	for i := range r.waiting {
		one := r.waiting[i].Replayed
		if _, one.Sent = sent[one.Failed.JobID]; one.Sent {
			r.summary.Replayed[one.Forecast.Outcome]++
		} else {
			r.summary.Changed++
		}
		r.options.Observe(one)
	}
	r.waiting = r.waiting[:0]
	return nil
}
