package ledger

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// queueKeys are the keys in which asynq keeps a queue (v0.26, internal/base: they are all in one slot of a cluster).
type queueKeys struct {
	pending, active, lease, archived, taskPrefix string
}

func newQueueKeys(queue string) queueKeys {
	prefix := "asynq:{" + queue + "}:"
	return queueKeys{
		pending: prefix + "pending", active: prefix + "active", lease: prefix + "lease", archived: prefix + "archived",
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
// was looked at. It counts in the task itself how often that has happened. A task whose content is gone is forgotten: the
// ledger has it, if anybody does.
var requeue = redis.NewScript(`
local score = redis.call("ZSCORE", KEYS[2], ARGV[1]) or ""
if score ~= ARGV[2] then
	return "changed"
end
if tonumber(redis.call("HGET", KEYS[4], "invoicer_crashes") or "0") >= tonumber(ARGV[3]) then
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
redis.call("HSET", KEYS[4], "state", "pending")
redis.call("RPUSH", KEYS[3], ARGV[1])
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

func (k queueKeys) requeue(ctx context.Context, rdb redis.UniversalClient, id, score string, maxCrashes int) (string, error) {
	return requeue.Run(ctx, rdb, []string{k.active, k.lease, k.pending, k.taskPrefix + id}, id, score, maxCrashes).Text()
}

func (k queueKeys) giveUp(ctx context.Context, rdb redis.UniversalClient, id, score string) (string, error) {
	return giveUp.Run(ctx, rdb, []string{k.active, k.lease, k.archived, k.taskPrefix + id}, id, score, time.Now().Unix()).Text()
}

// activeTasks reads which tasks are being worked on, and their leases' ends in Unix seconds as Redis spells them; "" for one that has
// no lease.
func (k queueKeys) activeTasks(ctx context.Context, rdb redis.UniversalClient) (map[string]string, error) {
	var active *redis.StringSliceCmd
	var leases *redis.ZSliceCmd
	_, err := rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		active = p.LRange(ctx, k.active, 0, -1)
		leases = p.ZRangeWithScores(ctx, k.lease, 0, -1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	tasks := make(map[string]string, len(active.Val()))
	for _, id := range active.Val() {
		tasks[id] = ""
	}
	for _, z := range leases.Val() {
		if id, ok := z.Member.(string); ok {
			if _, isActive := tasks[id]; isActive {
				tasks[id] = strconv.FormatFloat(z.Score, 'f', -1, 64)
			}
		}
	}
	return tasks, nil
}
