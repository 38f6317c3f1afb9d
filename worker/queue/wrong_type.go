package queue

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// removeWrongTypes deletes keys that aren't of the type that asynq and this program use, and counters that can't be
// incremented: commands on such a key fail, which stops the queue. It returns the deleted keys.
var removeWrongTypes = redis.NewScript(`
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

// IsWrongType reports whether an error means that a command needs a key of another type. It also recognizes a script's
// error, in whose text older servers quote the command's error.
func IsWrongType(err error) bool { return err != nil && strings.Contains(err.Error(), "WRONGTYPE") }

// RemoveWrongTypes deletes those of the queue's keys, and of the mark's key in the queue's slot, that are of a wrong type. It
// returns the deleted keys.
func (k Keys) RemoveWrongTypes(ctx context.Context, rdb redis.UniversalClient, mark string) (removed []string, err error) {
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
	return removeWrongTypes.Run(ctx, rdb, keys, kinds...).StringSlice()
}

// RemoveWrongTypeRegisters does the same with the registers that all queues share: while they are of a wrong type, no job can
// be enqueued, and no worker can write its heartbeat.
func RemoveWrongTypeRegisters(ctx context.Context, rdb redis.UniversalClient) (removed []string, err error) {
	for key, kind := range map[string]string{AllQueues: "set", AllServers: "zset", AllWorkers: "zset"} { // each in a slot of its own
		some, err := removeWrongTypes.Run(ctx, rdb, []string{key}, kind).StringSlice()
		if removed = append(removed, some...); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// Register adds queues to asynq's set of queues. asynq itself does so once for each client, and not again after Redis has
// lost its data.
func Register(ctx context.Context, rdb redis.Cmdable, queues ...string) *redis.IntCmd {
	names := make([]any, len(queues))
	for i, name := range queues {
		names[i] = name
	}
	return rdb.SAdd(ctx, AllQueues, names...)
}
