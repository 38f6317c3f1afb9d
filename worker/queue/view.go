package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// viewScript reads at one time whatever a look at a queue is about, and counts the mark up if Redis is as it was left: the same
// process, with no older mark, and with none that can't have come from counting. A cluster has it from the node that has
// the queue. A retry that is further ahead than anybody of us sets one is due at once.
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
	// furthestRetry is how far ahead a retry may be: as far as the worker sets one, and as clocks may differ.
	furthestRetry = longestDelay + time.Minute
	// mostInHand bounds how many tasks in hand are looked at in one round.
	mostInHand = 20_000
)

// A Mark is where a queue has the mark that is counted up, and which one it is as far as is known.
type Mark struct {
	Key    string // in the queue's slot
	Server string // the Redis process that has it
	Number int64
}

// See reads, in one script, what is to be seen in a queue; [NewView] takes its answer. The mark is counted up if Redis is as
// it was left. Of the archive, up to limit tasks are read, from a time in Unix seconds on.
func (k Keys) See(ctx context.Context, p redis.Pipeliner, m Mark, archivedSince float64, limit int) *redis.Cmd {
	return viewScript.Eval(ctx, p, append(k.tasks(), m.Key),
		m.Server, m.Number, strconv.FormatFloat(archivedSince, 'f', -1, 64), limit, int(furthestRetry.Seconds()), mostInHand)
}

// A View is what was to be seen in a queue.
type View struct {
	Server   string            // the Redis process that has it
	Mark     string            // as it was; "" if there was none
	Marked   int64             // the mark as it is now; 0 if Redis isn't as it was left
	Now      int64             // by Redis's clock, in Unix seconds
	Pending  int64             // how many tasks wait
	Active   map[string]string // the tasks that are being worked on, and their leases' ends in Unix seconds; "" for one that has no lease
	Archived map[string]string // tasks in the archive, and since when they are, in Unix seconds
}

// NewView reads what [Keys.See] was answered.
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
		return View{}, errors.New("redis doesn't tell its run_id")
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
