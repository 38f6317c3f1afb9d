package queue

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// When Redis has lost a part of a task that is in hand, asynq's way to end it leaves the other part behind, where nobody
// would ever look for it: the job has its end.

// end runs one of asynq's own scripts. If it was to end a task and doesn't find that in hand, it deletes what is left.
func (g *fetchGate) end(ctx context.Context, cmd *redis.Cmd, keys []string, args []any) *redis.Cmd {
	if err := cmd.Err(); err == nil || !strings.HasPrefix(err.Error(), "NOT FOUND") && !strings.HasPrefix(err.Error(), "ERR NOT FOUND") {
		return cmd
	}
	if task, active, lease := endOf(keys); task != "" && len(args) > 0 {
		leaveNothing.Run(ctx, g.UniversalClient, []string{task, active, lease}, args[0])
	}
	return cmd
}

var leaveNothing = redis.NewScript(`
if (redis.call("HGET", KEYS[1], "state") or "active") == "active" and not redis.call("LPOS", KEYS[2], ARGV[1]) then
	redis.call("ZREM", KEYS[3], ARGV[1])
	redis.call("UNLINK", KEYS[1])
end
return 1`)
