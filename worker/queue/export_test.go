package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// DeadAfter is for how long a silent owner lives.
const DeadAfter = deadAfter

// Usurp makes an installation a queue's owner, whoever is.
func Usurp(ctx context.Context, rdb redis.UniversalClient, queue string, i Installation, nonce, worker, since string) error {
	s, err := Look(ctx, rdb, queue)
	if err != nil {
		return err
	}
	_, err = claimant{signature: s.Owner.signature, since: since}.install(ctx, rdb, queue, i, nonce, worker)
	return err
}
