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
	// clockTimeout bounds one such query.
	clockTimeout = 3 * time.Second
	// mostAtOnce is how many jobs' times are corrected in one round trip.
	mostAtOnce = 1000
	// late is by how much a time may exceed the latest possible one before it counts as wrong.
	late = 5 * time.Second
)

// clocks follows the servers' clocks. It logs when two clocks differ, and corrects times that a wrong clock has written.
type clocks struct {
	rdb      redis.UniversalClient
	database func(context.Context) (time.Time, error) // may be nil
	worker   string
	log      *slog.Logger
	local    localClock
	script   *redis.Script // timeScript

	queues   map[string]*serverClock // by the prefix of their keys: in a cluster, queues are on several servers
	postgres *serverClock

	mu      sync.Mutex
	apart   [pairs]bool // the pairs of clocks that are logged as differing
	refused bool        // it was logged that Redis refuses TIME

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
		rdb: rdb, database: o.DatabaseTime, worker: o.Worker, log: o.Logger, local: local, script: redis.NewScript(timeScript),
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

// open tries to read Redis's clocks once, and then reads all clocks repeatedly until close, even after ctx ends.
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

// close stops the reading of clocks, and returns when it has stopped.
func (c *clocks) close() {
	c.cancel()
	c.running.Wait()
}

func (c *clocks) askPostgres(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	_, _ = c.postgres.read(func() (time.Time, error) { return c.database(ctx) }) // outages are logged elsewhere
}

// askRedis reads the clock of the server that has the queue, and corrects times in the queue that this clock can't have
// produced.
func (c *clocks) askRedis(ctx context.Context, prefix string, clock *serverClock) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	set, err := clock.read(func() (time.Time, error) { return c.putRight(ctx, prefix, longestDelay+late) })
	if err == nil && set < 0 {
		// Retries that were written before Redis's clock was set back would wait for that much longer: they are due now.
		_, err = c.putRight(ctx, prefix, 0)
	}
	var refusal redis.Error
	if !errors.As(err, &refusal) || !strings.HasPrefix(refusal.Error(), "NOPERM") && !strings.HasPrefix(refusal.Error(), "ERR") {
		return // outages are logged elsewhere
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.refused {
		c.refused = true
		c.log.WarnContext(ctx, "Redis refuses TIME: delays follow this machine's clock; allow TIME", "worker", c.worker, "error", err)
	}
}

// putRight returns Redis's time. A wrong clock has written a retry that waits longer than any retry can, or a lease that
// lasts longer than any lease can: such a retry becomes due, and such a lease is cut.
func (c *clocks) putRight(ctx context.Context, prefix string, longestWait time.Duration) (time.Time, error) {
	for {
		answer, err := c.script.Run(ctx, c.rdb, []string{prefix + "retry", prefix + "lease"},
			int64(longestWait/time.Second), int64((leaseDuration+late)/time.Second), int64(leaseDuration/time.Second), mostAtOnce).Int64Slice()
		if err != nil {
			return time.Time{}, err
		}
		if len(answer) != 3 {
			return time.Time{}, errors.New("redis returned no time")
		}
		if answer[2] < mostAtOnce {
			return time.Unix(answer[0], answer[1]*int64(time.Microsecond)), nil
		}
	}
}

// timeScript's arguments are how long a retry may wait and how long a lease may last, what a longer lease is cut to, and
// how many of each to correct at most. It returns the time even if it can't write, or if a key is of another type.
const timeScript = `
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

// compare logs when two clocks begin to differ, and when they agree again.
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

// A difference returns by how much a clock is ahead of another one, and the bound of that figure's error.
type difference func() (ahead, exact time.Duration)

// farthest returns the difference of that Redis clock which differs most from the given one.
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

// consider logs a change in whether two clocks agree; by is how far the second is ahead of the first.
func (c *clocks) consider(ctx context.Context, pair int, first, second string, by difference) {
	ahead, exact := by()
	switch {
	case !c.apart[pair] && ahead.Abs()-exact > tolerance:
		c.apart[pair] = true
		c.log.WarnContext(ctx, "two clocks differ: delays follow Redis's clock, so no job waits longer or ends differently; set the wrong clock", c.figures(first, second, ahead)...)
	case c.apart[pair] && ahead.Abs()+exact < tolerance/2:
		c.apart[pair] = false
		c.log.InfoContext(ctx, "two clocks agree again", c.figures(first, second, ahead)...)
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
