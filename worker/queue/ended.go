package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// forgetEnded deletes tasks that are completed or archived, with all that they hold. Others stay: their jobs have no end yet.
var forgetEnded = redis.NewScript(`
local forgotten = 0
for i = 1, #ARGV do
	if redis.call("ZREM", KEYS[1], ARGV[i]) + redis.call("ZREM", KEYS[2], ARGV[i]) > 0 then
		redis.call("DEL", KEYS[2 + i])
		forgotten = forgotten + 1
	end
end
return forgotten`)

// forgetPage is how many tasks are deleted at once.
const forgetPage = 500

// ForgetEnded deletes those of the queue's tasks with these ids that are completed or archived, and returns how many there were.
func (k Keys) ForgetEnded(ctx context.Context, rdb redis.Scripter, ids []string) (n int, err error) {
	for len(ids) > 0 {
		page := ids[:min(len(ids), forgetPage)]
		ids = ids[len(page):]
		keys, args := []string{k.Completed(), k.Archived()}, make([]any, len(page))
		for i, id := range page {
			keys, args[i] = append(keys, k.Task(id)), id
		}
		forgotten, err := forgetEnded.Run(ctx, rdb, keys, args...).Int()
		if n += forgotten; err != nil {
			return n, err
		}
	}
	return n, nil
}
