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

// ownerTimeout bounds each of the two questions whose a queue is.
const ownerTimeout = 2 * time.Second

// refuseForeignQueue returns a [*queue.TakenError] if the queue is another installation's. Where the database can't be asked
// whether it is the owner's, it warns.
func refuseForeignQueue(ctx context.Context, rdb redis.UniversalClient, name string, nonces func(context.Context) (ledger.Nonces, error), warn func(string)) error {
	asking, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	standing, err := queue.Look(asking, rdb, name)
	if err != nil || !standing.Owner.Exists() {
		return err
	}
	mine, err := nonces(ctx) // after Redis: it must know what the owner's database knew then
	if err != nil {
		warn(fmt.Sprintf("queue %s belongs to %s; whether that is this configuration's own can't be found out: %s", name, standing.Owner, await.OneLine(err)))
		return nil
	}
	return standing.Refuse(mine)
}

// askOnce asks the configured database for its nonces, over a connection of its own.
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

// once lets the sender ask only before it begins: a check that has passed isn't repeated when a server comes back.
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
