package queue

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// clockInterval is how often each server is asked for the time.
	clockInterval = time.Second
	// clockTimeout bounds one question.
	clockTimeout = 3 * time.Second
	// mostAtOnce is how many jobs are put right in one round trip.
	mostAtOnce = 1000
	// late is how much later than it could be a time is before it counts as wrong.
	late = 5 * time.Second
)

// clocks follows the servers' clocks. It tells when two clocks come apart, and puts right what was written by a wrong one.
type clocks struct {
	rdb      redis.UniversalClient
	database func(context.Context) (time.Time, error) // may be nil
	worker   string
	log      *slog.Logger
	local    localClock
	tell     *redis.Script // tellTime

	queues   map[string]*serverClock // by the prefix of their keys: in a cluster, queues are on several servers
	postgres *serverClock

	mu      sync.Mutex
	apart   [pairs]bool // as told
	refused bool        // that Redis doesn't tell the time was told

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// The pairs of clocks that are compared.
const (
	workerAndRedis = iota
	workerAndPostgres
	redisAndPostgres
	pairs
)

func newClocks(rdb redis.UniversalClient, o ConsumerOptions) *clocks {
	local := newLocalClock()
	c := &clocks{
		rdb: rdb, database: o.DatabaseTime, worker: o.Worker, log: o.Logger, local: local, tell: redis.NewScript(tellTime),
		queues: make(map[string]*serverClock), postgres: &serverClock{local: local},
		cancel: func() {},
	}
	for queue := range o.Queues {
		c.queues[KeysOf(queue).prefix] = &serverClock{local: local}
	}
	return c
}

// correct returns a view of rdb in which asynq's times are those of Redis.
func (c *clocks) correct(rdb redis.UniversalClient) *serverTime {
	first := slices.Min(slices.Collect(maps.Keys(c.queues)))
	return &serverTime{UniversalClient: rdb, queues: c.queues, any: c.queues[first], commands: asynqCommands()}
}

// open reads the clocks of Redis, or tries to, and goes on doing so until close. Whether ctx ends makes no difference.
func (c *clocks) open(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for prefix, clock := range c.queues {
		c.askRedis(ctx, prefix, clock)
		c.repeat(ctx, func() { c.askRedis(ctx, prefix, clock) })
	}
	if c.database != nil {
		c.repeat(ctx, func() { c.askPostgres(ctx) })
	}
}

func (c *clocks) repeat(ctx context.Context, ask func()) {
	c.running.Go(func() {
		for pause(ctx, clockInterval) {
			ask()
			c.compare(ctx)
		}
	})
}

// close returns when nothing is asked for any more.
func (c *clocks) close() {
	c.cancel()
	c.running.Wait()
}

func (c *clocks) askPostgres(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	_, _ = c.postgres.read(func() (time.Time, error) { return c.database(ctx) }) // of an outage, others tell
}

// askRedis reads the clock of the server that has the queue, and puts times right that the queue can't have been given by it.
func (c *clocks) askRedis(ctx context.Context, prefix string, clock *serverClock) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	set, err := clock.read(func() (time.Time, error) { return c.putRight(ctx, prefix, longestDelay+late) })
	if err == nil && set < 0 {
		// What was put back before Redis's clock was set back would wait for that much longer: it comes back now.
		_, err = c.putRight(ctx, prefix, 0)
	}
	var refusal redis.Error
	if !errors.As(err, &refusal) || !strings.HasPrefix(refusal.Error(), "NOPERM") && !strings.HasPrefix(refusal.Error(), "ERR") {
		return // of an outage, others tell
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.refused {
		c.refused = true
		c.log.WarnContext(ctx, "Redis doesn't tell the time: delays follow this machine's clock; allow TIME", "worker", c.worker, "error", err)
	}
}

// putRight tells Redis's time. A job that waits for another try longer than any can is due, and a lease that lasts longer
// than any can is cut: a clock that was wrong has written them.
func (c *clocks) putRight(ctx context.Context, prefix string, longestWait time.Duration) (time.Time, error) {
	for {
		answer, err := c.tell.Run(ctx, c.rdb, []string{prefix + "retry", prefix + "lease"},
			int64(longestWait/time.Second), int64((leaseDuration+late)/time.Second), int64(leaseDuration/time.Second), mostAtOnce).Int64Slice()
		if err != nil {
			return time.Time{}, err
		}
		if len(answer) != 3 {
			return time.Time{}, errors.New("redis tells no time")
		}
		if answer[2] < mostAtOnce {
			return time.Unix(answer[0], answer[1]*int64(time.Microsecond)), nil
		}
	}
}

// tellTime gets how long a job may wait for another try and how long a lease may last, what a longer lease is cut to, and
// how many of each to put right at most. It tells the time also where it can't write, and where a key is of another type.
const tellTime = `
local now = redis.call("TIME")
local most = 0
local function cut(key, longest, to)
	local late = redis.pcall("ZRANGEBYSCORE", key, string.format("(%d", now[1] + longest), "+inf", "LIMIT", 0, ARGV[4])
	if late.err then
		return
	end
	local done = 0
	for _, id in ipairs(late) do
		if redis.pcall("ZADD", key, string.format("%d", now[1] + to), id) == 0 then
			done = done + 1
		end
	end
	most = math.max(most, done)
end
cut(KEYS[1], ARGV[1], 0)
cut(KEYS[2], ARGV[2], ARGV[3])
return {tonumber(now[1]), tonumber(now[2]), most}`

// compare tells when clocks have come apart, and when they are together again.
func (c *clocks) compare(ctx context.Context) {
	here := func() (time.Duration, time.Duration) { return 0, 0 }
	c.mu.Lock()
	defer c.mu.Unlock()
	c.consider(ctx, workerAndRedis, "worker", "redis", c.farthest(here))
	if !c.postgres.isKnown() {
		return
	}
	c.consider(ctx, workerAndPostgres, "worker", "postgres", c.postgres.ahead)
	c.consider(ctx, redisAndPostgres, "postgres", "redis", c.farthest(c.postgres.ahead))
}

// A difference is by how much a clock is ahead of another one, and how exact that is.
type difference func() (ahead, exact time.Duration)

// farthest is by how much that one of Redis's clocks is ahead of the other one that differs most from it.
func (c *clocks) farthest(from difference) difference {
	var ahead, exact time.Duration
	other, otherExact := from()
	for _, clock := range c.queues {
		if d, e := clock.ahead(); clock.isKnown() && (d-other).Abs() > ahead.Abs() {
			ahead, exact = d-other, e+otherExact
		}
	}
	return func() (time.Duration, time.Duration) { return ahead, exact }
}

// consider tells of two clocks, the second of which is ahead by that much.
func (c *clocks) consider(ctx context.Context, pair int, first, second string, by difference) {
	ahead, exact := by()
	switch {
	case !c.apart[pair] && ahead.Abs()-exact > tolerance:
		c.apart[pair] = true
		c.log.WarnContext(ctx, "two clocks are apart: delays follow Redis's, so nothing waits longer or ends otherwise; set the one that is wrong", c.figures(first, second, ahead)...)
	case c.apart[pair] && ahead.Abs()+exact < tolerance/2:
		c.apart[pair] = false
		c.log.InfoContext(ctx, "two clocks are together again", c.figures(first, second, ahead)...)
	}
}

func (c *clocks) figures(behind, ahead string, by time.Duration) []any {
	machine, err := os.Hostname()
	if err != nil {
		machine = "unknown"
	}
	if by < 0 {
		behind, ahead = ahead, behind
	}
	return []any{
		"worker", c.worker, "machine", machine, "behind", behind, "ahead", ahead, "by", by.Abs().Round(time.Millisecond).String(),
		"worker_time", c.local.now().UTC().Format(time.RFC3339),
	}
}
