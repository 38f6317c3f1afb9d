package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"invoicer/internal/dropproxy"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/api"
	"invoicer/worker/client"
)

// Each of many jobs has a result of its own.
func TestHTTPAcceptMany(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "checkout")
	const n = 1203 // more than go into one batch
	jobs := make([]*invoice.Job, n)
	for i := range jobs {
		jobs[i] = ofTransaction(fmt.Sprint("T", i))
	}
	jobs[3] = ofTransaction("T3")
	jobs[3].Currency = "XYZ" // refused before it is sent
	jobs[1100] = ofTransaction("T1100")
	jobs[1100].Issuer = "NOBODY" // refused by the API
	results, err := h.AcceptMany(t.Context(), jobs)
	if err != nil || len(results) != n {
		t.Fatalf("%d results, error %v", len(results), err)
	}
	for i, r := range results {
		if bad := i == 3 || i == 1100; bad != errors.As(r.Err, new(*invoice.InvalidError)) || bad != (r.JobID == "") || bad != (r.Err != nil) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	s.ledgerHas(t, n-2)
	if got := s.Text(t, "SELECT transaction_id FROM invoice_jobs WHERE job_id = $1", results[1202].JobID); got != "T1202" {
		t.Errorf("the last job is of %s", got)
	}
	if n := s.requests.Load(); n != 2 {
		t.Errorf("it took %d requests", n)
	}
	if results, err := h.AcceptMany(t.Context(), nil); err != nil || len(results) != 0 {
		t.Errorf("none: %v, %v", results, err)
	}
}

// An answer that is lost has the batch sent again, and jobs that can't be accepted now are sent again without the others.
func TestHTTPAcceptManyComesAgain(t *testing.T) {
	t.Parallel()
	var fails atomic.Int64
	s := serve(t, rig.New(t), func(o *api.Options) { o.Ledger = sometimesAway{o.Ledger, &fails} })
	proxy := dropproxy.Start(t, "tcp", s.address, dropproxy.First(`"T599"`)) // the end of a batch
	h := s.over(t, proxy.Addr(), "checkout")
	jobs := make([]*invoice.Job, 600) // the API accepts 500 at once
	for i := range jobs {
		jobs[i] = ofTransaction(fmt.Sprint("T", i))
	}
	fails.Store(-4) // the second half of the second attempt
	results, err := h.AcceptMany(t.Context(), jobs)
	if err != nil || proxy.Dropped() != 1 {
		t.Fatalf("%v, %d answers lost", err, proxy.Dropped())
	}
	seen := make(map[string]bool)
	for i, r := range results {
		if r.Err != nil || seen[r.JobID] {
			t.Fatalf("%d: %+v", i, r)
		}
		seen[r.JobID] = true
	}
	for i := range jobs {
		if got := s.Text(t, "SELECT transaction_id FROM invoice_jobs WHERE job_id = $1", results[i].JobID); got != jobs[i].TransactionID {
			t.Fatalf("%d: the job of %s", i, got)
		}
	}
}

// sometimesAway fails one call.
type sometimesAway struct {
	api.Ledger
	calls *atomic.Int64
}

func (s sometimesAway) AcceptRequests(ctx context.Context, queue string, all []ledger.Request) ([]ledger.Acceptance, error) {
	if s.calls.Add(1) == 0 {
		return nil, invoice.ErrUnavailable
	}
	return s.Ledger.AcceptRequests(ctx, queue, all)
}

// A context that ends tells of all jobs that were given up.
func TestHTTPAcceptManyUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "checkout")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bad := ofTransaction("T2")
	bad.Currency = ""
	results, err := h.AcceptMany(ctx, []*invoice.Job{ofTransaction("T1"), bad})
	if !errors.Is(err, context.Canceled) || !errors.Is(results[0].Err, context.Canceled) || !errors.As(results[1].Err, new(*invoice.InvalidError)) {
		t.Errorf("%v, %v", results, err)
	}
	nobody := s.over(t, s.address, "nobody")
	var p *client.ProblemError
	if results, err := nobody.AcceptMany(t.Context(), []*invoice.Job{ofTransaction("T1")}); !errors.As(err, &p) || results[0].Err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("%v, %v", results, err)
	}
	s.ledgerHas(t, 0)
}
