package queue

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// serverTime is the Redis that asynq sees: every time that asynq writes or asks for by this machine's clock becomes that of
// the Redis that has the queue. So a job comes back when its delay is over, a lease ends when it should, and nobody takes a
// living worker's job, whatever this machine's clock says, and when several machines' clocks say different things.
//
// It knows asynq v0.26's commands by their keys. What it doesn't know passes untouched.
type serverTime struct {
	redis.UniversalClient

	queues   map[string]*serverClock // by the prefix of their keys
	any      *serverClock            // for what belongs to no queue
	commands map[shape]command
}

// EvalSha is what asynq does nearly everything with.
func (s *serverTime) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if s.tooEarly(keys) {
		return noneExpired(ctx)
	}
	return s.UniversalClient.EvalSha(ctx, sha1, keys, s.corrected(keys, args)...)
}

// Eval is that when Redis doesn't know the script.
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

// ZAdd gives a sign of life.
func (s *serverTime) ZAdd(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	if key == AllServers || key == AllWorkers {
		members = moved(members, s.any)
	}
	return s.UniversalClient.ZAdd(ctx, key, members...)
}

// tooEarly tells that expired leases are asked for while all of them may seem so: Redis's clock was set, and their workers
// haven't extended them since.
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

// corrected returns the arguments with Redis's time in the place of this machine's.
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

// add adds to those of the arguments that are what they are expected to be.
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

// wholeSeconds is what to add to a time that is in whole seconds.
func wholeSeconds(d time.Duration) int64 { return int64(math.Round(d.Seconds())) }
