package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// viewScript reads a queue's [View] in one step. It increments the mark if Redis has lost no writes since the last look: it is
// the same process, and its mark isn't older, nor so much newer that it can't come from increments. A retry that is further
// ahead than any worker sets one becomes due at once.
var viewScript = redis.NewScript(`
local server = string.match(redis.call("INFO", "server"), "run_id:(%w+)") or ""
local mark, marked = redis.call("GET", KEYS[8]) or "", 0
local ahead = (tonumber(mark) or -1) - tonumber(ARGV[2])
if server == ARGV[1] and ahead >= 0 and ahead < 1000 then
	marked = redis.pcall("INCR", KEYS[8])
	if type(marked) ~= "number" then
		marked = 0
	end
end
local now = redis.call("TIME")[1]
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[4], "(" .. now + ARGV[5], "+inf", "LIMIT", 0, ARGV[6])) do
	redis.call("ZADD", KEYS[4], now, id)
end
return {server, mark, marked, tonumber(now), redis.call("LLEN", KEYS[1]),
	redis.call("LRANGE", KEYS[2], -ARGV[6], -1),
	redis.call("ZRANGE", KEYS[3], 0, ARGV[6] - 1, "WITHSCORES"),
	redis.call("ZRANGEBYSCORE", KEYS[6], ARGV[3], "+inf", "WITHSCORES", "LIMIT", 0, ARGV[4])}`)

const (
	// furthestRetry is how far ahead a retry may be: the longest delay, and a margin for clocks that differ.
	furthestRetry = longestDelay + time.Minute
	// mostInHand bounds how many active tasks are read in one round.
	mostInHand = 20_000
)

// A Mark is a counter in Redis by which the loss of writes is noticed: it is then lower than its last known number.
type Mark struct {
	Key    string // in the queue's slot
	Server string // the run id of the Redis process that had it
	Number int64  // the last known
}

// See reads a queue's state in one script; [NewView] decodes its reply. The script increments the mark if Redis has lost no
// writes since. It reads up to limit archived tasks, from a time in Unix seconds on.
func (k Keys) See(ctx context.Context, p redis.Pipeliner, m Mark, archivedSince float64, limit int) *redis.Cmd {
	return viewScript.Eval(ctx, p, append(k.tasks(), m.Key),
		m.Server, m.Number, strconv.FormatFloat(archivedSince, 'f', -1, 64), limit, int(furthestRetry.Seconds()), mostInHand)
}

// A View is a queue's state at one time.
type View struct {
	Server   string            // the run id of the Redis process that has the queue
	Mark     string            // the mark before the look; "" if there was none
	Marked   int64             // the mark after the look; 0 if Redis may have lost writes
	Now      int64             // Redis's time, in Unix seconds
	Pending  int64             // how many tasks are pending
	Active   map[string]string // the active tasks, with their leases' ends in Unix seconds; "" for a task without a lease
	Archived map[string]string // archived tasks, with when they were archived, in Unix seconds
}

// NewView decodes the reply to [Keys.See].
func NewView(look *redis.Cmd) (View, error) {
	reply, err := look.Slice()
	if err != nil {
		return View{}, err
	}
	var v View
	if len(reply) == 8 {
		v.Server, _ = reply[0].(string)
		v.Mark, _ = reply[1].(string)
		v.Marked, _ = reply[2].(int64)
		v.Now, _ = reply[3].(int64)
		v.Pending, _ = reply[4].(int64)
		v.Active, v.Archived = scored(reply[6]), scored(reply[7])
		unleased, _ := reply[5].([]any)
		for _, id := range unleased {
			if id, ok := id.(string); ok && v.Active[id] == "" {
				v.Active[id] = ""
			}
		}
	}
	if v.Server == "" {
		return View{}, errors.New("redis doesn't report its run_id")
	}
	return v, nil
}

// scored makes a map of a reply that lists members, each with its score.
func scored(reply any) map[string]string {
	list, _ := reply.([]any)
	m := make(map[string]string, len(list)/2)
	for pair := range slices.Chunk(list, 2) {
		if key, ok := pair[0].(string); ok {
			m[key], _ = pair[1].(string)
		}
	}
	return m
}
