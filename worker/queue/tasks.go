package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// inQueue is the common beginning of the scripts about tasks. place returns where the queue has a task; it looks for the task
// there, and doesn't rely on the state in the task's hash. The exception is the state pending: to check it, has must read a
// whole list, so that is left to the caller.
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

-- gone: the task has no message; lost: it isn't where its state says
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

local function deactivate(id)
	return redis.call("LREM", active, 0, id) + redis.call("ZREM", lease, id)
end

local function purge(id)
	redis.call("UNLINK", prefix .. id)
	deactivate(id)
	for _, set in ipairs({retry, scheduled, archived, completed}) do
		redis.call("ZREM", set, id)
	end
end
`

// The places that [Keys.Places] returns. After Waiting follows since when the task is pending.
const (
	Waiting  = "pending:"
	InHand   = "active"
	Retried  = "retry"
	Archived = "archived"
)

var placesScript = redis.NewScript(inQueue + `
local answer = {}
for i, id in ipairs(ARGV) do
	answer[i] = place(id)
end
return answer`)

// Places returns where the queue has each task. It doesn't check that the list of pending tasks has a task whose state is
// pending: the caller does.
func (k Keys) Places(ctx context.Context, rdb redis.UniversalClient, ids []string) ([]string, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	found, err := placesScript.Run(ctx, rdb, k.tasks(), args...).StringSlice()
	if err == nil && len(found) != len(ids) {
		err = errors.New("redis doesn't answer for every job")
	}
	return found, err
}

// buryScript is [Keys.Bury]'s.
var buryScript = redis.NewScript(inQueue + `
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

// A Sighting is where [Keys.Places] has seen a task.
type Sighting struct{ ID, Place string }

// Bury deletes the remains of tasks that are still where they were seen, and returns for each task whether it was deleted.
// A task whose hash says that it is pending is deleted only if the list of pending tasks doesn't have it. If that list has
// more than longest ids, it isn't searched: the caller has read it already.
func (k Keys) Bury(ctx context.Context, rdb redis.UniversalClient, seen []Sighting, longest int) ([]bool, error) {
	args := []any{longest}
	for _, s := range seen {
		args = append(args, s.ID, s.Place)
	}
	done, err := buryScript.Run(ctx, rdb, k.tasks(), args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	buried := make([]bool, len(seen))
	for i := range min(len(seen), len(done)) {
		buried[i] = done[i] == 1
	}
	return buried, nil
}

// purgeScript is [Keys.Purge]'s.
var purgeScript = redis.NewScript(inQueue + `
local message = redis.pcall("HGET", prefix .. ARGV[1], "msg") or ""
if type(message) == "table" and string.find(message.err, "^WRONGTYPE") then
	message = ""
end
if message == ARGV[2] then
	purge(ARGV[1])
end
return 1`)

// Purge deletes a task wherever it is, if its message is still the one that was seen; "" stands for no message.
func (k Keys) Purge(ctx context.Context, rdb redis.UniversalClient, id, message string) error {
	return purgeScript.Run(ctx, rdb, k.tasks(), id, message).Err()
}

// The results of [Keys.Requeue].
const (
	Moved    = "moved"
	Poisoned = "poisoned" // the task has killed too many workers, and stays where it is
	Changed  = "changed"  // its worker lives, or the task isn't active any more
	Dropped  = "dropped"  // the task has no message, or is in another place as well, where it stays
)

// requeueScript moves a dead worker's task to the front of its queue, unless the task's lease has changed since it was read.
// It counts in the task's hash how often that has happened; after apartAfter times the task comes back later, at the queue's
// end. A task without a message is deleted: if it was a ledger's job, the ledger still has it.
var requeueScript = redis.NewScript(inQueue + `
local id = ARGV[1]
if (redis.call("ZSCORE", lease, id) or "") ~= ARGV[2] then
	return "changed"
end
local where, key = place(id), prefix .. id
if where == "gone" then
	purge(id)
	return "dropped"
elseif sets[where] or string.sub(where, 1, 8) == "pending:" and redis.call("LPOS", pending, id) then
	deactivate(id)
	return "dropped"
end
local crashes = tonumber(redis.call("HGET", key, "invoicer_crashes") or "") or 0
if crashes >= tonumber(ARGV[3]) then
	return "poisoned"
end
if deactivate(id) == 0 then
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

// giveUpScript moves a dead worker's task to the archive, where people see it.
var giveUpScript = redis.NewScript(inQueue + `
if (redis.call("ZSCORE", lease, ARGV[1]) or "") ~= ARGV[2] or deactivate(ARGV[1]) == 0 then
	return "changed"
end
redis.call("HSET", prefix .. ARGV[1], "state", "archived")
redis.call("ZADD", archived, redis.call("TIME")[1], ARGV[1])
return "moved"`)

// A job that has lost more than apartAfter workers comes back after a random delay below apartWithin. When a worker dies, all
// its active jobs lose it together, and one of them may have killed it: if they came back together, that one would kill the
// next worker as well, and in the end all of them would count as poisoned.
const (
	apartAfter  = 2
	apartWithin = 10 * time.Second
)

// Requeue moves a dead worker's task to the front of its queue, unless the task's lease isn't the given one any more. Once
// that has happened maxCrashes times, it returns Poisoned and leaves the task where it is.
func (k Keys) Requeue(ctx context.Context, rdb redis.UniversalClient, id, lease string, maxCrashes int) (string, error) {
	apart := int(rand.N(apartWithin).Seconds()) //nolint:gosec // chance needs no secrecy
	return requeueScript.Run(ctx, rdb, k.tasks(), id, lease, maxCrashes, apartAfter, apart).Text()
}

// GiveUp moves a dead worker's task to the archive, unless the task's lease isn't the given one any more.
func (k Keys) GiveUp(ctx context.Context, rdb redis.UniversalClient, id, lease string) error {
	return giveUpScript.Run(ctx, rdb, k.tasks(), id, lease).Err()
}
