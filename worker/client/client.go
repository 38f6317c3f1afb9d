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
// or, if the service shares neither with invoicer, by its HTTP API, with retries that are safe:
//
//	h, err := client.OverHTTP("https://invoicer.example", token, client.HTTPOptions{})
//	…
//	end, err := h.Invoice(ctx, &invoice.Job{…})
//
// In a transaction of pgx, tx is Pgx(tx). What became of a job is told by [Client.Wait], and how a transaction stands by
// [Client.Lookup].
//
// Asking again for the same transaction is safe, from this service or another: there will be one invoice.
package client

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

// TaskType is the asynq task type of a job; the task's payload is the job as JSON.
const TaskType = "invoice:generate"

// JobIDHeader is the header in which a task from the ledger names its job; the task's own id names one dispatch of
// the job. A task without the header is a job under the task's id.
const JobIDHeader = "invoicer-job-id"

// InstallationHeader is the header in which a task from the ledger names its installation, by its database's
// identity. Other installations don't work on the task.
const InstallationHeader = "invoicer-installation"

// ProducerHeader is the header in which a task from the ledger names the job's producer, if its payload names none, but the role of the
// database that asked is bound to one.
const ProducerHeader = "invoicer-producer"

// TraceparentHeader is the header in which a task says which span of a trace it continues, in the form of W3C Trace Context.
const TraceparentHeader = "traceparent"

// Options of a client. Zero values mean the defaults.
type Options struct {
	// Queue is used if a call doesn't name another queue. Default: default.
	Queue string
	// NewQueue lets Accept and AcceptMany take a queue that no worker has ever consumed, and makes it known. Default: such a queue is
	// refused, since a job waits there for ever if its name is mistyped.
	NewQueue bool
	// Producer is set on jobs that state none. Default: none.
	Producer string
	// Issuer is set on jobs that state none, and is the one whose transactions [Client.Lookup] looks for. Default: the one without a name.
	Issuer string
	// Schema is the ledger's schema, for all calls that take a [Querier]. Default: invoicer.
	Schema string
	// JobID returns the id, a UUID, under which a job is asked for by Accept, AcceptMany and Enqueue. The job that it is given
	// has its Producer and Issuer set. If it returns the same id whenever it is given the same job, a repeat is
	// [Receipt].Status Known and doesn't become a job of its own, even if the job has failed; if it returns one id for two jobs
	// that differ, the second is refused. For example:
	//
	//	func(j *invoice.Job) string {
	//		return uuid.NewSHA1(uuid.NameSpaceOID, []byte("checkout "+j.Issuer+" "+j.TransactionID)).String()
	//	}
	//
	// Default: each job gets a new id, and a repeat is a job of its own that ends as a duplicate.
	JobID func(*invoice.Job) string
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
	// Profile has Accept, AcceptMany and Enqueue refuse jobs that lack what it asks for, such as xrechnung, before anything is sent. What the
	// issuer's facts say of a seller that a job doesn't state isn't known here, so it counts as being there. Whatever this is, workers judge
	// by the setting profile of the database. Default: none.
	Profile string
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
	queue   *asynq.Client    // nil without Redis
	tasks   *asynq.Inspector // likewise
	options Options
}

// New returns a client that uses an open Redis connection, which the caller has to close. Pass nil if you only call
// Accept, AcceptMany, Lookup and Wait.
func New(rdb redis.UniversalClient, o Options) (*Client, error) {
	if o.Schema == "" {
		o.Schema = "invoicer"
	}
	if strings.ContainsAny(o.Schema, "\"\x00") {
		return nil, fmt.Errorf("client: schema %q is no plain name", o.Schema)
	}
	if o.Issuer != "" && !invoice.IsIssuer(o.Issuer) {
		return nil, fmt.Errorf("client: issuer %q: must be 1 to 32 characters of A-Z 0-9 -", o.Issuer)
	}
	if o.Queue == "" {
		o.Queue = "default"
	}
	if o.Retention == 0 {
		o.Retention = 10 * time.Minute
	}
	if o.Profile == "" {
		o.Profile = invoice.NoProfile
	}
	if _, err := document.ParseProfile(o.Profile); err != nil {
		return nil, fmt.Errorf("client: profile %w", err)
	}
	c := &Client{options: o}
	if rdb != nil {
		c.queue = asynq.NewClientFromRedisClient(rdb)
		c.tasks = asynq.NewInspectorFromRedisClient(rdb)
	}
	return c, nil
}

// An ask is a job as it is sent.
type ask struct {
	id, issuer, transactionID string
	payload                   []byte
	repeatable                bool // the id is the caller's, so that an earlier call may have used it
}

func (c *Client) ask(job *invoice.Job) (ask, error) {
	if job == nil {
		return ask{}, &invoice.InvalidError{Problems: []invoice.Problem{{Field: "payload", Message: "is required: the job is nil"}}}
	}
	named := *job
	named.Producer = cmp.Or(job.Producer, c.options.Producer)
	named.Issuer = cmp.Or(job.Issuer, c.options.Issuer)
	// What Encode refuses as too fine is what a clock of Go gives.
	named.IssuedAt = job.IssuedAt.Truncate(time.Microsecond)
	payload, err := named.Encode()
	if err != nil {
		return ask{}, err
	}
	if err := c.judge(&named); err != nil {
		return ask{}, err
	}
	a := ask{id: newID(), issuer: named.Issuer, transactionID: named.TransactionID, payload: payload}
	if c.options.JobID != nil {
		id, err := uuid.Parse(c.options.JobID(&named))
		if err != nil {
			return ask{}, fmt.Errorf("client: Options.JobID of transaction %s must return a UUID: %w", job.TransactionID, err)
		}
		a.id, a.repeatable = id.String(), true
	}
	return a, nil
}

// judge returns an [*invoice.InvalidError] if the job lacks what the client's profile asks for.
func (c *Client) judge(job *invoice.Job) error {
	if c.options.Profile == invoice.NoProfile {
		return nil
	}
	lacks, err := document.Judge(job, document.Facts{}, document.Profile(c.options.Profile))
	if err != nil {
		return err
	}
	if job.Issuer != "" && (job.Terms == nil || job.Terms.Seller == nil) {
		lacks = slices.DeleteFunc(lacks, func(l document.Lack) bool { return strings.HasPrefix(l.Field, "seller.") })
	}
	if len(lacks) == 0 {
		return nil
	}
	return invoice.Lacking(job, c.options.Profile, lacks)
}

func (c *Client) queueOf(queue []string) string {
	if len(queue) > 0 && queue[0] != "" {
		return queue[0]
	}
	return c.options.Queue
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
