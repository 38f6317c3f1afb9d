package worker

import (
	"context"

	"invoicer/invoice"
)

// An olderWorkersError says that a job has to wait because workers of the release before live, which would refuse it.
type olderWorkersError struct{}

func (*olderWorkersError) Error() string {
	return "workers of the release before live, and would refuse this job: it waits until they are upgraded; a job that states \"version\": 2 needn't"
}

// read reads the attempt's job. A job that workers of the release before would refuse isn't begun while one of them lives: else it would
// depend on chance how it ends.
func (h *Handler) read(ctx context.Context, a *attempt) (invoice.Reading, error) {
	r, err := invoice.Read(a.payload)
	if err == nil && r.Lenient && !h.options.TakesIdentifiers(ctx) {
		return r, &olderWorkersError{}
	}
	return r, err
}
