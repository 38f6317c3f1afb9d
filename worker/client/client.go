// Package client is what a billing service imports to ask for invoices.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	c, err := client.New(rdb, client.Options{Producer: "checkout"})
//	…
//	receipt, err := c.Enqueue(ctx, &invoice.Job{TransactionID: "536365", …})
//
// or, inside a transaction of the service's own database, which is the ledger's too:
//
//	receipt, err := c.Accept(ctx, tx, &invoice.Job{…})
//
// Asking again for the same transaction, from here or from anywhere else, is safe: there will be one invoice.
package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// TaskType is the asynq task type of a job; the task's payload is the job as JSON.
const TaskType = "invoice:generate"

// JobIDHeader is the header in which a task from the ledger names its job; the task's own id is that of one dispatch. A
// task without it is a job of its own, under its task's id.
const JobIDHeader = "invoicer-job-id"

// InstallationHeader is the header in which a task from the ledger names its installation, by its database's identity. No
// other one works on it.
const InstallationHeader = "invoicer-installation"

// Options of a client. Zero values mean the defaults.
type Options struct {
	// Queue is used where [Client.Enqueue] isn't told another one. Default: default.
	Queue string
	// Producer is set on jobs that name none. Default: none.
	Producer string
	// Schema holds the ledger, for [Client.Accept] and [Client.Lookup]. Default: invoicer.
	Schema string
	// Retention keeps a finished job and its result visible in the queue. Default: 10m; negative: not at all.
	Retention time.Duration
}

// A Client asks for invoices, in one of two ways. It is safe for concurrent use.
//
// [Client.Accept] writes a job into the database, within a transaction of the caller's. Once that is committed, the job
// ends as an invoice, a recorded duplicate or a visible failed job, whatever happens to Redis.
//
// [Client.Enqueue] puts a job straight into Redis. It needs no database, and is promised what Redis keeps: a job that is
// lost with Redis, before a worker has taken it, is lost.
type Client struct {
	queue   *asynq.Client
	options Options
}

// A Receipt says where a job went.
type Receipt struct {
	JobID string `json:"job_id"` // stays the same over retries and replays
	Queue string `json:"queue"`
}

// New returns a client on an open Redis connection, which stays the caller's to close. Pass nil if you only call Accept
// and Lookup.
func New(rdb redis.UniversalClient, o Options) (*Client, error) {
	if o.Schema == "" {
		o.Schema = "invoicer"
	}
	if strings.ContainsAny(o.Schema, "\"\x00") {
		return nil, fmt.Errorf("client: schema %q is no plain name", o.Schema)
	}
	if o.Queue == "" {
		o.Queue = "default"
	}
	if o.Retention == 0 {
		o.Retention = 10 * time.Minute
	}
	c := &Client{options: o}
	if rdb != nil {
		c.queue = asynq.NewClientFromRedisClient(rdb)
	}
	return c, nil
}

// Enqueue asks for a job's invoice, in the client's queue or in another one. A job that can never be an invoice is
// refused with [*invoice.InvalidError]; any other error comes from Redis, and asking again after it is safe.
func (c *Client) Enqueue(ctx context.Context, job *invoice.Job, queue ...string) (Receipt, error) {
	payload, err := c.encode(job)
	if err != nil {
		return Receipt{}, err
	}
	return c.EnqueuePayload(ctx, payload, queue...)
}

func (c *Client) encode(job *invoice.Job) ([]byte, error) {
	if job.Producer == "" && c.options.Producer != "" {
		named := *job
		named.Producer = c.options.Producer
		job = &named
	}
	return job.Encode()
}

func (c *Client) receipt(queue []string) Receipt {
	r := Receipt{JobID: newID(), Queue: c.options.Queue}
	if len(queue) > 0 && queue[0] != "" {
		r.Queue = queue[0]
	}
	return r
}

// EnqueuePayload enqueues a job that is JSON already, as it is and unread: what [invoice.Decode] would refuse, the
// worker will record as invalid.
func (c *Client) EnqueuePayload(ctx context.Context, payload []byte, queue ...string) (Receipt, error) {
	if c.queue == nil {
		return Receipt{}, errors.New("client: it was made without a Redis connection, and only accepts")
	}
	receipt := c.receipt(queue)
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
