package postgres_test

import (
	"errors"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// A job under an accepted job's id is written only if its payload is what was accepted, and nobody has dismissed it. Its
// neighbours are written whatever becomes of it.
func TestJobsOfTheLedgerAreCompared(t *testing.T) {
	t.Parallel()
	const accepted = `{"transaction_id":"T1","customer_name":"Ödön"}`
	for _, c := range []struct {
		name, row string // how the row is changed
		queued    string
		ask       string // which transaction the queue's copy asks for
		altered   bool
		kept      string // the payload that the error tells of
		dismissed bool
	}{
		{name: "as it was accepted", queued: accepted, ask: "T1"},
		{name: "other content", queued: accepted + " ", ask: "T1", altered: true, kept: accepted},
		{name: "another transaction", queued: accepted + " ", ask: "T2", altered: true, kept: accepted},
		{name: "a transaction that is invoiced", queued: accepted + " ", ask: "before", altered: true, kept: accepted},
		{name: "bytes that are no text", row: "payload = NULL, payload_raw = '\\x00ff'", queued: "\x00\xff", ask: "T1"},
		{name: "pruned", row: "payload = NULL", queued: "whatever", ask: "T1"},
		{name: "pruned, another transaction", row: "payload = NULL", queued: "whatever", ask: "T2", altered: true},
		{name: "dismissed", row: "state = 'dismissed', outcome = 'failed', reason = 'r'", queued: accepted, ask: "T1", dismissed: true},
		{name: "dismissed and altered", row: "state = 'dismissed', outcome = 'failed', reason = 'r'", queued: "{}", ask: "T1", dismissed: true},
		{name: "no row", row: "job_id = 'another one'", queued: accepted, ask: "T1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.create(t, b.id("before"), job(t, "before"))
			b.Exec(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ($1, 'T1', 'T1', 'q', $2, 'enqueued')", b.id("job"), accepted)
			if c.row != "" {
				b.Exec(t, "UPDATE invoice_jobs SET "+c.row)
			}
			r := request(b.id("job"), job(t, c.ask))
			r.Payload = []byte(c.queued)
			result, err := b.generator.Generate(t.Context(), r)
			var altered *ledger.AlteredError
			var dismissed *ledger.DismissedError
			switch {
			case c.dismissed:
				if !errors.As(err, &dismissed) || dismissed.JobID != r.JobID {
					t.Errorf("%+v, error %v; want a DismissedError", result, err)
				}
			case c.altered:
				if !errors.As(err, &altered) || altered.JobID != r.JobID || string(altered.Payload) != c.kept {
					t.Errorf("%+v, error %v; want an AlteredError with the accepted payload", result, err)
				}
			case err != nil || result.Outcome != invoice.Created:
				t.Errorf("%+v, error %v", result, err)
			}
			wantRows := 2
			if c.altered || c.dismissed {
				wantRows = 1
			}
			if n := b.Count(t, "SELECT count(*) FROM invoices"); n != wantRows {
				t.Errorf("%d invoices, want %d", n, wantRows)
			}
			b.create(t, b.id("after"), job(t, "after"))
			b.gapless(t)
		})
	}
}

// The row of a job that was compared is done when its invoice is there; that of another job isn't touched.
func TestComparedJobIsDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ($1, 'T1', 'T1', 'q', '{}', 'enqueued'), ($2, 'T1', 'T1', 'q', '{}', 'enqueued')", b.id("job"), b.id("other"))
	good, altered := request(b.id("job"), job(t, "T1")), request(b.id("other"), job(t, "T3"))
	good.Payload = []byte("{}")
	altered.Payload = []byte("{ }")
	if _, err := b.generator.Generate(t.Context(), good); err != nil {
		t.Error(err)
	}
	if _, err := b.generator.Generate(t.Context(), altered); !errors.As(err, new(*ledger.AlteredError)) {
		t.Errorf("error %v", err)
	}
	if got := b.Text(t, "SELECT string_agg(state, ' ' ORDER BY job_id) FROM invoice_jobs"); got != "done enqueued" {
		t.Errorf("the rows are %s", got)
	}
}
