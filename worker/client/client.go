// Package client is what a billing service imports to ask for invoices.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	c, err := client.New(rdb, client.Options{Producer: "checkout"})
//	…
//	receipt, err := c.Enqueue(ctx, &invoice.Job{TransactionID: "536365", …})
//
// Asking again for the same transaction, from here or from anywhere else, is safe: there will be one invoice.
package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// TaskType is the asynq task type of a job; the task's payload is the job as JSON.
const TaskType = "invoice:generate"

// Options of a client. Zero values mean the defaults.
type Options struct {
	// Queue is used where [Client.Enqueue] isn't told another one. Default: default.
	Queue string
	// Producer is set on jobs that name none. Default: none.
	Producer string
	// Retention keeps a finished job and its result visible in the queue. Default: 10m; negative: not at all.
	Retention time.Duration
}

// A Client enqueues jobs straight into Redis. It is safe for concurrent use.
//
// What it promises is what Redis keeps: a job that is lost with Redis, before a worker has taken it, is lost.
type Client struct {
	queue   *asynq.Client
	options Options
}

// A Receipt says where a job went.
type Receipt struct {
	JobID string `json:"job_id"` // stays the same over retries and replays
	Queue string `json:"queue"`
}

// New returns a client on an open Redis connection, which stays the caller's to close.
func New(rdb redis.UniversalClient, o Options) (*Client, error) {
	if rdb == nil {
		return nil, errors.New("client: no Redis connection given")
	}
	if o.Queue == "" {
		o.Queue = "default"
	}
	if o.Retention == 0 {
		o.Retention = 10 * time.Minute
	}
	return &Client{queue: asynq.NewClientFromRedisClient(rdb), options: o}, nil
}

// Enqueue asks for a job's invoice, in the client's queue or in another one. A job that can never be an invoice is
// refused with [*invoice.InvalidError]; any other error comes from Redis, and asking again after it is safe.
func (c *Client) Enqueue(ctx context.Context, job *invoice.Job, queue ...string) (Receipt, error) {
	if job.Producer == "" && c.options.Producer != "" {
		named := *job
		named.Producer = c.options.Producer
		job = &named
	}
	payload, err := job.Encode()
	if err != nil {
		return Receipt{}, err
	}
	return c.EnqueuePayload(ctx, payload, queue...)
}

// EnqueuePayload enqueues a job that is JSON already, as it is and unread: what [invoice.Decode] would refuse, the
// worker will record as invalid.
func (c *Client) EnqueuePayload(ctx context.Context, payload []byte, queue ...string) (Receipt, error) {
	receipt := Receipt{JobID: newID(), Queue: c.options.Queue}
	if len(queue) > 0 && queue[0] != "" {
		receipt.Queue = queue[0]
	}
	_, err := c.queue.EnqueueContext(ctx, asynq.NewTask(TaskType, payload),
		asynq.TaskID(receipt.JobID),
		asynq.Queue(receipt.Queue),
		asynq.Retention(max(c.options.Retention, 0)),
		// The worker counts the failures itself, so that it can write a failed job down before giving up; asynq's own
		// limit would also be used up by whatever isn't the job's fault.
		asynq.MaxRetry(math.MaxInt32),
	)
	// The id is new, so who finds it taken is this call's own command, sent again after its reply was lost.
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return Receipt{}, fmt.Errorf("enqueue into %s: %w", receipt.Queue, err)
	}
	return receipt, nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
