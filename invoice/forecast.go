package invoice

import "context"

// A SeriesBook says which kind of document a series holds.
type SeriesBook interface {
	// Admits returns an [*InvalidError] if the slot's series holds the other kind.
	Admits(ctx context.Context, s Slot) error
}

// A Forecaster predicts what a generator would do. It only reads.
type Forecaster struct {
	generator *Generator
	series    SeriesBook
}

// NewForecaster returns a Forecaster for the generator.
func NewForecaster(g *Generator, series SeriesBook) *Forecaster {
	return &Forecaster{generator: g, series: series}
}

// Forecast returns the result that [Generator.Generate] would have now. If it would make the invoice, the outcome is
// Created and the Invoice is nil. Another process may change the result before Generate is called.
func (f *Forecaster) Forecast(ctx context.Context, r Request) (Result, error) {
	g := f.generator
	document, err := r.Job.Calculate()
	if err != nil {
		return Result{}, err
	}
	slot, err := g.numbering.Place(r.Job, document.Kind)
	if err != nil {
		return Result{}, err
	}
	if err := f.series.Admits(ctx, slot); err != nil {
		return Result{}, err
	}
	existing, err := g.store.Find(ctx, r.Job.TransactionID, r.Job.IdempotencyKey)
	if err != nil {
		return Result{}, err
	}
	if existing.OfTransaction == nil && existing.OfKey == nil {
		return Result{Outcome: Created}, nil
	}
	return g.decide(ctx, r, existing, AlreadyInvoiced)
}
