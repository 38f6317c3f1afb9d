// Package client is what a billing service imports to ask for invoices.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	c, err := client.New(rdb, client.Options{Producer: "checkout"})
//	…
//	receipt, err := c.Enqueue(ctx, &invoice.Job{TransactionID: "536365", …})
//
// or, if the ledger is in the service's own database, inside a transaction there:
//
//	receipt, err := c.Accept(ctx, tx, &invoice.Job{…})
//
// Asking again for the same transaction is safe, from this service or another: there will be one invoice.
package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// TaskType is the asynq task type of a job; the task's payload is the job as JSON.
const TaskType = "invoice:generate"

// JobIDHeader is the header in which a task from the ledger names its job; the task's own id names one dispatch of
// the job. A task without the header is a job under the task's id.
const JobIDHeader = "invoicer-job-id"

// InstallationHeader is the header in which a task from the ledger names its installation, by its database's
// identity. Other installations don't work on the task.
const InstallationHeader = "invoicer-installation"

// TraceparentHeader is the header in which a task says which span of a trace it continues, in the form of W3C Trace Context.
const TraceparentHeader = "traceparent"

// Options of a client. Zero values mean the defaults.
type Options struct {
	// Queue is used if a call doesn't name another queue. Default: default.
	Queue string
	// Producer is set on jobs that state none. Default: none.
	Producer string
	// Schema is the ledger's schema, for [Client.Accept] and [Client.Lookup]. Default: invoicer.
	Schema string
	// Traceparent returns which span of a trace a job belongs to, in the form of W3C Trace Context, or "". A worker that
	// traces continues there. With OpenTelemetry:
	//
	//	func(ctx context.Context) string {
	//		carrier := propagation.MapCarrier{}
	//		propagation.TraceContext{}.Inject(ctx, carrier)
	//		return carrier["traceparent"]
	//	}
	//
	// Default: jobs belong to none.
	Traceparent func(context.Context) string
	// Retention keeps a finished job and its result visible in the queue. Default: 10m; negative: not at all.
	Retention time.Duration
}

// A Client asks for invoices, in one of two ways. It is safe for concurrent use.
//
// [Client.Accept] writes a job into the database, within a transaction of the caller. Once that transaction is
// committed, the job ends as an invoice, a recorded duplicate or a visible failed job, whatever happens to Redis.
//
// [Client.Enqueue] puts a job directly into Redis. It needs no database, and its job is as safe as Redis is: if Redis
// loses the job before a worker has taken it, the job is lost.
type Client struct {
	queue   *asynq.Client
	options Options
}

// A Receipt names a job that was accepted or enqueued, and its queue.
type Receipt struct {
	JobID string `json:"job_id"` // stays the same over retries and replays
	Queue string `json:"queue"`
}

// New returns a client that uses an open Redis connection, which the caller has to close. Pass nil if you only call
// Accept and Lookup.
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

// Enqueue asks for a job's invoice, by way of the client's queue or the given one. For a job that can never be an
// invoice it returns an [*invoice.InvalidError]. Any other error comes from Redis, and asking again is safe.
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

// EnqueuePayload enqueues a job given as JSON, without reading it. If [invoice.Decode] refuses the payload, the
// worker records the job as invalid.
func (c *Client) EnqueuePayload(ctx context.Context, payload []byte, queue ...string) (Receipt, error) {
	if c.queue == nil {
		return Receipt{}, errors.New("client: it was made without a Redis connection, and only accepts")
	}
	receipt := c.receipt(queue)
	var headers map[string]string
	if in := c.traceparent(ctx); in != "" {
		headers = map[string]string{TraceparentHeader: in}
	}
	_, err := c.queue.EnqueueContext(ctx, asynq.NewTaskWithHeaders(TaskType, payload, headers),
		asynq.TaskID(receipt.JobID),
		asynq.Queue(receipt.Queue),
		asynq.Retention(max(c.options.Retention, 0)),
		// The worker counts the failures itself, so that it can record a failed job before it gives up; asynq's own
		// limit would also count attempts that failed through no fault of the job.
		asynq.MaxRetry(math.MaxInt32),
	)
	// The id is new. If it is taken, this call's command was sent twice because its first reply was lost.
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return Receipt{}, fmt.Errorf("enqueue into %s: %w", receipt.Queue, err)
	}
	return receipt, nil
}

// aTraceparent is what W3C Trace Context allows in its version 0.
var aTraceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceparent returns which span a job belongs to. A text that can't be one is no reason to refuse the job.
func (c *Client) traceparent(ctx context.Context) string {
	if c.options.Traceparent == nil {
		return ""
	}
	if in := c.options.Traceparent(ctx); aTraceparent.MatchString(in) {
		return in
	}
	return ""
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
