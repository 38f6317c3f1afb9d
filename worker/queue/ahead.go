package queue

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// fetchScript does what asynq's own script does (v0.26, internal/rdb, dequeueCmd), for up to ARGV[3] jobs, or as many as
// make ARGV[4] bytes. An id of which Redis has no message, or whose job is in hand or has ended already, is no job: it is
// dropped, and what is left of a task without a message is deleted. asynq would stop at it, and give it a hash that looks
// like a task's.
//
// It answers whether there may be more, how many ids it has dropped, and then each job's id and message.
var fetchScript = redis.NewScript(`
if redis.call("EXISTS", KEYS[2]) == 1 then
	return {0, 0}
end
redis.call("LLEN", KEYS[3]) -- if these two are of another type, it fails before it has taken anything
redis.call("ZCARD", KEYS[4])
local completed = string.sub(ARGV[2], 1, -3) .. "completed"
local reply, dropped, bytes = {1, 0}, 0, 0
while #reply < 2 + 2 * tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) and dropped < 1000 do
	local id = redis.call("RPOP", KEYS[1])
	if not id then
		reply[1] = 0
		break
	end
	local key = ARGV[2] .. id
	local task = redis.pcall("HMGET", key, "msg", "state")
	if task.err and not string.find(task.err, "^WRONGTYPE") then
		redis.call("RPUSH", KEYS[1], id)
		return task
	end
	local msg, state = task[1], task[2]
	if not msg or msg == "" then
		redis.call("UNLINK", key)
		dropped = dropped + 1
	elseif state == "active" and redis.call("ZSCORE", KEYS[4], id) or state == "completed" and redis.call("ZSCORE", completed, id) then
		dropped = dropped + 1
	else
		redis.call("LPUSH", KEYS[3], id)
		redis.call("HSET", key, "state", "active", "invoicer_worker", ARGV[5])
		redis.call("HDEL", key, "pending_since")
		redis.call("ZADD", KEYS[4], ARGV[1], id)
		table.insert(reply, id)
		table.insert(reply, msg)
		bytes = bytes + #msg
	end
end
reply[2] = dropped
return reply`)

// A haul is what a fetch brought.
type haul struct {
	asked int // how many jobs it was to bring
	jobs  []*redis.Cmd
	more  bool // there may be more
	err   error
}

// ask fetches as many jobs as there is appetite for. args are asynq's: when the leases end, and the prefix of the tasks'
// keys.
func (g *fetchGate) ask(ctx context.Context, q *fetchQueue, args []any) haul {
	h := haul{asked: g.appetiteFor(q)}
	reply, err := fetchScript.Run(ctx, g.UniversalClient, q.keys, args[0], args[1], h.asked, mostBytesAhead, g.holder).Slice()
	if err != nil || len(reply) < 2 {
		h.err = err
		return h
	}
	more, _ := reply[0].(int64)
	h.more = more == 1
	if dropped, _ := reply[1].(int64); dropped > 0 {
		g.log.WarnContext(ctx, "the queue held ids without a job to do: they are dropped", "queue", q.name, "ids", dropped)
	}
	for pair := range slices.Chunk(reply[2:], 2) {
		id, _ := pair[0].(string)
		message, _ := pair[1].(string)
		if m, err := parseMessage(message); err != nil || m.id != id || m.queue != q.name {
			g.discard(ctx, q, id, message)
			continue
		}
		job := redis.NewCmd(ctx)
		job.SetVal(message)
		h.jobs = append(h.jobs, job)
	}
	return h
}

// noJob answers asynq that there is none, or that asking failed.
func noJob(ctx context.Context, err error) *redis.Cmd {
	if err == nil {
		err = redis.Nil
	}
	none := redis.NewCmd(ctx)
	none.SetErr(err)
	return none
}

// discard deletes a task that was fetched, and that asynq couldn't read or would take for another one: in its hands it
// would stop the recovery of all dead workers' jobs. If it was a job of the ledger, that one is dispatched anew.
func (g *fetchGate) discard(ctx context.Context, q *fetchQueue, id, message string) {
	err := discard.Run(ctx, g.UniversalClient, q.keysWith(id), id, message).Err()
	g.log.WarnContext(ctx, "a task that can't be read is deleted", "queue", q.name, "task_id", cut(id), "bytes", len(message), "error", err)
}

// longestID is how much of an id that may be anything is logged.
const longestID = 255

// cut shortens an id that may be anything.
func cut(id string) string { return strings.ToValidUTF8(id[:min(len(id), longestID)], "\uFFFD") }

// keysWith are the keys of the queue's pending, active and leased tasks, and of one task.
func (q *fetchQueue) keysWith(id string) []string {
	return []string{q.keys[0], q.keys[2], q.keys[3], strings.TrimSuffix(q.keys[0], "pending") + "t:" + id}
}

var discard = redis.NewScript(`
if redis.call("HGET", KEYS[4], "msg") == ARGV[2] then
	redis.call("LREM", KEYS[2], 0, ARGV[1])
	redis.call("ZREM", KEYS[3], ARGV[1])
	redis.call("UNLINK", KEYS[4])
end
return 1`)

// giveBack puts what is still ahead back to the front of its queue, in its order. What it can't put back is found by
// whoever looks after dead workers' jobs.
func (g *fetchGate) giveBack(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var problems []error
	for _, q := range g.queues {
		for _, answer := range slices.Backward(q.ahead) {
			message, _ := answer.Text()
			m, err := parseMessage(message)
			if err == nil {
				err = unfetch.Run(ctx, g.UniversalClient, q.keysWith(m.id), m.id).Err()
			}
			problems = append(problems, err)
		}
		q.ahead = nil
	}
	return errors.Join(problems...)
}

// unfetch undoes a fetch, unless somebody else has done so, or Redis has lost the task meanwhile.
var unfetch = redis.NewScript(`
if redis.call("LREM", KEYS[2], 0, ARGV[1]) == 1 then
	redis.call("ZREM", KEYS[3], ARGV[1])
	if redis.call("HEXISTS", KEYS[4], "msg") == 1 then
		redis.call("HSET", KEYS[4], "state", "pending")
		redis.call("RPUSH", KEYS[1], ARGV[1])
	end
end
return 1`)
