package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

// unordered are six failures whose other times fall, in threes: the order by them is 4 5 6 1 2 3.
func unordered() *failures {
	f := newFailures(6)
	for i := range f.jobs {
		at := time.Date(2026, 1, 1, 0, 0, 6-i/3, 0, time.UTC)
		f.jobs[i].AcceptedAt = at
		f.jobs[i].Payload = []byte(strings.Replace(string(f.jobs[i].Payload), "2010-12-01T08:26:00Z", at.Format(time.RFC3339), 1))
	}
	return f
}

func TestReplayerKeepsAnOrder(t *testing.T) {
	t.Parallel()
	failed := errors.New("it has failed again")
	for name, c := range map[string]struct {
		change func(*failures, *dispatch.ReplayOptions)
		want   string // the jobs that were sent, or are known to be as they were
		err    string
		sum    string // sent, invalid, changed
	}{
		"by issued_at":   {func(_ *failures, o *dispatch.ReplayOptions) { o.Order = dispatch.ByIssuedAt }, "4 5 6 1 2 3", "", "6 0 0"},
		"by accepted_at": {func(_ *failures, o *dispatch.ReplayOptions) { o.Order = dispatch.ByAcceptedAt }, "4 5 6 1 2 3", "", "6 0 0"},
		"not by another time": {func(f *failures, o *dispatch.ReplayOptions) {
			o.Order = dispatch.ByIssuedAt
			for i := range f.jobs {
				f.jobs[i].AcceptedAt = time.Unix(int64(i), 0)
			}
		}, "4 5 6 1 2 3", "", "6 0 0"},
		"a job that can't be one, and one that isn't failed any more": {func(f *failures, o *dispatch.ReplayOptions) {
			o.Order = dispatch.ByIssuedAt
			f.jobs[2].Payload, f.gone = []byte("{"), map[string]bool{"5": true}
		}, "3 4 5 6 1 2", "", "4 1 1"},
		"the first ones": {func(_ *failures, o *dispatch.ReplayOptions) { o.Order, o.Limit = dispatch.ByIssuedAt, 2 }, "4 5", "", "2 0 0"},
		"a failing one": {func(_ *failures, o *dispatch.ReplayOptions) {
			o.Order = dispatch.ByAcceptedAt
			o.Await = func(_ context.Context, jobID string, _ []byte) error {
				if jobID == "6" {
					return failed
				}
				return nil
			}
		}, "4 5 6", "job 6: it has failed again", "3 0 0"},
		"a dry run": {func(_ *failures, o *dispatch.ReplayOptions) {
			o.Order, o.DryRun = dispatch.ByIssuedAt, true
			o.Await = func(context.Context, string, []byte) error { return failed }
		}, "4 5 6 1 2 3", "", "6 0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := unordered()
			var sent, ended []string
			o := dispatch.ReplayOptions{By: ledger.Actor{Name: "ada"}, Observe: func(r dispatch.Replayed) {
				if !slices.Equal(sent, ended) {
					t.Errorf("job %s was sent before those before it had ended", r.Failed.JobID)
				}
				if sent = append(sent, r.Failed.JobID); !r.Sent {
					ended = append(ended, r.Failed.JobID)
				}
			}}
			c.change(f, &o)
			next := o.Await
			o.Await = func(ctx context.Context, jobID string, payload []byte) error {
				ended = append(ended, jobID)
				if !strings.Contains(string(payload), `"T`+jobID+`"`) {
					t.Errorf("job %s is awaited with %s", jobID, payload)
				}
				if next == nil {
					return nil
				}
				return next(ctx, jobID, payload)
			}
			sum, err := dispatch.NewReplayer(f, forecaster{}).Run(t.Context(), o)
			if got := fmt.Sprint(err); c.err != "" && got != c.err || c.err == "" && err != nil {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if got := strings.Join(sent, " "); got != c.want {
				t.Errorf("sent %s, want %s", got, c.want)
			}
			if got := fmt.Sprint(sum.Total(), sum.Invalid, sum.Changed); got != c.sum {
				t.Errorf("counted %s, want %s", got, c.sum)
			}
		})
	}
}
