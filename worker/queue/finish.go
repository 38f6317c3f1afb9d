package queue

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// When Redis has lost a part of an active task, asynq's scripts fail to end it and leave the other part behind. No later
// check would find those remains, because the job has its end.

// end looks at the reply of one of asynq's own scripts. If the script should have ended a task that wasn't active any more,
// end deletes what is left of the task.
func (g *fetchGate) end(ctx context.Context, cmd *redis.Cmd, keys []string, args []any) *redis.Cmd {
	if err := cmd.Err(); err == nil || !strings.HasPrefix(err.Error(), "NOT FOUND") && !strings.HasPrefix(err.Error(), "ERR NOT FOUND") {
		return cmd
	}
	if task, active, lease := endOf(keys); task != "" && len(args) > 0 {
		deleteRemains.Run(ctx, g.UniversalClient, []string{task, active, lease}, args[0])
	}
	return cmd
}

var deleteRemains = redis.NewScript(`
if (redis.call("HGET", KEYS[1], "state") or "active") == "active" and not redis.call("LPOS", KEYS[2], ARGV[1]) then
	redis.call("ZREM", KEYS[3], ARGV[1])
	redis.call("UNLINK", KEYS[1])
end
return 1`)
