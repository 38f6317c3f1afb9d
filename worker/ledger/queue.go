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

// queueKeys are the keys in which asynq keeps a queue (v0.26, internal/base: they are all in one slot of a cluster).
type queueKeys struct {
	pending, active, lease, retry, archived, taskPrefix string
}

func newQueueKeys(queue string) queueKeys {
	prefix := "asynq:{" + queue + "}:"
	return queueKeys{
		pending: prefix + "pending", active: prefix + "active", lease: prefix + "lease", retry: prefix + "retry", archived: prefix + "archived",
		taskPrefix: prefix + "t:",
	}
}

// states reads the queue's state of each job, "" where the queue doesn't have it.
func (k queueKeys) states(ctx context.Context, rdb redis.UniversalClient, jobs []invoice.Dispatch) ([]string, error) {
	commands := make([]*redis.StringCmd, len(jobs))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, d := range jobs {
			commands[i] = p.HGet(ctx, k.taskPrefix+taskID(d), "state")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	states := make([]string, len(jobs))
	for i, c := range commands {
		if states[i], err = c.Result(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
	}
	return states, nil
}

// What requeue and giveUp answer.
const (
	moved    = "moved"
	poisoned = "poisoned" // it has killed too many workers, and stays where it is
	changed  = "changed"  // its worker lives, or it isn't active any more
)

// requeue moves a task that nobody works on any more to the front of its queue, unless its lease has changed since it
// was looked at. It counts in the task itself how often that has happened; one to which it has happened often comes back
// later, at the queue's end. A task whose content is gone is forgotten: the ledger has it, if anybody does.
var requeue = redis.NewScript(`
local score = redis.call("ZSCORE", KEYS[2], ARGV[1]) or ""
if score ~= ARGV[2] then
	return "changed"
end
local crashes = tonumber(redis.call("HGET", KEYS[4], "invoicer_crashes") or "0")
if crashes >= tonumber(ARGV[3]) then
	return "poisoned"
end
if redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 then
	return "changed"
end
redis.call("ZREM", KEYS[2], ARGV[1])
if redis.call("EXISTS", KEYS[4]) == 0 then
	return "changed"
end
redis.call("HINCRBY", KEYS[4], "invoicer_crashes", 1)
if crashes >= tonumber(ARGV[4]) then
	redis.call("HSET", KEYS[4], "state", "retry")
	redis.call("ZADD", KEYS[5], ARGV[5], ARGV[1])
else
	redis.call("HSET", KEYS[4], "state", "pending")
	redis.call("RPUSH", KEYS[3], ARGV[1])
end
return "moved"`)

// giveUp moves a task that nobody works on any more to the archive, where people see it.
var giveUp = redis.NewScript(`
local score = redis.call("ZSCORE", KEYS[2], ARGV[1]) or ""
if score ~= ARGV[2] or redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 then
	return "changed"
end
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("HSET", KEYS[4], "state", "archived")
redis.call("ZADD", KEYS[3], ARGV[3], ARGV[1])
return "moved"`)

// A job that has lost more than apartAfter workers comes back within apartWithin, at random. All jobs that a worker had in
// hand lose it together, and one of them may be what killed it: if they came back together they would lose the next one as
// well, and in the end all be taken for that one.
const (
	apartAfter  = 2
	apartWithin = 10 * time.Second
)

func (k queueKeys) requeue(ctx context.Context, rdb redis.UniversalClient, id, score string, maxCrashes int) (string, error) {
	apart := time.Now().Add(rand.N(apartWithin)).Unix() //nolint:gosec // chance needs no secrecy
	return requeue.Run(ctx, rdb, []string{k.active, k.lease, k.pending, k.taskPrefix + id, k.retry}, id, score, maxCrashes, apartAfter, apart).Text()
}

func (k queueKeys) giveUp(ctx context.Context, rdb redis.UniversalClient, id, score string) (string, error) {
	return giveUp.Run(ctx, rdb, []string{k.active, k.lease, k.archived, k.taskPrefix + id}, id, score, time.Now().Unix()).Text()
}

// look reads at one time whatever a look at a queue is about, and counts the mark up if Redis is as it was left: the same
// process, with no older mark. A cluster has it from the node that has the queue.
var look = redis.NewScript(`
local server = string.match(redis.call("INFO", "server"), "run_id:(%w+)") or ""
local mark = redis.call("GET", KEYS[1]) or ""
local marked = 0
if server == ARGV[1] and tonumber(mark) and tonumber(mark) >= tonumber(ARGV[2]) then
	marked = redis.call("INCR", KEYS[1])
end
local active = {}
for _, id in ipairs(redis.call("LRANGE", KEYS[2], 0, -1)) do
	table.insert(active, id)
	table.insert(active, redis.call("ZSCORE", KEYS[3], id) or "")
end
local archived = redis.call("ZRANGEBYSCORE", KEYS[4], ARGV[3], "+inf", "WITHSCORES", "LIMIT", 0, ARGV[4])
return {server, mark, marked, active, archived}`)

// look has up to limit tasks of the archive read, from a time in Unix seconds on.
func (k queueKeys) look(ctx context.Context, p redis.Pipeliner, marker string, known invoice.Watch, archivedSince float64, limit int) *redis.Cmd {
	return look.Eval(ctx, p, []string{marker, k.active, k.lease, k.archived},
		known.Server, known.Marker, strconv.FormatFloat(archivedSince, 'f', -1, 64), limit)
}

// A view is what was to be seen in a queue.
type view struct {
	server   string            // the Redis process that has it
	mark     string            // as it was; "" if there was none
	marked   int64             // the mark as it is now; 0 if Redis isn't as it was left
	active   map[string]string // the tasks that are being worked on, and their leases' ends in Unix seconds; "" for one that has no lease
	archived map[string]string // tasks in the archive, and since when they are, in Unix seconds
}

func newView(look *redis.Cmd) (view, error) {
	reply, err := look.Slice()
	if err != nil {
		return view{}, err
	}
	var v view
	if len(reply) == 5 {
		v.server, _ = reply[0].(string)
		v.mark, _ = reply[1].(string)
		v.marked, _ = reply[2].(int64)
		v.active, v.archived = pairs(reply[3]), pairs(reply[4])
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
