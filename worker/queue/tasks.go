package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

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

// Where [Keys.Places] finds a task. What begins with Waiting says that it is pending, and since when.
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

// Places tells where the queue has each task. It believes nothing that a task says of itself but that it waits: whether the
// list has it is for the caller to look up.
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

// buryScript deletes what is left of tasks, but only of those that still are as they were seen, and of those that say that they
// are pending only if the list doesn't have them. Where that is too long to be read at once, its caller has looked.
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

// A Sighting is where a task was seen, as [Keys.Places] tells it.
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

// purgeScript deletes a task whose message is still the one that was seen, "" if it had none.
var purgeScript = redis.NewScript(inQueue + `
local message = redis.pcall("HGET", prefix .. ARGV[1], "msg") or ""
if type(message) == "table" and string.find(message.err, "^WRONGTYPE") then
	message = ""
end
if message == ARGV[2] then
	purge(ARGV[1])
end
return 1`)

// Purge deletes a task wherever it is, if its message is still the one that was seen, "" for none.
func (k Keys) Purge(ctx context.Context, rdb redis.UniversalClient, id, message string) error {
	return purgeScript.Run(ctx, rdb, k.tasks(), id, message).Err()
}

// What [Keys.Requeue] answers.
const (
	Moved    = "moved"
	Poisoned = "poisoned" // it has killed too many workers, and stays where it is
	Changed  = "changed"  // its worker lives, or it isn't active any more
	Dropped  = "dropped"  // it is no task, or is somewhere else as well, where it stays
)

// requeueScript moves a task that nobody works on any more to the front of its queue, unless its lease has changed since it
// was looked at. It counts in the task itself how often that has happened; one to which it has happened often comes back
// later, at the queue's end. A task whose content is gone is forgotten: the ledger has it, if anybody does.
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

// giveUpScript moves a task that nobody works on any more to the archive, where people see it.
var giveUpScript = redis.NewScript(inQueue + `
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

// Requeue moves a task that nobody works on any more to the front of its queue, unless its lease isn't the one any more
// that was seen. After more than maxCrashes times it is left where it is, poisoned.
func (k Keys) Requeue(ctx context.Context, rdb redis.UniversalClient, id, lease string, maxCrashes int) (string, error) {
	apart := int(rand.N(apartWithin).Seconds()) //nolint:gosec // chance needs no secrecy
	return requeueScript.Run(ctx, rdb, k.tasks(), id, lease, maxCrashes, apartAfter, apart).Text()
}

// GiveUp moves a task that nobody works on any more to the archive, unless its lease isn't the one any more that was seen.
func (k Keys) GiveUp(ctx context.Context, rdb redis.UniversalClient, id, lease string) error {
	return giveUpScript.Run(ctx, rdb, k.tasks(), id, lease).Err()
}
