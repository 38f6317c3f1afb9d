package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// queueKeys are the keys in which asynq keeps a queue (v0.26, internal/base: they are all in one slot of a cluster), in
// the order in which every script has them; the marker is ours.
type queueKeys struct {
	prefix string
	marker string
	all    []string
}

func newQueueKeys(queue, databaseID string) queueKeys {
	k := queueKeys{prefix: "asynq:{" + queue + "}:", marker: "invoicer:" + databaseID + ":mark:{" + queue + "}"}
	for _, name := range []string{"pending", "active", "lease", "retry", "scheduled", "archived", "completed"} {
		k.all = append(k.all, k.prefix+name)
	}
	return k
}

func (k queueKeys) pending() string { return k.all[0] }

func (k queueKeys) task(id string) string { return k.prefix + "t:" + id }

// inQueue is how each script begins that is about tasks. It believes nothing that a task says of itself: place tells where
// the queue has a task only after it has found it there. A task that says that it is pending is the exception: has looks
// that up in a list, which it reads as a whole, so whether to ask is its caller's decision.
const inQueue = `
local pending, active, lease, retry, scheduled, archived, completed = unpack(KEYS)
local sets = {retry = retry, archived = archived, completed = completed}
local prefix = string.sub(pending, 1, -8) .. "t:"

local read = {}
local function has(list, id)
	if not read[list] then
		read[list] = {}
		for _, one in ipairs(redis.call("LRANGE", list, 0, -1)) do
			read[list][one] = true
		end
	end
	return read[list][id]
end

-- gone: without a message there is no task; lost: it isn't where it says that it is
local function place(id)
	local task = redis.pcall("HMGET", prefix .. id, "state", "pending_since")
	if task.err and string.find(task.err, "^WRONGTYPE") then
		return "gone"
	elseif task.err then
		error(task.err)
	end
	local state = task[1]
	if redis.call("HSTRLEN", prefix .. id, "msg") == 0 then
		return "gone"
	elseif state == "pending" then
		return "pending:" .. (task[2] or "")
	elseif state == "active" and (redis.call("ZSCORE", lease, id) or has(active, id)) then
		return "active"
	elseif sets[state] and redis.call("ZSCORE", sets[state], id) then
		return state
	end
	return "lost"
end

local function leaveHands(id)
	return redis.call("LREM", active, 0, id) + redis.call("ZREM", lease, id)
end

local function purge(id)
	redis.call("UNLINK", prefix .. id)
	leaveHands(id)
	for _, set in ipairs({retry, scheduled, archived, completed}) do
		redis.call("ZREM", set, id)
	end
end
`

// Where place finds a task. What begins with waiting says that it is pending, and since when.
const (
	waiting  = "pending:"
	inHand   = "active"
	retried  = "retry"
	archived = "archived"
)

var places = redis.NewScript(inQueue + `
local answer = {}
for i, id in ipairs(ARGV) do
	answer[i] = place(id)
end
return answer`)

// places tells where the queue has each job.
func (k queueKeys) places(ctx context.Context, rdb redis.UniversalClient, jobs []invoice.Dispatch) ([]string, error) {
	ids := make([]any, len(jobs))
	for i, d := range jobs {
		ids[i] = taskID(d)
	}
	found, err := places.Run(ctx, rdb, k.all, ids...).StringSlice()
	if err == nil && len(found) != len(jobs) {
		err = errors.New("redis doesn't answer for every job")
	}
	return found, err
}

// bury deletes what is left of tasks, but only of those that still are as they were seen, and of those that say that they
// are pending only if the list doesn't have them. Where that is too long to be read at once, its caller has looked.
var bury = redis.NewScript(inQueue + `
local short = redis.call("LLEN", pending) <= tonumber(ARGV[1])
local buried = {}
for i = 2, #ARGV, 2 do
	local id, seen = ARGV[i], ARGV[i + 1]
	if place(id) ~= seen or short and string.sub(seen, 1, 8) == "pending:" and has(pending, id) then
		table.insert(buried, 0)
	else
		purge(id)
		table.insert(buried, 1)
	end
end
return buried`)

// bury returns those of the tasks that are deleted.
func (k queueKeys) bury(ctx context.Context, rdb redis.UniversalClient, lost []suspect) (buried []invoice.Dispatch, err error) {
	args := []any{2 * shortList}
	for _, s := range lost {
		args = append(args, taskID(s.job), s.seen)
	}
	done, err := bury.Run(ctx, rdb, k.all, args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	for i, s := range lost {
		if i < len(done) && done[i] == 1 {
			buried = append(buried, s.job)
		}
	}
	return buried, nil
}

// discard deletes a task whose message is still the one that was seen, "" if it had none.
var discard = redis.NewScript(inQueue + `
local message = redis.pcall("HGET", prefix .. ARGV[1], "msg") or ""
if type(message) == "table" and string.find(message.err, "^WRONGTYPE") then
	message = ""
end
if message == ARGV[2] then
	purge(ARGV[1])
end
return 1`)

func (k queueKeys) discard(ctx context.Context, rdb redis.UniversalClient, id, message string) error {
	return discard.Run(ctx, rdb, k.all, id, message).Err()
}

// What requeue and giveUp answer.
const (
	moved    = "moved"
	poisoned = "poisoned" // it has killed too many workers, and stays where it is
	changed  = "changed"  // its worker lives, or it isn't active any more
	dropped  = "dropped"  // it is no task, or is somewhere else as well, where it stays
)

// requeue moves a task that nobody works on any more to the front of its queue, unless its lease has changed since it
// was looked at. It counts in the task itself how often that has happened; one to which it has happened often comes back
// later, at the queue's end. A task whose content is gone is forgotten: the ledger has it, if anybody does.
var requeue = redis.NewScript(inQueue + `
local id = ARGV[1]
if (redis.call("ZSCORE", lease, id) or "") ~= ARGV[2] then
	return "changed"
end
local where, key = place(id), prefix .. id
if where == "gone" then
	purge(id)
	return "dropped"
elseif sets[where] or string.sub(where, 1, 8) == "pending:" and redis.call("LPOS", pending, id) then
	leaveHands(id)
	return "dropped"
end
local crashes = tonumber(redis.call("HGET", key, "invoicer_crashes") or "") or 0
if crashes >= tonumber(ARGV[3]) then
	return "poisoned"
end
if leaveHands(id) == 0 then
	return "changed"
end
redis.call("HSET", key, "invoicer_crashes", string.format("%d", crashes + 1))
if crashes >= tonumber(ARGV[4]) then
	redis.call("HSET", key, "state", "retry")
	redis.call("ZADD", retry, redis.call("TIME")[1] + ARGV[5], id)
else
	redis.call("HSET", key, "state", "pending")
	redis.call("RPUSH", pending, id)
end
return "moved"`)

// giveUp moves a task that nobody works on any more to the archive, where people see it.
var giveUp = redis.NewScript(inQueue + `
if (redis.call("ZSCORE", lease, ARGV[1]) or "") ~= ARGV[2] or leaveHands(ARGV[1]) == 0 then
	return "changed"
end
redis.call("HSET", prefix .. ARGV[1], "state", "archived")
redis.call("ZADD", archived, redis.call("TIME")[1], ARGV[1])
return "moved"`)

// A job that has lost more than apartAfter workers comes back within apartWithin, at random. All jobs that a worker had in
// hand lose it together, and one of them may be what killed it: if they came back together they would lose the next one as
// well, and in the end all be taken for that one.
const (
	apartAfter  = 2
	apartWithin = 10 * time.Second
)

func (k queueKeys) requeue(ctx context.Context, rdb redis.UniversalClient, id, score string, maxCrashes int) (string, error) {
	apart := int(rand.N(apartWithin).Seconds()) //nolint:gosec // chance needs no secrecy
	return requeue.Run(ctx, rdb, k.all, id, score, maxCrashes, apartAfter, apart).Text()
}

func (k queueKeys) giveUp(ctx context.Context, rdb redis.UniversalClient, id, score string) (string, error) {
	return giveUp.Run(ctx, rdb, k.all, id, score).Text()
}

// look reads at one time whatever a look at a queue is about, and counts the mark up if Redis is as it was left: the same
// process, with no older mark, and with none that can't have come from counting. A cluster has it from the node that has
// the queue. A retry that is further ahead than anybody of us sets one is due at once.
var look = redis.NewScript(`
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
	furthestRetry = 11 * time.Minute
	// mostInHand bounds how many tasks in hand are looked at in one round.
	mostInHand = 20_000
)

// look has up to limit tasks of the archive read, from a time in Unix seconds on.
func (k queueKeys) look(ctx context.Context, p redis.Pipeliner, known invoice.Watch, archivedSince float64, limit int) *redis.Cmd {
	return look.Eval(ctx, p, append(slices.Clip(k.all), k.marker),
		known.Server, known.Marker, strconv.FormatFloat(archivedSince, 'f', -1, 64), limit, int(furthestRetry.Seconds()), mostInHand)
}

// A view is what was to be seen in a queue.
type view struct {
	server   string            // the Redis process that has it
	mark     string            // as it was; "" if there was none
	marked   int64             // the mark as it is now; 0 if Redis isn't as it was left
	now      int64             // by Redis's clock, in Unix seconds
	pending  int64             // how many tasks wait
	active   map[string]string // the tasks that are being worked on, and their leases' ends in Unix seconds; "" for one that has no lease
	archived map[string]string // tasks in the archive, and since when they are, in Unix seconds
}

func newView(look *redis.Cmd) (view, error) {
	reply, err := look.Slice()
	if err != nil {
		return view{}, err
	}
	var v view
	if len(reply) == 8 {
		v.server, _ = reply[0].(string)
		v.mark, _ = reply[1].(string)
		v.marked, _ = reply[2].(int64)
		v.now, _ = reply[3].(int64)
		v.pending, _ = reply[4].(int64)
		v.active, v.archived = pairs(reply[6]), pairs(reply[7])
		unleased, _ := reply[5].([]any)
		for _, id := range unleased {
			if id, ok := id.(string); ok && v.active[id] == "" {
				v.active[id] = ""
			}
		}
	}
	if v.server == "" {
		return view{}, errors.New("redis doesn't tell its run_id")
	}
	return v, nil
}

// pairs makes a map of a reply that lists keys, each with its value.
func pairs(reply any) map[string]string {
	list, _ := reply.([]any)
	m := make(map[string]string, len(list)/2)
	for pair := range slices.Chunk(list, 2) {
		if key, ok := pair[0].(string); ok {
			m[key], _ = pair[1].(string)
		}
	}
	return m
}
