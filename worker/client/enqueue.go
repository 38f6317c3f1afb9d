package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
)

// Enqueue asks for a job's invoice, by way of the client's queue or the given one. IssuedAt is cut to whole microseconds.
//
// The receipt's Status is [Known] if the queue has the same job under the id of [Options].JobID already: it waits, or has ended
// not longer than the retention ago, and then the receipt has its invoice number. Else it is [Inserted], and whether the
// transaction is invoiced isn't told, since that is in the database.
//
// For a job that can never be an invoice Enqueue returns an [*invoice.InvalidError], and for one whose id another job in the
// queue has, a [*TakenError]. Any other error comes from Redis, and asking again is safe.
func (c *Client) Enqueue(ctx context.Context, job *invoice.Job, queue ...string) (Receipt, error) {
	a, err := c.ask(job)
	if err != nil {
		return Receipt{}, err
	}
	return c.enqueue(ctx, a, c.queueOf(queue))
}

// EnqueuePayload enqueues a job given as JSON, without reading it, under a new id. If [invoice.Decode] refuses the payload, the
// worker records the job as invalid.
func (c *Client) EnqueuePayload(ctx context.Context, payload []byte, queue ...string) (Receipt, error) {
	return c.enqueue(ctx, ask{id: newID(), payload: payload}, c.queueOf(queue))
}

func (c *Client) enqueue(ctx context.Context, a ask, queue string) (Receipt, error) {
	if c.queue == nil {
		return Receipt{}, errors.New("client: it was made without a Redis connection, and only accepts")
	}
	var headers map[string]string
	if in := c.traceparent(ctx); in != "" {
		headers = map[string]string{TraceparentHeader: in}
	}
	receipt := Receipt{JobID: a.id, Queue: queue, Status: Inserted}
	_, err := c.queue.EnqueueContext(ctx, asynq.NewTaskWithHeaders(TaskType, a.payload, headers),
		asynq.TaskID(a.id),
		asynq.Queue(queue),
		asynq.Retention(max(c.options.Retention, 0)),
		// The worker counts the failures itself, so that it can record a failed job before it gives up; asynq's own
		// limit would also count attempts that failed through no fault of the job.
		asynq.MaxRetry(math.MaxInt32),
	)
	switch {
	case err == nil:
		return receipt, nil
	case !errors.Is(err, asynq.ErrTaskIDConflict):
		return Receipt{}, fmt.Errorf("enqueue into %s: %w", queue, err)
	case !a.repeatable:
		// The id is new. If it is taken, this call's command was sent twice because its first reply was lost.
		return receipt, nil
	}
	receipt.Status = Known
	task, err := c.tasks.GetTaskInfo(queue, a.id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound):
		return receipt, nil // it has ended since
	case err != nil:
		return Receipt{}, fmt.Errorf("enqueue into %s: the id is taken, and reading by which job failed: %w", queue, err)
	case task.Type != TaskType || !bytes.Equal(task.Payload, a.payload):
		return Receipt{}, &TakenError{JobID: a.id}
	}
	var result struct {
		InvoiceNumber string `json:"invoice_number"`
	}
	if len(task.Result) > 0 && json.Unmarshal(task.Result, &result) == nil {
		receipt.InvoiceNumber = result.InvoiceNumber
	}
	return receipt, nil
}
