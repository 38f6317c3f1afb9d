// Package autopipeline lets commands of concurrent callers share round trips to Redis.
//
// Commands that arrive while a batch is on its way share the next batch, and with it the system calls and wake-ups of
// one round trip. No command waits for others: one that arrives alone is sent at once, by itself, on its caller's
// goroutine. If Redis is far away, several batches may be on their way: the longer a round trip takes, the more. A
// batch that is overdue doesn't hold up other commands.
//
// go-redis has an AutoPipeline of its own (v9.23, marked as experimental), which is as fast and also serves clusters.
// It batches all commands, sends one batch at a time or a configured number, and holds up all commands while a batch
// hangs. This package batches only the two commands that make up most of a job, adapts the number of batches to the
// round-trip time, and sends further batches while one is overdue.
package autopipeline

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/owned"
)

const (
	// mostAtOnce is the largest number of commands in a batch: Redis serves no other client meanwhile.
	mostAtOnce = 128
	// largest is the most bytes of arguments that a batched command may have. A larger command, such as asynq's list
	// of tasks in hand, is sent by itself, as it would hold up all others.
	largest = 64 << 10
	// batchTimeout bounds a batch if the client's timeouts don't: one connection that hangs must not stop all callers.
	batchTimeout = 30 * time.Second
	// overdue is the time after which a batch no longer holds up later ones: its connection is probably dead, which
	// is noticed only after the client's timeout.
	overdue = 100 * time.Millisecond
	// closeTimeout bounds the waits of Close.
	closeTimeout = 2 * time.Second
)

// A Client wraps another client, and is closed in its place. EvalSha and HSet, which are most of a queue worker's
// commands, share round trips; all other commands go to the wrapped client unchanged. It is safe for concurrent use.
//
// Values and errors are those of the wrapped client. A command's context bounds it: if the context ends before the
// command's batch is sent, the command isn't sent. A command in a batch returns the context's error as soon as the
// context ends, and may be executed all the same.
//
// As with any pipeline, go-redis sends the whole batch again after a network error, or if the reply to its first
// command asks for another try (READONLY, LOADING, TRYAGAIN …). So a command can be executed twice, as can a command
// that is sent alone and whose reply is lost.
type Client struct {
	redis.UniversalClient

	mu       sync.Mutex
	waiting  []*member
	flying   int // batches on their way
	overdue  int // of these, the overdue ones
	distance distance
	late     time.Duration // overdue

	serving owned.Goroutines
}

// New returns a Client that wraps rdb, and whose Close closes rdb. Only commands of the same Client share round
// trips. For a cluster New returns rdb itself: in a shared batch, one node that is away would hold up the commands
// for the others.
func New(rdb redis.UniversalClient) redis.UniversalClient {
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		return rdb
	}
	return &Client{UniversalClient: rdb, late: overdue}
}

// EvalSha is the wrapped client's EvalSha; calls share round trips.
func (c *Client) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	line := make([]any, 0, 3+len(keys)+len(args))
	line = append(line, "evalsha", sha1, len(keys))
	for _, key := range keys {
		line = append(line, key)
	}
	line, ok := appendOwn(line, args)
	if !ok {
		return c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	}
	cmd := redis.NewCmd(ctx, line...)
	if len(keys) > 0 {
		cmd.SetFirstKeyPos(3)
	}
	if err := c.do(ctx, cmd); err != nil {
		cmd = redis.NewCmd(ctx, line...)
		cmd.SetErr(err)
	}
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd.SetErr(redis.ErrNoScript) // as go-redis does outside a pipeline
	}
	return cmd
}

// HSet is the wrapped client's HSet; calls share round trips.
func (c *Client) HSet(ctx context.Context, key string, values ...any) *redis.IntCmd {
	line, ok := appendOwn([]any{"hset", key}, values)
	if !ok {
		return c.UniversalClient.HSet(ctx, key, values...)
	}
	cmd := redis.NewIntCmd(ctx, line...)
	if err := c.do(ctx, cmd); err != nil {
		cmd = redis.NewIntCmd(ctx, line...)
		cmd.SetErr(err)
	}
	return cmd
}

// appendOwn appends copies of the arguments, which the caller can't change any more. It returns false for arguments
// that go-redis may fail to encode, which would break the whole batch, for those that go-redis spreads over several
// arguments, and for arguments that are too large.
func appendOwn(line, args []any) ([]any, bool) {
	size := 0
	for _, arg := range args {
		switch value := arg.(type) {
		case int, int64:
			line = append(line, value)
		case string:
			size += len(value)
			line = append(line, value)
		case []byte:
			size += len(value)
			line = append(line, value)
		default:
			return nil, false
		}
		if size > largest {
			return nil, false
		}
	}
	for i, arg := range line {
		if value, ok := arg.([]byte); ok {
			line[i] = bytes.Clone(value)
		}
	}
	return line, true
}

// A member is a command that waits for its batch or for its reply.
type member struct {
	cmd  redis.Cmder
	ctx  context.Context //nolint:containedctx // the caller may be gone before the batch is sent
	done chan struct{}
}

// do returns nil once the command has its reply, a value or an error. If do itself returns an error, the context's,
// the command may still be under way and must not be touched.
func (c *Client) do(ctx context.Context, cmd redis.Cmder) error {
	c.mu.Lock()
	most := c.most()
	if c.flying == 0 && most == 1 {
		c.flying = 1
		c.mu.Unlock()
		c.alone(ctx, cmd)
		return nil
	}
	m := &member{cmd: cmd, ctx: ctx, done: make(chan struct{})}
	c.waiting = append(c.waiting, m)
	if c.flying < most {
		c.flying++
		c.begin(context.WithoutCancel(ctx))
	}
	c.mu.Unlock()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// alone sends a command that arrived while no batch was on its way. Commands that arrive meanwhile are sent by
// another goroutine, so that the caller can go on.
func (c *Client) alone(ctx context.Context, cmd redis.Cmder) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.waiting) > 0 {
			c.begin(context.WithoutCancel(ctx))
		} else {
			c.flying--
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	c.timed(ctx, func() { _ = c.Process(ctx, cmd) }) // the command keeps the error
}

// shared is the context of batches: it has no caller's values, such as a span, since a batch belongs to several callers.
type shared struct{ context.Context } //nolint:containedctx // it is a context

func (shared) Value(any) any { return nil }

// begin starts a goroutine of the Client that sends the waiting commands. It may outlive the callers.
func (c *Client) begin(ctx context.Context) {
	c.serving.Go(func() { c.serve(shared{ctx}) }) //nolint:contextcheck // a batch belongs to several callers
}

// Close waits for the batches that are on their way, for two seconds at most, and then closes the wrapped client.
// That aborts the remaining batches, for which Close waits as long again.
func (c *Client) Close() error {
	ended := c.serving.Wait(closeTimeout)
	err := c.UniversalClient.Close()
	if !ended && !c.serving.Wait(closeTimeout) {
		err = errors.Join(err, errors.New("autopipeline: closed while a batch is under way"))
	}
	return err
}

// serve sends one batch after the other until no command waits. Its context never ends, since a batch belongs to
// several callers.
func (c *Client) serve(ctx context.Context) {
	for {
		runtime.Gosched() // callers that have their replies may have further commands
		members := c.next()
		if len(members) == 0 {
			return
		}
		c.timed(ctx, func() { c.send(ctx, members) })
		for _, m := range members {
			close(m.done)
		}
	}
}

// next removes and returns the commands of the next batch, in the order of their arrival. It returns none if none
// waits.
func (c *Client) next() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members []*member
	taken := 0
	for _, m := range c.waiting {
		if len(members) == mostAtOnce {
			break
		}
		taken++
		if m.ctx.Err() == nil {
			members = append(members, m)
		}
	}
	c.waiting = slices.Delete(c.waiting, 0, taken)
	if len(members) == 0 {
		c.flying--
	}
	return members
}

// send sends a batch, and returns once each command has its reply, a value or an error.
func (c *Client) send(ctx context.Context, members []*member) { //nolint:contextcheck // a single command has its own caller's
	if len(members) == 1 {
		ctx = context.WithoutCancel(members[0].ctx) // with the values of this command's caller
	}
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	if len(members) == 1 {
		_ = c.Process(ctx, members[0].cmd) // the command keeps the error
		return
	}
	pipeline := c.Pipeline()
	for _, m := range members {
		_ = pipeline.Process(ctx, m.cmd) // only queues it
	}
	_, _ = pipeline.Exec(ctx) // each command keeps its own error
}

// most returns the number of batches that may be on their way.
func (c *Client) most() int { return min(c.distance.batches()+c.overdue, mostBatches) }

// timed measures a round trip. Once it is overdue, another batch may be sent.
func (c *Client) timed(ctx context.Context, trip func()) {
	begun, isOver, isOverdue := time.Now(), false, false
	timer := time.AfterFunc(c.late, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if isOver {
			return
		}
		isOverdue = true
		c.overdue++
		if len(c.waiting) > 0 && c.flying < c.most() {
			c.flying++
			c.begin(context.WithoutCancel(ctx))
		}
	})
	defer func() { // also if a hook panics
		timer.Stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		if isOver = true; isOverdue {
			c.overdue--
		}
		c.distance.add(time.Since(begun))
	}()
	trip()
}
