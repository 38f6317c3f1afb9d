package queue

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// serverTime is the Redis client that asynq uses: it converts every time that asynq passes, which is by this machine's clock,
// to the clock of the Redis that has the queue. So a delay and a lease last as long as they should, and no worker takes a
// living worker's job, even if the machines' clocks are wrong or differ.
//
// It recognizes asynq v0.26's commands by their keys. It passes other commands on unchanged.
type serverTime struct {
	redis.UniversalClient

	queues   map[string]*serverClock // by the prefix of their keys
	any      *serverClock            // for keys that belong to no queue
	commands map[shape]command
}

// EvalSha runs nearly all of asynq's commands.
func (s *serverTime) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if s.tooEarly(keys) {
		return noneExpired(ctx)
	}
	return s.UniversalClient.EvalSha(ctx, sha1, keys, s.corrected(keys, args)...)
}

// Eval runs a script of asynq's that Redis doesn't know yet.
func (s *serverTime) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if s.tooEarly(keys) {
		return noneExpired(ctx)
	}
	return s.UniversalClient.Eval(ctx, script, keys, s.corrected(keys, args)...)
}

// ZAddXX extends leases.
func (s *serverTime) ZAddXX(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	if prefix, kind := kindOf(key); kind == "lease" {
		members = moved(members, s.queues[prefix])
	}
	return s.UniversalClient.ZAddXX(ctx, key, members...)
}

// ZAdd writes when a heartbeat expires.
func (s *serverTime) ZAdd(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	if key == AllServers || key == AllWorkers {
		members = moved(members, s.any)
	}
	return s.UniversalClient.ZAdd(ctx, key, members...)
}

// tooEarly reports whether a script asks for expired leases while living workers' leases may seem expired: Redis's clock was
// set, and the workers may not have extended their leases since.
func (s *serverTime) tooEarly(keys []string) bool {
	if len(keys) != 1 {
		return false
	}
	prefix, kind := kindOf(keys[0])
	clock := s.queues[prefix]
	return clock != nil && kind == "lease" && clock.unsettled()
}

func noneExpired(ctx context.Context) *redis.Cmd {
	none := redis.NewCmd(ctx)
	none.SetVal([]any{})
	return none
}

// corrected returns the arguments with the times converted to Redis's clock.
func (s *serverTime) corrected(keys []string, args []any) []any {
	prefix, form := shapeOf(keys)
	clock := s.queues[prefix]
	if clock == nil {
		return args
	}
	at, ok := s.commands[form]
	if !ok {
		return args
	}
	ahead, _ := clock.ahead()
	seconds := wholeSeconds(ahead)
	if seconds == 0 {
		return args
	}
	args = slices.Clone(args)
	add(args, at.seconds, seconds)
	add(args, at.nanoseconds, ahead.Nanoseconds())
	return args
}

// add adds n to the arguments at the given places that are integers.
func add(args []any, places []int, n int64) {
	for _, i := range places {
		if i >= len(args) {
			continue
		}
		if value, ok := args[i].(int64); ok {
			args[i] = value + n
		}
	}
}

func moved(members []redis.Z, clock *serverClock) []redis.Z {
	if clock == nil {
		return members
	}
	ahead, _ := clock.ahead()
	seconds := wholeSeconds(ahead)
	if seconds == 0 {
		return members
	}
	members = slices.Clone(members)
	for i := range members {
		members[i].Score += float64(seconds)
	}
	return members
}

// wholeSeconds rounds d to seconds.
func wholeSeconds(d time.Duration) int64 { return int64(math.Round(d.Seconds())) }
