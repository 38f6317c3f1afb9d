package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Pending returns how many tasks wait in each of the queues. Tasks that are in work, due later, or kept after their end don't
// count.
func Pending(ctx context.Context, rdb redis.UniversalClient, queues []string) (map[string]int64, error) {
	lengths := make(map[string]*redis.IntCmd, len(queues))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, queue := range queues {
			lengths[queue] = p.LLen(ctx, KeysOf(queue).Pending())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pending := make(map[string]int64, len(queues))
	for queue, length := range lengths {
		pending[queue] = length.Val()
	}
	return pending, nil
}
