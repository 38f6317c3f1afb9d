package api

import (
	"context"

	"invoicer/internal/report"
	"invoicer/invoice/document"
)

// Waiters are those of an API.
type Waiters struct{ *waiters }

func NewWaiters(ends func(context.Context, []string) (map[string]*report.JobState, error)) Waiters {
	return Waiters{newWaiters(ends)}
}

func (w Waiters) Run(ctx context.Context) { w.run(ctx) }

func (w Waiters) Await(ctx context.Context, jobID string) *report.JobState {
	return w.await(ctx, jobID)
}

// Chosen is how a format is chosen.
func Chosen(formats []document.Format, accept, named string) (document.Format, bool) {
	return chosen(formats, accept, named)
}
