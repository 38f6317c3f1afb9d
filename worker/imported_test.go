package worker_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/internal/fault"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// A job of a transaction that was invoiced elsewhere is a duplicate until the import is withdrawn. Redis never remembers it.
func TestJobsOfAnImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store := b.store(t)
	added, err := store.Imports.Add(t.Context(), []invoice.Import{{TransactionID: "T1", IdempotencyKey: "T1", InvoiceNumber: "OLD-77"}}, false)
	if err != nil || len(added[0].Problems) > 0 {
		t.Fatal(added, err)
	}
	w := b.start(t, "w1")
	for range 2 {
		jobID := b.enqueue(t, job("T1"))
		e := w.ended(t)
		if e.Outcome != invoice.Duplicate || e.Reason != invoice.AlreadyInvoiced || e.Invoice.Number != "OLD-77" || e.DoneEntry || e.LateDuplicate() {
			t.Fatalf("%+v of %+v", e, e.Invoice)
		}
		info := b.awaitState(t, jobID, asynq.TaskStateCompleted)
		if got := string(info.Result); !strings.Contains(got, `"invoice_number":"OLD-77","imported_id":1,`) || strings.Contains(got, "invoice_id") {
			t.Errorf("the task's result is %s", got)
		}
	}
	if n, err := b.Redis.Exists(t.Context(), "invoicer:"+b.databaseID+":done:{T1}").Result(); err != nil || n != 0 {
		t.Errorf("%d done entries, %v", n, err)
	}
	if _, err := store.Imports.Withdraw(t.Context(), nil, "T1", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	b.enqueue(t, job("T1"))
	if e := w.ended(t); e.Outcome != invoice.Created {
		t.Errorf("after the withdrawal: %+v", e)
	}
	b.tally(t, 1, 2, 0)
}

// An import that is withdrawn between the decision and its record decides nothing: the job is invoiced, without a retry.
func TestImportIsWithdrawnInMidJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store := b.store(t)
	if _, err := store.Imports.Add(t.Context(), []invoice.Import{{TransactionID: "T1", IdempotencyKey: "T1", InvoiceNumber: "OLD-77"}}, false); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	w := b.start(t, "w1", func(p *parts) {
		p.Fault = func(ctx context.Context, point fault.Point) (err error) {
			if point == fault.Committed {
				once.Do(func() { _, err = store.Imports.Withdraw(ctx, nil, "T1", ledger.Actor{Name: "ada"}) })
			}
			return err
		}
	})
	b.enqueue(t, job("T1"))
	if e := w.first(t); e.Outcome != invoice.Created || e.Attempt != 1 {
		t.Errorf("%+v", e)
	}
	b.tally(t, 1, 0, 0)
}
