package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"invoicer/invoice/ledger"
)

// A ReplayOrder is the order in which failed jobs are sent again, so that their numbers follow it.
type ReplayOrder string

// The orders of a replay. Jobs of the same time are sent in the order in which the ledger recorded them. A job whose payload states no
// time, since it can't be an invoice, comes first.
const (
	ByIssuedAt   ReplayOrder = "issued_at"   // the time that the job states
	ByAcceptedAt ReplayOrder = "accepted_at" // as [ledger.FailedJob] has it
)

// An ordered job is one that is to be sent at its place.
type ordered struct {
	at    time.Time
	id    int64
	jobID string
}

// inOrder sends the jobs one after the other. It holds an id and a time of each that matches the filter.
func (r *replayRun) inOrder(ctx context.Context, filter ledger.FailedFilter) error {
	jobs, err := r.order(ctx, filter)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if r.full() {
			return nil
		}
		filter.JobIDs = []string{job.jobID}
		found, err := r.failures.Failed(ctx, filter, ledger.FailedJob{}, 1)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			r.summary.Changed++
			continue
		}
		next := r.forecast(ctx, found)[0]
		if next.err != nil {
			return next.err
		}
		before := r.summary.Total()
		if err := r.consider(ctx, next.forecasted); err != nil {
			return err
		}
		if r.options.DryRun || r.summary.Total() == before {
			continue
		}
		if err := r.options.Await(ctx, job.jobID, found[0].Payload); err != nil {
			return fmt.Errorf("job %s: %w", job.jobID, err)
		}
	}
	return nil
}

// order returns the jobs that match the filter in their order.
func (r *replayRun) order(ctx context.Context, filter ledger.FailedFilter) ([]ordered, error) {
	var jobs []ordered
	var after ledger.FailedJob
	for {
		page, err := r.failures.Failed(ctx, filter, after, replayBatch)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		for _, failed := range page {
			one := ordered{failed.AcceptedAt, failed.ID, failed.JobID}
			if r.options.Order == ByIssuedAt {
				one.at = time.Time{}
				if job, _, err := decodeFailed(failed); err == nil && job != nil {
					one.at = job.IssuedAt
				}
			}
			jobs = append(jobs, one)
		}
		after = page[len(page)-1]
		after.Payload = nil
	}
	slices.SortFunc(jobs, func(a, b ordered) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	return jobs, nil
}
