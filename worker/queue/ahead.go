package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// mostAhead bounds the jobs that are fetched at once: they take memory, and if this process dies, another worker has
	// to recover them.
	mostAhead = 128
	// mostBytesAhead bounds, roughly, their total size: all have to arrive within one read timeout.
	mostBytesAhead = 1 << 20
)

// ahead fetches jobs, and keeps those that asynq hasn't asked for yet. In Redis they count as active on this worker.
type ahead struct {
	rdb    redis.UniversalClient
	log    *slog.Logger
	holder string     // this worker's name, for HolderField
	owner  string     // ConsumerOptions.Installation
	claims string     // ConsumerOptions.Claimant
	free   func() int // how many more jobs could be begun now

	mu   sync.Mutex
	jobs map[*fetchQueue][]*redis.Cmd
	all  int // how many jobs the map holds
}

func newAhead(rdb redis.UniversalClient, o ConsumerOptions) *ahead {
	return &ahead{rdb: rdb, log: o.Logger, holder: o.Worker, owner: o.Installation, claims: o.Claimant, free: o.Free, jobs: make(map[*fetchQueue][]*redis.Cmd)}
}

// take returns the queue's next job that was fetched ahead, nil if there is none.
func (a *ahead) take(q *fetchQueue) *redis.Cmd {
	a.mu.Lock()
	defer a.mu.Unlock()
	jobs := a.jobs[q]
	if len(jobs) == 0 {
		return nil
	}
	next := jobs[0]
	jobs[0] = nil // lets the payload be freed with its job
	a.all--
	if a.jobs[q] = jobs[1:]; len(jobs) == 1 {
		delete(a.jobs, q)
	}
	return next
}

func (a *ahead) keep(q *fetchQueue, jobs []*redis.Cmd) {
	if len(jobs) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.jobs[q] = append(a.jobs[q], jobs...)
	a.all += len(jobs)
}

// some reports whether any job of any queue is fetched ahead.
func (a *ahead) some() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all > 0
}

// room is about how many more jobs can be begun than are fetched ahead already.
func (a *ahead) room() int {
	free := a.free()
	a.mu.Lock()
	defer a.mu.Unlock()
	return free - a.all
}

// fetchScript does what asynq's own script does (v0.26, internal/rdb, dequeueCmd), for up to ARGV[3] jobs or about ARGV[4]
// bytes. It drops an id that has no message in Redis, or whose task is active or completed already, and deletes what is left
// of a task without a message. asynq's script would stop at such an id and create a hash for it that looks like a task's.
//
// It takes nothing if Redis says that the queue is not that of installation ARGV[6], or that ARGV[7] has no part in the claim: a
// process that was suspended between its own look at the claim and this command may have lost the queue meanwhile, even to a copy of
// its database.
//
// It returns whether there may be more jobs, how many ids it has dropped, and then each job's id and message.
var fetchScript = redis.NewScript(`
if redis.call("EXISTS", KEYS[2]) == 1 then
	return {0, 0}
end
if ARGV[6] ~= "" then
	local claim = redis.pcall("HMGET", KEYS[5], "installation", "w:" .. ARGV[7])
	if not claim.err and claim[1] and (claim[1] ~= ARGV[6] or not claim[2]) then
		return {0, 0}
	end
end
redis.call("LLEN", KEYS[3]) -- if this key or the next is of another type, the script fails before it has taken a job
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
		if state == "active" then -- it has lost its lease, and may be among those in hand: no id is there twice
			redis.call("LREM", KEYS[3], 0, id)
		end
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

// A fetchResult is the result of a fetch.
type fetchResult struct {
	asked int // how many jobs were asked for
	jobs  []*redis.Cmd
	more  bool // there may be more
	err   error
}

// fetch asks for a batch of jobs, but for no more than can be begun. args are those of asynq's script: when the leases end,
// and the prefix of the tasks' keys.
func (a *ahead) fetch(ctx context.Context, q *fetchQueue, batch int, args []any) fetchResult {
	h := fetchResult{asked: max(1, min(batch, a.room(), mostAhead))}
	reply, err := fetchScript.Run(ctx, a.rdb, append(slices.Clone(q.keys), ownerKey(q.name)), args[0], args[1], h.asked, mostBytesAhead, a.holder, a.owner, a.claims).Slice()
	if err != nil || len(reply) < 2 {
		h.err = err
		return h
	}
	more, _ := reply[0].(int64)
	h.more = more == 1
	if dropped, _ := reply[1].(int64); dropped > 0 {
		a.log.WarnContext(ctx, "the queue held ids without a job to do: they are dropped", "queue", q.name, "ids", dropped)
	}
	for pair := range slices.Chunk(reply[2:], 2) {
		id, _ := pair[0].(string)
		message, _ := pair[1].(string)
		if m, err := parseMessage(message); err != nil || m.id != id || m.queue != q.name {
			a.discard(ctx, q, id, message)
			continue
		}
		job := redis.NewCmd(ctx)
		job.SetVal(message)
		h.jobs = append(h.jobs, job)
	}
	return h
}

// noJob is the reply to asynq that there is no job, or that the fetch failed.
func noJob(ctx context.Context, err error) *redis.Cmd {
	if err == nil {
		err = redis.Nil
	}
	none := redis.NewCmd(ctx)
	none.SetErr(err)
	return none
}

// discard deletes a fetched task that asynq couldn't read or would take for another one: an active task like that stops
// asynq's recovery of all dead workers' jobs. If it was a job of the ledger, the job is dispatched anew.
func (a *ahead) discard(ctx context.Context, q *fetchQueue, id, message string) {
	err := discard.Run(ctx, a.rdb, q.keysWith(id), id, message).Err()
	a.log.WarnContext(ctx, "a task that can't be read is deleted", "queue", q.name, "task_id", cut(id), "bytes", len(message), "error", err)
}

// longestID is how many bytes of an unchecked id are logged.
const longestID = 255

// cut makes an unchecked id fit for a log line.
func cut(id string) string { return strings.ToValidUTF8(id[:min(len(id), longestID)], "\uFFFD") }

// keysWith are the keys of the queue's pending, active and leased tasks, and of one task.
func (q *fetchQueue) keysWith(id string) []string {
	k := KeysOf(q.name)
	return []string{k.Pending(), k.Active(), k.Lease(), k.Task(id)}
}

var discard = redis.NewScript(`
if redis.call("HGET", KEYS[4], "msg") == ARGV[2] then
	redis.call("LREM", KEYS[2], 0, ARGV[1])
	redis.call("ZREM", KEYS[3], ARGV[1])
	redis.call("UNLINK", KEYS[4])
end
return 1`)

// putBack returns all jobs that were fetched ahead to the front of their queues, in their order. Jobs that it can't put
// back are recovered later, like a dead worker's.
func (a *ahead) putBack(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var problems []error
	for q, jobs := range a.jobs {
		for _, job := range slices.Backward(jobs) {
			message, _ := job.Text()
			m, err := parseMessage(message)
			if err == nil {
				err = unfetch.Run(ctx, a.rdb, q.keysWith(m.id), m.id).Err()
			}
			problems = append(problems, err)
		}
	}
	clear(a.jobs)
	a.all = 0
	return errors.Join(problems...)
}

// unfetch undoes the fetch of a task, unless another process has done so or Redis has lost the task meanwhile.
var unfetch = redis.NewScript(`
if redis.call("LREM", KEYS[2], 0, ARGV[1]) == 1 then
	redis.call("ZREM", KEYS[3], ARGV[1])
	if redis.call("HEXISTS", KEYS[4], "msg") == 1 then
		redis.call("HSET", KEYS[4], "state", "pending")
		redis.call("RPUSH", KEYS[1], ARGV[1])
	end
end
return 1`)
