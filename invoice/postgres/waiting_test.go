package postgres_test

import (
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func TestWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wait := func() report.Waiting {
		w, err := b.store.Reports.Waiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if w := wait(); w != (report.Waiting{}) {
		t.Errorf("of an empty ledger: %+v", w)
	}
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, accepted_at) VALUES
		('a', 'A', 'A', 'default', '{}', 'enqueued', now() - interval '50 seconds'), ('b', 'B', 'B', 'bulk', '{}', 'enqueued', now() - interval '100 seconds'),
		('c', 'C', 'C', 'default', '{}', 'accepted', now() - interval '20 seconds'), ('d', 'D', 'D', 'elsewhere', '{}', 'enqueued', now() - interval '1 hour')`)
	b.Exec(t, "INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('e', 'default', 'failed', 'invalid', 'r')")
	if w := wait(); w.Accepted != 1 || w.Enqueued != 3 || w.Failed != 1 || w.OldestSeconds < 3600 || w.OldestSeconds > 3700 {
		t.Errorf("%+v, want 1 accepted, 3 enqueued, 1 failed, the oldest of all queues an hour old", w)
	}
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, paused_series, accepted_at) VALUES
		('f', 'F', 'F', 'default', '{}', 'accepted', 'ACME-DE/INV', now() - interval '2 days'), ('g', 'G', 'G', 'default', '{}', 'accepted', 'INV', now())`)
	if w := wait(); w.Paused != 2 || w.Accepted != 1 || w.OldestSeconds > 3700 {
		t.Errorf("%+v, want 2 that wait for a paused series, and are no accepted ones", w)
	}
	b.Exec(t, "DELETE FROM invoice_jobs WHERE state = 'enqueued'")
	if w := wait(); w.OldestSeconds < 20 || w.OldestSeconds > 100 {
		t.Errorf("%+v, want the accepted one to be the oldest", w)
	}
}

// The time from acceptance to invoice comes with the invoice, and the store tells how many a transaction wrote.
func TestSinceAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wrote atomic.Int64
	g := generator(t, b.open(t, func(o *postgres.Options) { o.Wrote = func(n int) { wrote.Add(int64(n)) } }))
	accepted := job(t, "T1")
	payload, err := accepted.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := b.Text(t, "SELECT accept($1)", string(payload))
	b.Exec(t, "UPDATE invoice_jobs SET accepted_at = now() - interval '40 seconds'")
	r := request(id, accepted)
	r.Payload = payload
	for _, c := range []struct {
		request     invoice.Request
		least, most time.Duration
	}{{r, 40 * time.Second, 3 * time.Minute}, {r, 0, 0}, {request("direct", job(t, "T2")), 0, 0}} {
		result, err := g.Generate(t.Context(), c.request)
		if err != nil || result.Outcome != invoice.Created || result.Since < c.least || result.Since > c.most {
			t.Errorf("%+v, error %v, want a time of %s to %s", result, err, c.least, c.most)
		}
	}
	if wrote.Load() != 2 {
		t.Errorf("%d invoices were told of, want 2", wrote.Load())
	}
}
