// Package autopipeline lets commands of concurrent callers share round trips to Redis.
//
// What arrives while a batch is on its way goes together in the next one, so that the system calls and wake-ups of a round
// trip are paid for once. Nothing waits for company: a command that comes alone is sent at once, by itself, on its caller's
// goroutine. Where Redis is far away, several batches may be on their way: the more, the longer a round trip takes. One that
// is overdue holds up nobody else.
//
// go-redis has an AutoPipeline of its own (v9.23, marked as experimental), which is as fast and also serves clusters. It
// takes every command, sends one batch at a time or a number that has to be set, and holds all commands up while a batch
// hangs. Here only the two commands go together that jobs consist of, the number of batches follows the distance, and a batch
// that is overdue is overtaken.
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
	// mostAtOnce is how many commands go in one batch: Redis serves nobody else meanwhile.
	mostAtOnce = 128
	// largest is how many bytes of arguments a command may have: a larger one, such as asynq's list of what is in hand,
	// goes by itself, as it would hold up all others.
	largest = 64 << 10
	// patience bounds a batch where the client's timeouts don't: one connection that hangs must not stop everybody.
	patience = 30 * time.Second
	// overdue is when a batch no longer holds up those who come after it: most likely its connection is dead, which takes
	// the client's timeout to notice.
	overdue = 100 * time.Millisecond
	// closeTimeout bounds the waits of Close.
	closeTimeout = 2 * time.Second
)

// A Client is a view of another client, and is closed instead of it. EvalSha and HSet, which are most of what a
// queue's worker asks for, share round trips; everything else goes to the other client as it is. Any number of
// goroutines may use it.
//
// Values and errors are those of the other client, and a command's context bounds it: one that has ended before the
// command's turn keeps it from being sent. A command that shares its round trip returns as soon as its context ends, with
// that context's error, and may be carried out all the same.
//
// As with any pipeline, go-redis sends all of it again after a network error, or when the reply to its first command is
// one that asks for another try (READONLY, LOADING, TRYAGAIN …). So a command can be carried out twice, as one can whose
// reply is lost.
type Client struct {
	redis.UniversalClient

	mu       sync.Mutex
	waiting  []*member
	flying   int // batches
	overdue  int // of these
	distance distance
	late     time.Duration // overdue

	serving owned.Goroutines
}

// New returns a view of rdb, whose Close closes rdb. Only commands that go through the same view share round trips. On a cluster they don't, and
// rdb itself is returned: one node that is away would hold up what is on the others.
func New(rdb redis.UniversalClient) redis.UniversalClient {
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		return rdb
	}
	return &Client{UniversalClient: rdb, late: overdue}
}

// EvalSha is as that of the other client.
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

// HSet is as that of the other client.
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

// appendOwn appends copies of the arguments that nobody can change any more. It refuses what go-redis may fail to encode,
// which would break everybody's pipeline, what it spreads over several arguments, and what is too large.
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

// A member is a command that waits for its turn, or for its reply.
type member struct {
	cmd  redis.Cmder
	ctx  context.Context //nolint:containedctx // who asks may be gone before its turn comes
	done chan struct{}
}

// do returns once the command has its reply, value or error. If it returns an error itself, which is that of the
// context, the command may still be under way, and is nobody's to touch.
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

// alone sends a command that found nothing under way. Its goroutine doesn't serve those who came meanwhile: it has its
// own work to go on with.
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.timed(ctx, func() { _ = c.Process(ctx, cmd) }) // the command has the error
}

// begin has the batches of those who wait sent on a goroutine of the view's own: it may outlive all who ask.
func (c *Client) begin(ctx context.Context) {
	c.serving.Go(func() { c.serve(ctx) })
}

// Close closes the other client too. It waits for the batches that are under way, which have askers or had them, for two
// seconds at most. Closing breaks those off that are left then, and it waits for that as long again.
func (c *Client) Close() error {
	ended := c.serving.Wait(closeTimeout)
	err := c.UniversalClient.Close()
	if !ended && !c.serving.Wait(closeTimeout) {
		err = errors.Join(err, errors.New("autopipeline: closed while a batch is under way"))
	}
	return err
}

// serve sends one batch after the other until nobody waits. Its context has no end: a batch is nobody's alone.
func (c *Client) serve(ctx context.Context) {
	for {
		runtime.Gosched() // those who have their replies may have more to ask
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

// next takes those whose turn has come, in the order of their arrival; none, when nobody waits.
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

// send returns once each member's command has its reply, value or error.
func (c *Client) send(ctx context.Context, members []*member) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(members) == 1 {
		_ = c.Process(ctx, members[0].cmd) // the command has the error
		return
	}
	pipeline := c.Pipeline()
	for _, m := range members {
		_ = pipeline.Process(ctx, m.cmd) // only queues it
	}
	_, _ = pipeline.Exec(ctx) // each command has its own error
}

// most is how many batches may be on their way.
func (c *Client) most() int { return min(c.distance.batches()+c.overdue, mostBatches) }

// timed measures a round trip, and lets those who wait go ahead of it once it is overdue.
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
	defer func() { // also when a hook panics
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
