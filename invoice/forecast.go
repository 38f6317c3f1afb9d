package invoice

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Forecaster predicts what a generator would do. It only reads.
type Forecaster struct{ generator *Generator }

// NewForecaster returns a Forecaster for the generator.
func NewForecaster(g *Generator) *Forecaster { return &Forecaster{generator: g} }

// A Forecast is what [Forecaster.Forecast] returns for a request.
type Forecast struct {
	Result Result
	Err    error
}

// forecastsAtOnce is how many forecasts are made at the same time, of which some read the whole invoice.
const forecastsAtOnce = 4

// ForecastAll returns the forecast of each request, as [Forecaster.Forecast] does, but looks for all their invoices at once. It looks at
// each request by itself: of two for one transaction, both would create the invoice.
func (f *Forecaster) ForecastAll(ctx context.Context, requests []Request) []Forecast {
	made := make([]Forecast, len(requests))
	store, err := readAhead(ctx, f.generator.store, requests)
	if err != nil {
		for i := range made {
			made[i].Err = err
		}
		return made
	}
	ahead := &Forecaster{&Generator{store: store, numbering: f.generator.numbering}}
	next := make(chan int)
	var making sync.WaitGroup
	for range min(forecastsAtOnce, len(requests)) {
		making.Go(func() {
			for i := range next {
				made[i].Result, made[i].Err = ahead.Forecast(ctx, requests[i])
			}
		})
	}
	for i := range requests {
		next <- i
	}
	close(next)
	making.Wait()
	return made
}

// An aheadStore answers from what was read for all requests at once.
type aheadStore struct {
	Store
	found    map[Asked]Existing
	jobs     map[string]struct{}      // all that are asked about
	credited map[replacedKey]struct{} // what these credit
	mu       sync.Mutex
	made     map[aheadKey]aheadSeries // the first settings that series without any would get
}

type aheadKey struct {
	id   SeriesID
	kind Kind
}

type replacedKey struct{ issuer, transactionID string }

type aheadSeries struct {
	settings *Series
	err      error
}

func readAhead(ctx context.Context, store Store, requests []Request) (*aheadStore, error) {
	asked := make([]Asked, len(requests))
	for i, r := range requests {
		asked[i] = Asked{r.Job.Issuer, r.Job.TransactionID, r.Job.IdempotencyKey}
	}
	existing, err := store.FindAll(ctx, asked)
	if err != nil {
		return nil, err
	}
	found := make(map[Asked]Existing, len(asked))
	for i := range asked {
		found[asked[i]] = existing[i]
	}
	jobs, credited := make(map[string]struct{}, len(requests)), make(map[replacedKey]struct{})
	for i := range requests {
		jobs[requests[i].JobID] = struct{}{}
		if id := requests[i].Job.CreditsTransactionID; id != "" {
			credited[replacedKey{requests[i].Job.Issuer, id}] = struct{}{}
		}
	}
	return &aheadStore{Store: store, found: found, jobs: jobs, credited: credited, made: make(map[aheadKey]aheadSeries)}, nil
}

func (s *aheadStore) Find(_ context.Context, issuer, transactionID, idempotencyKey string) (Existing, error) {
	return s.found[Asked{issuer, transactionID, idempotencyKey}], nil
}

// Credit counts on what is replayed together: a job that has failed makes its document by then.
func (s *aheadStore) Credit(ctx context.Context, j *Job, totals *Totals) (Credit, error) {
	credit, err := s.Store.Credit(ctx, j, totals)
	if _, together := s.jobs[credit.Failed]; together {
		credit.Failed = ""
	}
	return credit, err
}

// Replaced counts on what is replayed together, too: a job that has failed makes or credits its document by then.
func (s *aheadStore) Replaced(ctx context.Context, j *Job) (Replaced, error) {
	replaced, err := s.Store.Replaced(ctx, j)
	if _, together := s.jobs[replaced.Failed]; together {
		replaced.Failed = ""
	}
	if _, together := s.credited[replacedKey{j.Issuer, j.Replaces()}]; together && j.CreditsTransactionID != j.Replaces() {
		replaced.Left = nil
	}
	return replaced, err
}

// MakeSeries asks once for each series.
func (s *aheadStore) MakeSeries(ctx context.Context, first Series, dry bool) (*Series, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := aheadKey{first.ID(), first.Kind}
	known, ok := s.made[key]
	if !ok {
		known.settings, known.err = s.Store.MakeSeries(ctx, first, dry)
		s.made[key] = known
	}
	return known.settings, known.err
}

// Forecast returns the result that [Generator.Generate] would have now. If it would make the invoice, the outcome is
// Created and the Invoice is nil. Another process may change the result before Generate is called.
func (f *Forecaster) Forecast(ctx context.Context, r Request) (Result, error) {
	g := f.generator
	document, err := r.Job.Calculate()
	if err != nil {
		return Result{}, err
	}
	settings, err := g.settings(ctx, r.Job)
	if err != nil {
		return Result{}, err
	}
	_, series, closed, err := g.place(ctx, r.Job, document.Kind, settings, true)
	if err != nil {
		return Result{}, err
	}
	existing, err := g.store.Find(ctx, r.Job.Issuer, r.Job.TransactionID, r.Job.IdempotencyKey)
	if err != nil {
		return Result{}, err
	}
	if existing.OfTransaction == nil && existing.OfKey == nil {
		if paused := (*PausedError)(nil); errors.As(closed, &paused) {
			closed = nil // it waits, and is made then
		}
		if closed == nil {
			closed = settings.CheckDate(r.Job.IssuedAt, time.Now())
		}
		if closed == nil {
			_, closed, err = g.judge(ctx, r.Job, settings, series)
		}
		if err == nil && closed == nil {
			closed, err = g.refused(ctx, r.Job, &document, settings, true)
		}
		if err != nil {
			return Result{}, err
		}
		return Result{Outcome: Created}, closed
	}
	return g.decide(ctx, r, existing, AlreadyInvoiced)
}

// Place returns the series in which [Generator.Generate] would count the job's document now, as far as it is known, and the period. The
// error is an [*InvalidError] if no series takes it.
func (f *Forecaster) Place(ctx context.Context, job *Job) (*Series, string, error) {
	document, err := job.Calculate()
	if err != nil {
		return nil, "", err
	}
	settings, err := f.generator.settings(ctx, job)
	if err != nil {
		return nil, "", err
	}
	slot, series, closed, err := f.generator.place(ctx, job, document.Kind, settings, true)
	if err == nil && series == nil {
		err = closed
	}
	return series, slot.Period, err
}
