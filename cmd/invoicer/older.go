package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/invoice/postgres"
	"invoicer/worker/queue"
)

// refuseOlderWorkers returns an error that names the workers of this installation which know no migration as new as first. which says what
// these lack, and then what to do once they are gone.
func refuseOlderWorkers(ctx context.Context, cfg *config.Config, store *postgres.DB, rdb redis.UniversalClient, first int64, which, then string) error {
	running, err := queue.Workers(ctx, rdb)
	if err != nil {
		return await.Briefly("whether workers of an earlier release run isn't known: redis at "+cfg.Redis.Addr()+": ", err)
	}
	id, err := store.DatabaseID(ctx)
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	var older []string
	for _, w := range running {
		if w.Installation == id && w.Schema == cfg.Database.Schema && w.Migration < first {
			older = append(older, fmt.Sprintf("%s (%s)", w.Name, w.Version))
		}
	}
	if len(older) > 0 {
		return fmt.Errorf("workers of an earlier release run, which %s: %s: upgrade or stop them, and %s ten seconds later", which, strings.Join(older, ", "), then)
	}
	return nil
}
