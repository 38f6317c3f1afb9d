package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

// failures are a book in memory. Jobs fail one a second, the first at second 1.
type failures struct {
	jobs    []ledger.FailedJob
	now     time.Time
	batches []int           // how many were sent at once
	gone    map[string]bool // not failed any more when they are to be sent
	again   bool            // what is sent fails again at once
}

func newFailures(n int) *failures {
	f := &failures{now: time.Unix(int64(n), 0)}
	for i := range n {
		id := fmt.Sprint(i + 1)
		f.jobs = append(f.jobs, ledger.FailedJob{
			ID: int64(i + 1), JobID: id, TransactionID: "T" + id, FailedAt: time.Unix(int64(i+1), 0), Outcome: invoice.Failed,
			Payload: []byte(`{"transaction_id":"T` + id + `","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":1}]}`),
		})
	}
	return f
}

func (f *failures) CountFailed(context.Context, ledger.FailedFilter) (int, time.Time, error) {
	return len(f.jobs), f.now, nil
}

func (f *failures) Failed(_ context.Context, filter ledger.FailedFilter, after ledger.FailedJob, limit int) (page []ledger.FailedJob, _ error) {
	for _, j := range f.jobs {
		if len(filter.JobIDs) > 0 && !slices.Contains(filter.JobIDs, j.JobID) {
			continue
		}
		if j.FailedAt.After(after.FailedAt) && !j.FailedAt.After(filter.Until) && len(page) < limit {
			page = append(page, j)
		}
	}
	return page, nil
}

func (f *failures) Replay(_ context.Context, jobs []ledger.Replay, by ledger.Actor) (sent []string, _ error) {
	if by.Name == "" {
		return nil, errors.New("nobody")
	}
	f.batches = append(f.batches, len(jobs))
	for _, r := range jobs {
		if f.gone[r.Failed.JobID] {
			continue
		}
		sent = append(sent, r.Failed.JobID)
		if f.again {
			again := r.Failed
			f.now = f.now.Add(time.Second)
			again.FailedAt = f.now
			f.jobs = append(f.jobs, again)
		}
	}
	return sent, nil
}

// The forecaster says created, unless it is told otherwise about a transaction.
type forecaster map[string]error

func (f forecaster) ForecastAll(_ context.Context, requests []invoice.Request) []invoice.Forecast {
	made := make([]invoice.Forecast, len(requests))
	for i, r := range requests {
		made[i] = invoice.Forecast{Result: invoice.Result{Outcome: invoice.Created}, Err: f[r.Job.TransactionID]}
	}
	return made
}

func TestReplayerGoesThroughOnce(t *testing.T) {
	t.Parallel()
	f := newFailures(250)
	f.again = true
	f.gone = map[string]bool{"7": true}
	f.jobs[9].Payload = nil
	f.jobs[10].Payload = []byte(`{"version":3,"transaction_id":"T11"}`)
	f.jobs[11].NoText = true
	f.jobs[13].TaskType = "invoice:preview"
	var counted int
	told := map[string]dispatch.Replayed{}
	sum, err := dispatch.NewReplayer(f, forecaster{"T13": &invoice.InvalidError{Problems: []invoice.Problem{{Field: "series", Message: "x"}}}}).
		Run(t.Context(), dispatch.ReplayOptions{
			By: ledger.Actor{Name: "ada"}, Begin: func(n int) { counted = n },
			Observe: func(r dispatch.Replayed) { told[r.Failed.JobID] = r },
		})
	if err != nil || sum.Total() != 244 || sum.Replayed[invoice.Created] != 244 || sum.Invalid != 5 || sum.Changed != 1 {
		t.Errorf("summary %+v, error %v", sum, err)
	}
	if counted != 250 || len(told) != 250 || told["7"].Sent || !told["8"].Sent || slices.Max(f.batches) > 100 {
		t.Errorf("counted %d, told of %d, batches %v", counted, len(told), f.batches)
	}
	for id, field := range map[string]string{"10": "payload", "11": "version", "12": "payload", "13": "series", "14": "task_type"} {
		if r := told[id]; r.Sent || r.Forecast.Outcome != invoice.Invalid || len(r.Problems) != 1 || r.Problems[0].Field != field {
			t.Errorf("job %s: %+v", id, r)
		}
	}
}

func TestReplayerLimitAndRate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(*dispatch.ReplayOptions)
		sent    int
		batches []int
	}{
		"limit":   {func(o *dispatch.ReplayOptions) { o.Limit = 120 }, 120, []int{100, 20}},
		"rate":    {func(o *dispatch.ReplayOptions) { o.Limit, o.Rate = 3, 1e6 }, 3, []int{1, 1, 1}},
		"invalid": {func(o *dispatch.ReplayOptions) { o.Limit = 12 }, 8, []int{8}},
		"dry run": {func(o *dispatch.ReplayOptions) { o.Limit, o.DryRun, o.Rate, o.By.Name = 130, true, 0.001, "" }, 130, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFailures(205)
			if name == "invalid" {
				for i := range 4 {
					f.jobs[2*i].Payload = nil
				}
			}
			o := dispatch.ReplayOptions{By: ledger.Actor{Name: "ada"}}
			test.change(&o)
			sum, err := dispatch.NewReplayer(f, forecaster{}).Run(t.Context(), o)
			if err != nil || sum.Total() != test.sent || !slices.Equal(f.batches, test.batches) {
				t.Errorf("%d sent in %v, error %v", sum.Total(), f.batches, err)
			}
		})
	}
}

func TestReplayerStops(t *testing.T) {
	t.Parallel()
	planted := errors.New("planted")
	f := newFailures(5)
	sum, err := dispatch.NewReplayer(f, forecaster{"T3": planted}).Run(t.Context(), dispatch.ReplayOptions{By: ledger.Actor{Name: "ada"}, Rate: 1e6})
	if !errors.Is(err, planted) || sum.Total() != 2 {
		t.Errorf("%d sent, error %v", sum.Total(), err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	sum, err = dispatch.NewReplayer(f, forecaster{}).Run(ctx, dispatch.ReplayOptions{
		By: ledger.Actor{Name: "ada"}, Rate: 0.001, Observe: func(dispatch.Replayed) { cancel(planted) },
	})
	if !errors.Is(err, planted) || sum.Total() != 1 {
		t.Errorf("%d sent, error %v", sum.Total(), err)
	}
	if _, err := dispatch.NewReplayer(f, forecaster{}).Run(t.Context(), dispatch.ReplayOptions{}); err == nil {
		t.Error("a replay by nobody")
	}
}
