package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/fault"
	"invoicer/internal/tracing"
	"invoicer/worker/queue"
)

// Options of a worker. What has no default must be set; the configuration's defaults are those of the program.
type Options struct {
	// Name identifies this worker in locks, records and logs. It must be unique.
	Name string
	// Concurrency is the number of jobs that are worked on at once, at least 1.
	Concurrency int
	// Queues are the queues to consume, with their weights, each at least 1.
	Queues map[string]int
	// JobTimeout bounds one attempt. It must be shorter than the lock's expiry.
	JobTimeout time.Duration
	// ShutdownTimeout is how long a draining worker waits for the jobs in hand. It must be longer than JobTimeout.
	ShutdownTimeout time.Duration
	// MaxRetry is the largest number of failures after which a job is still tried again. Outages and contention don't
	// count. 0: the first failure is final.
	MaxRetry int
	// LockWait is how long an attempt that found its lock held waits for the holder's commit. 0: it
	// doesn't wait.
	LockWait time.Duration
	// CacheTTL returns how long Redis is to remember an invoice that is made now, a millisecond or more. It must return at once.
	CacheTTL func() time.Duration
	// Installation is the identity of the database. A task that names another installation is removed from the queue
	// without being worked on: the ledger of that installation has its job. Default: tasks of every installation are
	// worked on.
	Installation string
	// Claimant is the name under which this process claims its queues in Redis. Default: Name.
	Claimant string
	// Owns reports whether this installation owns the queues now. While it doesn't, no task is fetched. Owns must
	// return at once. Default: the queues are always owned.
	Owns func() bool
	// TakesIdentifiers reports whether no worker of the release before lives, so that jobs of version 1 are taken which it refuses: see
	// [invoice.Read]. Default: it is so.
	TakesIdentifiers func(context.Context) bool
	// Numbers remembers outside of the database which numbers were given out. Default: nobody does.
	Numbers Numbers
	// LedgerOnly refuses jobs that were enqueued directly: they are recorded as invalid, and not invoiced.
	LedgerOnly bool
	// Logger gets one line for each ended job. Default: no lines.
	Logger *slog.Logger
	// LogProblems leaves out the lines of jobs that ended as created or duplicate, unless their task was altered. Default: each
	// ended job has its line.
	LogProblems bool
	// Tracer has a span for each attempt, in the trace that its task carries, and for its steps. Default: none.
	Tracer *tracing.Tracer
	// Observe is called for each event of a job, from many goroutines at once. It must return soon. Default: it isn't
	// called.
	Observe func(Event)
	// DatabaseTime returns the time by the database's clock, for a comparison with the other clocks. Default: the
	// clocks aren't compared.
	DatabaseTime func(context.Context) (time.Time, error)
	// Fault is called at the fault points on a job's way, for tests. Default: the points do nothing.
	Fault fault.Hook
}

// complete fills in the defaults. Its error names every problem.
func (o *Options) complete() error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TakesIdentifiers == nil {
		o.TakesIdentifiers = func(context.Context) bool { return true }
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Owns == nil {
		o.Owns = func() bool { return true }
	}
	var problems []error
	if o.Name == "" {
		problems = append(problems, errors.New("worker: Name is missing"))
	}
	if o.Concurrency < 1 {
		problems = append(problems, fmt.Errorf("worker: Concurrency %d is less than 1", o.Concurrency))
	}
	if o.JobTimeout <= 0 || o.MaxRetry < 0 || o.LockWait < 0 {
		problems = append(problems, fmt.Errorf("worker: JobTimeout %s must be positive, MaxRetry %d and LockWait %s not negative",
			o.JobTimeout, o.MaxRetry, o.LockWait))
	}
	if o.CacheTTL == nil {
		problems = append(problems, errors.New("worker: CacheTTL is missing"))
	}
	if o.ShutdownTimeout <= o.JobTimeout {
		problems = append(problems, fmt.Errorf("worker: ShutdownTimeout %s must be longer than JobTimeout %s", o.ShutdownTimeout, o.JobTimeout))
	}
	if len(o.Queues) == 0 {
		problems = append(problems, errors.New("worker: Queues are empty"))
	}
	for name, weight := range o.Queues {
		// asynq would drop such a queue silently, and its jobs would wait for ever.
		if !queue.IsName(name) || weight < 1 {
			problems = append(problems, fmt.Errorf("worker: queue %q with weight %d: %s, and its weight is at least 1", name, weight, queue.NameRule))
		}
	}
	return errors.Join(problems...)
}

// A Server consumes queues until it is shut down.
type Server struct {
	consumer *queue.Consumer
	handler  *Handler
	options  Options
	drain    sync.Once
	stop     sync.Once
}

// NewServer returns a server that feeds the handler, with the handler's options. The caller has to close the Redis
// connection after [Server.Shutdown]. The connection's pool needs one connection for each queue in addition to those
// for the jobs.
func NewServer(rdb redis.UniversalClient, h *Handler) (*Server, error) {
	if rdb == nil || h == nil {
		return nil, errors.New("worker: a Redis connection and a handler are needed")
	}
	o := h.options
	consumer, err := queue.NewConsumer(rdb, queue.ConsumerOptions{
		Worker:          o.Name,
		Concurrency:     o.Concurrency,
		Queues:          o.Queues,
		Free:            h.free,
		Owns:            o.Owns,
		Installation:    o.Installation,
		Claimant:        o.Claimant,
		ShutdownTimeout: o.ShutdownTimeout,
		RetryDelay:      retryDelay,
		IsFailure:       isFailure,
		HandleError:     h.handleError,
		Outage:          func(err error) { o.Observe(Event{What: Waits, Err: redisError(err)}) },
		DatabaseTime:    o.DatabaseTime,
		Logger:          o.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &Server{consumer: consumer, handler: h, options: o}, nil
}

// Start begins to consume the queues and returns at once. It returns an error if Redis doesn't answer.
func (s *Server) Start() error {
	if err := s.consumer.Start(s.handler); err != nil {
		return err
	}
	s.options.Logger.Info("worker started", "worker", s.options.Name, "concurrency", s.options.Concurrency, "queues", queues(s.options.Queues))
	return nil
}

// Shutdown stops taking jobs, waits for the jobs in hand, and returns once no handler runs any more. By then a job
// whose time ran out is back in its queue, and its goroutine has ended.
func (s *Server) Shutdown() {
	s.drain.Do(func() { close(s.handler.draining) })
	s.consumer.Shutdown()
	s.stop.Do(func() { close(s.handler.stopped) })
	s.handler.running.Wait()
	s.options.Logger.Info("worker stopped", "worker", s.options.Name)
}

func queues(weights map[string]int) string {
	var list []string
	for name, weight := range weights {
		list = append(list, fmt.Sprintf("%s=%d", name, weight))
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}
