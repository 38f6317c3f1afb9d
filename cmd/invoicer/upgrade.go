package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/postgres"
	"invoicer/worker/queue"
)

// firstWithIdentifiers is the migration that a worker knows which takes identifiers of any script.
const firstWithIdentifiers = 33

// An upgrade finds out whether a worker of the release before lives, which refuses what this release takes in jobs of version 1. Once
// none does, that is on record for ever.
type upgrade struct {
	store        *postgres.DB
	redis        redis.UniversalClient
	installation string
	schema       string
	log          *slog.Logger

	done  atomic.Bool
	asked atomic.Int64 // when it was asked last, in Unix nanoseconds
}

// askAgain is how often it is asked at most whether older workers live, while jobs wait for that.
const askAgain = 5 * time.Second

// TakesIdentifiers reports whether no worker of the release before lives. It asks only for jobs that depend on it.
func (u *upgrade) TakesIdentifiers(ctx context.Context) bool {
	if u.done.Load() {
		return true
	}
	last, now := u.asked.Load(), time.Now().UnixNano()
	if now-last < int64(askAgain) || !u.asked.CompareAndSwap(last, now) {
		return u.done.Load()
	}
	if err := u.ask(ctx); err != nil {
		u.log.WarnContext(ctx, "whether workers of the release before live isn't known", "error", err)
	}
	return u.done.Load()
}

func (u *upgrade) ask(ctx context.Context) error {
	known, err := u.store.Ledger.TakesIdentifiers(ctx)
	if err != nil {
		return err
	}
	if !known {
		running, err := queue.Workers(ctx, u.redis)
		if err != nil {
			return err
		}
		for _, w := range running {
			if w.Installation == u.installation && w.Schema == u.schema && w.Migration < firstWithIdentifiers {
				return nil
			}
		}
		if err := u.store.Ledger.TakeIdentifiers(ctx); err != nil {
			return err
		}
	}
	u.done.Store(true)
	return nil
}

// run asks at the start and from time to time, so that accept() takes such jobs, too, without any that waits.
func (u *upgrade) run(ctx context.Context) {
	for !u.TakesIdentifiers(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(askAgain + time.Second):
		}
	}
	<-ctx.Done()
}
