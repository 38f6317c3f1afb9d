package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/health"
	"invoicer/internal/lifecycle"
	"invoicer/invoice/postgres"
	"invoicer/migrations"
)

func (a app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve the pages of a worker without taking jobs, until SIGINT or SIGTERM",
		GroupID: groupRun,
		Args:    noArgs,
		Long: `Serves on http.addr what a worker serves there, and takes no jobs: the pages, /metrics, /livez, /healthz and
/readyz, and asynqmon under /monitor/. It is ready when Postgres and Redis answer.

Its numbering must be that of the workers: a forecast of a replay tells by it which invoices are possible.`,
		Example: `  invoicer serve
  invoicer serve --http-addr 127.0.0.1:8090`,
	}
	addConfigFlags(cmd, "worker", "numbering", "http")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.serve(cmd) }
	return cmd
}

func (a app) serve(cmd *cobra.Command) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	if cfg.HTTP.Addr == "" {
		return usageErrorf("http.addr is empty, and serve does nothing but listen there: give an address such as 127.0.0.1:8080")
	}
	if _, err := pageTemplate(cfg); err != nil {
		return err
	}
	log := newLogger(cfg.Log, cmd.ErrOrStderr())
	catchLogs(log)
	ctx, stop := untilSignal(cmd.Context(), func() { log.Info("stopping: requests under way are answered; a second signal ends at once") })
	defer stop()
	store, rdb, err := openServed(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer store.Close()
	defer rdb.Close()

	m := newMetrics(cfg)
	h := health.New(health.Options{
		Servers: serverNames(cfg), Logger: log, Registry: m.Registry, Version: buildVersion().Version,
		Probes: []health.Probe{
			{Name: "database", Server: serverNames(cfg).Postgres, Try: store.Ping},
			{Name: "redis", Server: serverNames(cfg).Redis, Try: func(ctx context.Context) error { return rdb.Ping(ctx).Err() }},
		},
	})
	p, err := openPages(ctx, cfg, cfg.HTTP.Addr, h, m, store.Reports.Producers, log)
	if err != nil {
		return err
	}
	defer p.close()
	watching, err := watch(cfg, m, store, rdb, slices.Sorted(maps.Keys(cfg.Worker.Queues)), log)
	if err != nil {
		return err
	}
	return lifecycle.Run(ctx, append(lifecycle.Stage{h.Watching(), watching}, p.parts()...), lifecycle.Stage{h.Readiness(nil)})
}

// openServed returns clients of both servers, once the database has answered and has this program's schema. Redis needn't answer yet:
// the pages say what they lack without it.
func openServed(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *postgres.DB, _ redis.UniversalClient, err error) {
	store, err := newStore(cfg)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	if err := await.Answer(ctx, log, "postgres at "+cfg.Database.Addr(), store.Ping); err != nil {
		return nil, nil, err
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return nil, nil, err
	}
	if err := migrator.Check(ctx); err != nil {
		return nil, nil, err
	}
	rdb, err := newRedis(cfg, 0)
	return store, rdb, err
}
