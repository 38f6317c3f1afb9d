package queue

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// misfits deletes those keys that are of another type than asynq and we use: every command on such a key fails, and the
// queue stands still. A count that can't be counted up is one as well. It returns the keys.
var misfits = redis.NewScript(`
local removed = {}
for i, key in ipairs(KEYS) do
	local want, kind = ARGV[i], redis.call("TYPE", key).ok
	local fits = kind == "none" or kind == want
	if want == "count" and kind == "string" then
		local value = redis.call("GET", key)
		fits = #value < 19 and string.find(value, "^%-?%d+$")
	end
	if not fits then
		redis.call("UNLINK", key)
		table.insert(removed, key)
	end
end
return removed`)

// IsWrongType tells that a key is of another type than a command wants. It also knows the error of a script, which older
// servers put into words of their own.
func IsWrongType(err error) bool { return err != nil && strings.Contains(err.Error(), "WRONGTYPE") }

// RemoveMisfits deletes those of the queue's keys that are of a wrong type, and the mark's, which is in the queue's slot. It
// returns the keys.
func (k Keys) RemoveMisfits(ctx context.Context, rdb redis.UniversalClient, mark string) (removed []string, err error) {
	today := time.Now()
	keys := k.tasks()
	kinds := []any{"list", "list", "zset", "zset", "zset", "zset", "zset"}
	for _, more := range []struct{ key, kind string }{
		{mark, "string"},
		{k.Paused(), "string"},
		{k.Processed(), "count"},
		{k.ProcessedOn(today), "count"},
		{k.Failed(), "count"},
		{k.FailedOn(today), "count"},
	} {
		keys, kinds = append(keys, more.key), append(kinds, more.kind)
	}
	return misfits.Run(ctx, rdb, keys, kinds...).StringSlice()
}

// RemoveMisfitRegisters does so with the registers that are the same for all queues: without them nobody could enqueue, and
// no worker could tell that it lives.
func RemoveMisfitRegisters(ctx context.Context, rdb redis.UniversalClient) (removed []string, err error) {
	for key, kind := range map[string]string{AllQueues: "set", AllServers: "zset", AllWorkers: "zset"} { // each in a slot of its own
		some, err := misfits.Run(ctx, rdb, []string{key}, kind).StringSlice()
		if removed = append(removed, some...); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// Register has queues named where asynq lists them. asynq does so once for each client, and not again after Redis has
// forgotten it.
func Register(ctx context.Context, rdb redis.Cmdable, queues ...string) *redis.IntCmd {
	names := make([]any, len(queues))
	for i, name := range queues {
		names[i] = name
	}
	return rdb.SAdd(ctx, AllQueues, names...)
}
