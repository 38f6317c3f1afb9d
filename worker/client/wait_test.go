package client_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/worker/client"
)

// watched does something before a statement runs, by which of them it is.
type watched struct {
	client.Querier
	looks  *int
	before func(look int)
}

func watch(q client.Querier, before func(look int)) watched { return watched{q, new(int), before} }

func (w watched) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	*w.looks++
	w.before(*w.looks)
	return w.Querier.QueryRowContext(ctx, query, args...)
}

// Wait asks until the job has ended, and tells how.
func TestWait(t *testing.T) {
	t.Parallel()
	const made = `UPDATE invoice_jobs SET state = 'done', outcome = 'created', invoice_id = (SELECT id FROM invoices) WHERE job_id = $1`
	for name, test := range map[string]struct {
		given, end string
		want       client.End
	}{
		"created": {invoiced, made, client.End{Outcome: invoice.Created, InvoiceNumber: "INV-000001"}},
		"duplicate": {
			invoiced, `UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', reason = 'already_invoiced', invoice_id = (SELECT id FROM invoices) WHERE job_id = $1`,
			client.End{Outcome: invoice.Duplicate, InvoiceNumber: "INV-000001", Reason: "already_invoiced"},
		},
		"duplicate of an import": {
			`INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('T1', 'T1', 'OLD-1')`,
			`UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', reason = 'already_invoiced', imported_id = (SELECT id FROM imported_invoices) WHERE job_id = $1`,
			client.End{Outcome: invoice.Duplicate, InvoiceNumber: "OLD-1", Reason: "already_invoiced"},
		},
		"conflict": {
			"", `UPDATE invoice_jobs SET state = 'failed', outcome = 'conflict', reason = 'currency differs' WHERE job_id = $1`,
			client.End{Outcome: invoice.Conflict, Reason: "currency differs"},
		},
		"dismissed": {
			"", `UPDATE invoice_jobs SET state = 'dismissed', outcome = 'failed', reason = 'planted' WHERE job_id = $1`,
			client.End{Outcome: invoice.Failed, Reason: "planted", Dismissed: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if test.given != "" {
				b.Exec(t, test.given)
			}
			receipt, err := b.Accept(t.Context(), b.DB, job())
			if err != nil {
				t.Fatal(err)
			}
			q := watch(b.DB, func(look int) {
				switch look {
				case 2:
					b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued' WHERE job_id = $1", receipt.JobID)
				case 3:
					b.Exec(t, test.end, receipt.JobID)
				}
			})
			got, err := b.Wait(t.Context(), q, receipt.JobID)
			if err != nil {
				t.Fatal(err)
			}
			if *q.looks != 3 || time.Since(got.At).Abs() > time.Hour {
				t.Errorf("after %d looks it ended at %s", *q.looks, got.At)
			}
			if got.Invoiced() != (test.want.InvoiceNumber != "") {
				t.Errorf("invoiced: %t", got.Invoiced())
			}
			got.At, test.want.JobID, test.want.TransactionID = time.Time{}, receipt.JobID, "T1"
			if got != test.want {
				t.Errorf("ended as %+v, want %+v", got, test.want)
			}
		})
	}
}

// A job that was enqueued directly has no row in the ledger.
func TestWaitForWhatTheLedgerHasNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, invoiced)
	b.Exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker)
SELECT 'other', 'T1', 'T1', id, 'lost_race', 'w1' FROM invoices`)
	for id, want := range map[string]client.End{
		"job":   {Outcome: invoice.Created},
		"other": {Outcome: invoice.Duplicate, Reason: "lost_race"},
	} {
		got, err := b.Wait(t.Context(), client.Pgx(b.connect(t)), id)
		if err != nil || got.At.IsZero() {
			t.Fatalf("%+v, %v", got, err)
		}
		got.At, want.JobID, want.TransactionID, want.InvoiceNumber = time.Time{}, id, "T1", "INV-000001"
		if got != want {
			t.Errorf("%s ended as %+v, want %+v", id, got, want)
		}
	}
}

func TestWaitForAJobThatNobodyKnows(t *testing.T) {
	t.Parallel()
	b, queue := setup(t), uuid.NewString()
	withRedis, err := client.New(rig.Connect(t, sandboxtest.Redis(t)), client.Options{Schema: b.Schema, Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client.Client{b.Client, withRedis} {
		if _, err := c.Wait(t.Context(), b.DB, uuid.NewString()); !errors.Is(err, client.ErrUnknownJob) {
			t.Errorf("error %v", err)
		}
	}

	// The queue knows one that hasn't ended; who doesn't see the queue can't tell.
	receipt, err := withRedis.Enqueue(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Wait(t.Context(), b.DB, receipt.JobID); !errors.Is(err, client.ErrUnknownJob) {
		t.Errorf("error %v", err)
	}
	if _, err := withRedis.Wait(t.Context(), b.DB, receipt.JobID, "another"); !errors.Is(err, client.ErrUnknownJob) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	q := watch(b.DB, func(look int) {
		if look == 3 {
			cancel(enough)
		}
	})
	if _, err := withRedis.Wait(ctx, q, receipt.JobID); !errors.Is(err, enough) || *q.looks != 3 {
		t.Errorf("after %d looks: %v", *q.looks, err)
	}
}

// The job ends after the database was asked, and before the queue is.
func TestWaitForAJobThatEndsBetweenTheLooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	q := watch(b.DB, func(look int) {
		if look == 2 {
			b.Exec(t, invoiced)
		}
	})
	if end, err := b.Wait(t.Context(), q, "job"); err != nil || end.Outcome != invoice.Created || *q.looks != 2 {
		t.Errorf("after %d looks: %+v, %v", *q.looks, end, err)
	}
}

// waiting is what pgx gives of a job that never ends.
type waiting struct{ rows *[][]any }

func (waiting) Query(context.Context, string, ...any) (waiting, error) {
	return waiting{&[][]any{{"enqueued", nil, nil, "", "T1", nil, time.Now()}}}, nil
}

func (w waiting) Next() bool { return len(*w.rows) > 0 }

func (w waiting) Values() ([]any, error) {
	row := (*w.rows)[0]
	*w.rows = (*w.rows)[1:]
	return row, nil
}

func (waiting) Err() error { return nil }
func (waiting) Close()     {}

// It asks less and less often, and a context that ends while it pauses ends it.
func TestWaitBacksOffAndHonoursItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := client.New(nil, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var looks []time.Duration
		q := watch(client.Pgx(waiting{}), func(int) { looks = append(looks, time.Since(begun)) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := c.Wait(ctx, q, "job"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 10*time.Minute {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if n := len(looks); n < 300 || n > 700 || looks[1] > 20*time.Millisecond || looks[5] > 300*time.Millisecond {
			t.Errorf("%d looks, at first after %s", n, looks[:6])
		}
		for i := 50; i < len(looks)-1; i++ { // the last one is at the end of ctx
			if pause := looks[i] - looks[i-1]; pause < time.Second || pause > 2*time.Second {
				t.Errorf("a pause of %s", pause)
			}
		}
	})
}
