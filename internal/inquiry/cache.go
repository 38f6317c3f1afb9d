package inquiry

import (
	"context"
	"errors"
	"slices"
	"time"

	"invoicer/internal/fit"
	"invoicer/internal/report"
)

// Cache returns what is known of the done entries. ttl is how long Redis is to remember invoices as configured, 0 if it follows late
// duplicates within the limits. The times are those of [fit.Times], ttl, and what the workers have. It needs [Options.Late].
func (r *Reporter) Cache(ctx context.Context, ttl time.Duration, limits fit.Limits) (*report.Cache, error) {
	if r.options.Late == nil {
		return nil, errors.New("inquiry: nobody to ask for late duplicates")
	}
	databaseID, err := r.options.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	all, err := r.Workers(ctx)
	if err != nil {
		return nil, err
	}
	answer := &report.Cache{
		Quantile: limits.Quantile, TTLMinSeconds: limits.Min.Seconds(), TTLMaxSeconds: limits.Max.Seconds(),
		Workers: []report.CacheWorker{}, Times: []report.CacheTime{}, Problems: all.Problems,
	}
	times := fit.Times()
	if ttl > 0 {
		answer.TTLSeconds = new(ttl.Seconds())
		times = append(times, ttl)
	}
	for _, w := range all.Workers {
		if w.Installation == databaseID && w.Cache != nil {
			answer.Workers = append(answer.Workers, report.CacheWorker{Worker: w.Name, WorkerCache: *w.Cache})
			times = append(times, time.Duration(w.Cache.TTLSeconds*float64(time.Second)))
		}
	}
	slices.Sort(times)
	times = slices.Compact(times)
	observed, err := r.options.Late.Late(ctx, limits.SampleSize(), times)
	if err != nil {
		return nil, err
	}
	look := limits.Look(observed, times)
	answer.LateDuplicates, answer.Needed = look.Late, look.Needed
	if look.Fitting > 0 {
		answer.FittingSeconds = new(look.Fitting.Seconds())
	}
	for _, t := range look.Times {
		answer.Times = append(answer.Times, report.CacheTime{TTLSeconds: t.TTL.Seconds(), Hits: t.Hits, Entries: t.Entries, Bytes: t.Bytes})
	}
	return answer, nil
}
