package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// ownerTimeout bounds each of the two queries for the owner of a queue: to Redis, and to the database.
const ownerTimeout = 2 * time.Second

// After a failover, the owner's latest nonce may have been lost with the old primary: its workers write a new one every second. So a queue
// belongs to another copy of the database only if it does so for copyPatience.
const (
	copyPatience = 5 * time.Second
	copyPause    = 250 * time.Millisecond
)

// refuseForeignQueue returns a [*queue.TakenError] if the queue belongs to another installation. If the queue has an owner and the
// nonces of the configured database can't be read, it can't tell: then it calls warn and returns nil.
func refuseForeignQueue(ctx context.Context, rdb redis.UniversalClient, name string, nonces func(context.Context) (ledger.Nonces, error), warn func(string)) error {
	for begun := time.Now(); ; {
		err := lookForOwner(ctx, rdb, name, nonces, warn)
		if taken := new(queue.TakenError); !errors.As(err, &taken) || !taken.Copy || time.Since(begun) > copyPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(copyPause):
		}
	}
}

func lookForOwner(ctx context.Context, rdb redis.UniversalClient, name string, nonces func(context.Context) (ledger.Nonces, error), warn func(string)) error {
	asking, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	standing, err := queue.Look(asking, rdb, name)
	if err != nil || !standing.Owner.Exists() {
		return err
	}
	mine, err := nonces(ctx) // after Redis, so that the owner's own database has every nonce that was in Redis
	if err != nil {
		warn(fmt.Sprintf("queue %s belongs to %s; can't find out whether that is the configured installation: %s", name, standing.Owner, await.OneLine(err)))
		return nil
	}
	return standing.Refuse(mine)
}

// askOnce returns a function that reads the nonces of the configured database over a new connection, and closes it.
func askOnce(cfg *config.Config) func(context.Context) (ledger.Nonces, error) {
	return func(ctx context.Context) (n ledger.Nonces, err error) {
		ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
		defer cancel()
		store, err := newStore(cfg)
		if err != nil {
			return n, err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		return store.Nonces(ctx)
	}
}

// once returns a check that isn't repeated after it has passed. The sender pings the server again after each outage, but needs to
// look for the owner of the queue only before it begins. The result isn't safe for concurrent use.
func once(check func(context.Context) error) func(context.Context) error {
	passed := false
	return func(ctx context.Context) error {
		if passed {
			return nil
		}
		err := check(ctx)
		passed = err == nil
		return err
	}
}
