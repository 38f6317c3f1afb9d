package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// tidyScript takes ids out of the queue's sets, and of the newest end of its list, that have no task: asynq can't tell a queue's
// size while it has one there, and can't take up retries while one of those that are due is of a wrong type. It looks at
// those that are next; the others come to that.
//
// And it goes, slowly, through all of Redis's keys: a task without a message is deleted, and one that has ended, and that
// its set has lost, is put there again. asynq deletes it from there in its time, as nobody else ever would.
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

// keysATime is how many of Redis's keys are gone through at once.
const keysATime = 1000

// Tidy tidies up a queue, and goes on through Redis's keys where an earlier call has stopped: at "0", to begin with. It
// returns where it has stopped, and how many ids it has removed.
func (k Keys) Tidy(ctx context.Context, rdb redis.UniversalClient, from string) (next, removed string, err error) {
	answer, err := tidyScript.Run(ctx, rdb, k.tasks(), from, keysATime).StringSlice()
	if err != nil || len(answer) != 2 {
		return "", "0", err
	}
	return answer[0], answer[1], nil
}
