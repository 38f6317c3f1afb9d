package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice/postgres"
	"invoicer/migrations"
)

func migrateDown(cmd *cobra.Command, m *migrations.Migrator, cfg *config.Config) error {
	list, err := m.Status(cmd.Context())
	if err != nil {
		return err
	}
	applied := slices.DeleteFunc(list, func(one migrations.Migration) bool { return one.AppliedAt == nil })
	// A migration without a name is of a newer program, and Down refuses it anyway.
	if len(applied) > 0 && applied[len(applied)-1].Name != "" {
		if err := mayTakeBack(cmd, cfg, applied[len(applied)-1].Name); err != nil {
			return err
		}
	}
	undone, err := m.Down(cmd.Context())
	list = nil
	if undone != nil {
		list = append(list, *undone)
	}
	if err := printMigrations(cmd, "took back", list, fmt.Sprintf("schema %s has no migration to take back", cfg.Database.Schema), err); err != nil {
		return err
	}
	return err
}

// mayTakeBack returns nil if the schema isn't in use, if --force is given, or if the user answers yes.
func mayTakeBack(cmd *cobra.Command, cfg *config.Config, migration string) error {
	if force, err := cmd.Flags().GetBool("force"); err != nil || force {
		return err
	}
	store, err := newStore(cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	holds, err := store.Reports.Holdings(cmd.Context())
	if err != nil {
		return await.Briefly("", err)
	}
	reasons := append(holdings(holds), livingWorkers(cmd.Context(), cfg, holds)...)
	if len(reasons) == 0 {
		return nil
	}
	inUse := fmt.Sprintf("schema %s is in use: %s", cfg.Database.Schema, strings.Join(reasons, "; "))
	if !term.IsTerminal(cmd.ErrOrStderr()) || !term.IsTerminal(cmd.InOrStdin()) {
		return fmt.Errorf("%s\n%s was not taken back: stop the workers, and use --force if you mean it", inUse, migration)
	}
	cmd.PrintErrf("invoicer: %s\nTake %s back all the same? [y/N] ", inUse, migration)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // no answer means no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New(migration + " was not taken back")
	}
	return nil
}

// holdings returns a text that counts the records of the schema, which the previous release may not understand, or none.
func holdings(h postgres.Holdings) []string {
	var parts []string
	for _, one := range []struct {
		n            int64
		single, many string
	}{{h.Invoices, "invoice", "invoices"}, {h.Jobs, "recorded job", "recorded jobs"}, {h.Duplicates, "recorded duplicate", "recorded duplicates"}} {
		if one.n > 0 {
			parts = append(parts, term.Thousands(int(one.n))+" "+plural(int(one.n), one.single, one.many))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{"it holds " + strings.Join(parts, ", ")}
}

// livingWorkers returns a text for each worker that is alive according to the ledger or, if the ledger has none, to Redis. It takes
// a Redis that doesn't answer for one without workers.
func livingWorkers(ctx context.Context, cfg *config.Config, h postgres.Holdings) []string {
	queues := make(map[string][]string) // by worker
	for _, w := range h.Watchers {
		queues[w.Worker] = append(queues[w.Worker], w.Queue)
	}
	var reasons []string
	for _, worker := range slices.Sorted(maps.Keys(queues)) {
		reasons = append(reasons, fmt.Sprintf("worker %s is alive (%s)", worker, strings.Join(queues[worker], ", ")))
	}
	if len(reasons) > 0 {
		return reasons
	}
	ours := slices.Concat(h.Queues, slices.Sorted(maps.Keys(cfg.Worker.Queues)))
	for _, server := range consumers(ctx, cfg, ours) {
		reasons = append(reasons, fmt.Sprintf("a worker has been alive on %s, process %d, within the last 10 seconds", server.Host, server.PID))
	}
	return reasons
}

// consumers returns the processes that are registered in Redis as consumers of one of the queues, or none if Redis doesn't answer.
func consumers(ctx context.Context, cfg *config.Config, queues []string) []*asynq.ServerInfo {
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return nil
	}
	defer rdb.Close()
	if await.Try(ctx, func(ctx context.Context) error { return rdb.Ping(ctx).Err() }) != nil {
		return nil
	}
	servers, err := asynq.NewInspectorFromRedisClient(rdb).Servers()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(servers, func(s *asynq.ServerInfo) bool {
		return !slices.ContainsFunc(queues, func(q string) bool { return s.Queues[q] > 0 })
	})
}
