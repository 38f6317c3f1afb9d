package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// tidyScript removes ids without a task from the queue's sets, and from the newest end of its list: such an id makes asynq
// fail to compute the queue's size, and a due retry whose key is of a wrong type stops all retries. Each call looks at the
// first ids of each set; the others move up.
//
// It also scans all of Redis's keys, some with each call: it deletes a task without a message, and puts an ended task that
// its set has lost back there, from where asynq deletes it in time.
var tidyScript = redis.NewScript(inQueue + `
local removed = 0
local function remove(id)
	purge(id)
	removed = removed + 1
end
for set, most in pairs({[retry] = 999, [scheduled] = 999, [archived] = 99, [completed] = 99}) do
	for _, id in ipairs(redis.call("ZRANGE", set, 0, most)) do
		if place(id) == "gone" then
			remove(id)
		end
	end
end
for _, id in ipairs(redis.call("LRANGE", pending, 0, 99)) do
	if place(id) == "gone" then
		redis.call("LREM", pending, 0, id)
		remove(id)
	end
end
local found = redis.call("SCAN", ARGV[1], "MATCH", prefix .. "*", "COUNT", ARGV[2])
for _, key in ipairs(found[2]) do
	local id = string.sub(key, #prefix + 1)
	local where = place(id)
	if where == "gone" then
		remove(id)
	elseif where == "lost" then
		local state = redis.call("HGET", key, "state")
		if state == "completed" or state == "archived" then
			redis.call("ZADD", sets[state], redis.call("TIME")[1], id)
		end
	end
end
return {found[1], tostring(removed)}`)

// keysATime is about how many of Redis's keys a call scans.
const keysATime = 1000

// Tidy deletes the remains of tasks in a queue, and continues the scan of Redis's keys at the cursor that the previous call
// returned, "0" for the first. It returns the next cursor, and how many ids it has removed.
func (k Keys) Tidy(ctx context.Context, rdb redis.UniversalClient, from string) (next, removed string, err error) {
	answer, err := tidyScript.Run(ctx, rdb, k.tasks(), from, keysATime).StringSlice()
	if err != nil || len(answer) != 2 {
		return "", "0", err
	}
	return answer[0], answer[1], nil
}
