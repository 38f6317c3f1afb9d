package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// ConsumerOptions are the options of a [Consumer]. An option without a default is required.
type ConsumerOptions struct {
	// Worker is this worker's unique name, in tasks and logs.
	Worker string
	// Concurrency is how many tasks are worked on at once.
	Concurrency int
	// Queues are the queues to consume, with their weights.
	Queues map[string]int
	// Free returns about how many more tasks could be begun now.
	Free func() int
	// Owns reports whether this worker may consume the queues now; while it may not, no task is fetched. It must return at
	// once. Default: it always may.
	Owns func() bool
	// Installation is the [Installation.ID] of this worker's database, and Claimant the name that its [Keeper] has, Worker by default:
	// nothing is fetched from a queue that Redis says is another's. Default: whose a queue is isn't looked at with each fetch.
	Installation, Claimant string
	// ShutdownTimeout is how long the tasks in hand may take when the consumer is shut down. Default: asynq's, 8s.
	ShutdownTimeout time.Duration
	// RetryDelay returns after which delay a failed task is tried again. Default: asynq's.
	RetryDelay asynq.RetryDelayFunc
	// IsFailure reports whether an error uses up a retry. Default: all do.
	IsFailure func(error) bool
	// HandleError is called for each failed task. Default: nothing is called.
	HandleError asynq.ErrorHandlerFunc
	// Outage is called whenever asynq logs that Redis can't be reached or refuses commands. Default: nothing is called.
	Outage func(error)
	// DatabaseTime returns the time of the database's clock, which is compared with the other clocks. Default: it isn't.
	DatabaseTime func(context.Context) (time.Time, error)
	// Logger gets the messages of asynq, the gate and the clocks. Default: nothing is logged.
	Logger *slog.Logger
}

// complete fills in the defaults and reports what is missing.
func (o *ConsumerOptions) complete() error {
	if o.Worker == "" || o.Concurrency < 1 || len(o.Queues) == 0 || o.Free == nil {
		return errors.New("queue: a consumer needs a Worker, a Concurrency, Queues and Free")
	}
	for name := range o.Queues {
		if !IsName(name) {
			return fmt.Errorf("queue: %q: %s", name, NameRule)
		}
	}
	if o.Claimant == "" {
		o.Claimant = o.Worker
	}
	if o.Owns == nil {
		o.Owns = func() bool { return true }
	}
	if o.Outage == nil {
		o.Outage = func(error) {}
	}
	if o.HandleError == nil {
		o.HandleError = func(context.Context, *asynq.Task, error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

const (
	// taskCheckInterval is how long asynq sleeps between fetches that found nothing: the fetch gate waits instead.
	taskCheckInterval = 5 * time.Millisecond
	// delayedCheckInterval is how often asynq looks for jobs whose delay is over.
	delayedCheckInterval = 500 * time.Millisecond
	// drainTimeout bounds how long a worker that stops waits for asynq to begin the jobs that were fetched.
	drainTimeout = time.Second
	// putBackTimeout bounds how long it then takes to put back those that asynq didn't begin.
	putBackTimeout = 3 * time.Second
)

// A Consumer is asynq's server behind a fetch gate, and on Redis's time.
type Consumer struct {
	asynq   *asynq.Server
	gate    *fetchGate
	clocks  *clocks
	options ConsumerOptions
}

// NewConsumer returns a consumer. The caller closes the Redis client after [Consumer.Shutdown]. Its pool needs one
// connection for each queue beside those of the tasks.
func NewConsumer(rdb redis.UniversalClient, o ConsumerOptions) (*Consumer, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	gate, clocks := newFetchGate(rdb, o), newClocks(rdb, o)
	return &Consumer{
		options: o,
		gate:    gate,
		clocks:  clocks,
		asynq: asynq.NewServerFromRedisClient(clocks.correct(gate), asynq.Config{
			Concurrency:              o.Concurrency,
			Queues:                   o.Queues,
			ShutdownTimeout:          o.ShutdownTimeout,
			TaskCheckInterval:        taskCheckInterval,
			DelayedTaskCheckInterval: delayedCheckInterval,
			RetryDelayFunc:           o.RetryDelay,
			IsFailure:                o.IsFailure,
			ErrorHandler:             o.HandleError,
			Logger:                   asynqLogger{o.Logger, o.Outage},
			LogLevel:                 asynq.DebugLevel,
		}),
	}, nil
}

// Start begins to consume, and returns at once. It fails if Redis doesn't answer.
func (c *Consumer) Start(h asynq.Handler) error {
	if err := c.asynq.Ping(); err != nil {
		return err
	}
	c.clocks.open(context.Background())
	if err := c.asynq.Start(h); err != nil {
		c.clocks.close()
		return err
	}
	c.gate.open(context.Background())
	return nil
}

// Shutdown stops fetching, and waits until each active task is done or, after ShutdownTimeout, back in its queue. Nothing of
// the consumer runs when it returns, unless Redis has stopped answering.
func (c *Consumer) Shutdown() {
	c.gate.close() // asynq waits for its fetch loop
	select {
	case <-c.gate.drained: // asynq has all fetched tasks, and puts back those that it can't finish
	case <-time.After(drainTimeout): // all slots are taken
	}
	c.asynq.Shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), putBackTimeout)
	defer cancel()
	if err := c.gate.ahead.putBack(ctx); err != nil {
		c.options.Logger.Warn("fetched jobs can't be put back: they will be recovered like a dead worker's", "worker", c.options.Worker, "error", err)
	}
	if !c.gate.awaitWatchers() {
		c.options.Logger.Debug("a queue's watcher still waits for Redis's answer: it ends with its connection", "worker", c.options.Worker)
	}
	c.clocks.close()
}
