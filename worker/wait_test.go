package worker_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/worker/client"
)

// A client waits for what it has enqueued, first while only the queue knows the job; a repeat tells what the job has made.
func TestClientWaitsForAJobOfTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := client.New(b.Redis, client.Options{Queue: b.Queue, Schema: b.Schema, Retention: time.Hour, JobID: func(j *invoice.Job) string {
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(j.TransactionID)).String()
	}})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Enqueue(t.Context(), invoicetest.Job("T1"))
	if err != nil {
		t.Fatal(err)
	}
	type ended struct {
		client.End
		err error
	}
	ends := make(chan ended, 1)
	go func() {
		end, err := c.Wait(t.Context(), b.DB, receipt.JobID)
		ends <- ended{end, err}
	}()
	b.start(t, "w1")
	end := rig.Receive(t, ends, "the job's end")
	if end.err != nil || end.Outcome != invoice.Created || end.InvoiceNumber == "" || end.TransactionID != "T1" {
		t.Fatalf("%+v", end)
	}
	rig.Eventually(t, "the queue to have the result", func() bool {
		task, err := b.Inspector.GetTaskInfo(b.Queue, receipt.JobID)
		return err == nil && task.State == asynq.TaskStateCompleted
	})
	if again, err := c.Enqueue(t.Context(), invoicetest.Job("T1")); err != nil || again.Status != client.Known || again.InvoiceNumber != end.InvoiceNumber {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if later, err := c.Wait(t.Context(), b.DB, receipt.JobID); err != nil || later != end.End {
		t.Errorf("waited again: %+v, %v", later, err)
	}
}
