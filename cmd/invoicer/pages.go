package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/health"
	"invoicer/internal/metrics"
	"invoicer/web"
	"invoicer/worker/queue"
)

// pages are the pages of a worker, with their monitor, whose connections to Redis must be closed.
type pages struct {
	*web.Pages
	monitor *asynqmon.HTTPHandler
}

// openPages listens on the configured address. It returns nil if none is configured. The pages answer once their part runs.
func openPages(ctx context.Context, cfg *config.Config, h *health.Health, m *metrics.Metrics, log *slog.Logger) (*pages, error) {
	if cfg.HTTP.Addr == "" {
		return nil, nil
	}
	p := &pages{monitor: asynqmon.New(asynqmon.Options{RootPath: web.MonitorPath, RedisConnOpt: monitorRedis{cfg}})}
	var err error
	p.Pages, err = web.Open(ctx, web.Options{
		Addr: cfg.HTTP.Addr, Room: roomForVisitors(cfg), Pprof: cfg.HTTP.Pprof == "on", Logger: log,
		Ready: h, Metrics: promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}), Monitor: p.monitor,
	})
	if err != nil {
		_ = p.monitor.Close()
		return nil, fmt.Errorf("http.addr %s can't be used (%w): choose another one, or leave it empty to turn the pages off", cfg.HTTP.Addr, errors.Unwrap(err))
	}
	return p, nil
}

func (p *pages) close() {
	if p == nil {
		return
	}
	p.Close()
	_ = p.monitor.Close()
}

// roomForVisitors returns how many connections the pages may have, so that enough descriptors are left for the work.
func roomForVisitors(cfg *config.Config) int {
	const fewest, files = 8, 64
	limit := descriptors()
	if limit == 0 {
		return web.MostVisitors
	}
	work := cfg.Worker.Concurrency + connectionsBeside + len(cfg.Worker.Queues) + mostDatabaseConnections + monitorConnections + files
	return max(fewest, min((limit-work)/2, web.MostVisitors))
}

// monitorConnections is the largest number of connections to Redis that asynqmon's two clients open.
const monitorConnections = 2 * connectionsBeside

// monitorRedis gives asynqmon clients of its own, which asynqmon closes. They have few connections, because only visitors use them.
type monitorRedis struct{ cfg *config.Config }

func (r monitorRedis) MakeRedisClient() any {
	o, err := r.cfg.Redis.Options()
	if err != nil {
		return nil // asynqmon refuses; the configuration was checked before
	}
	o.PoolSize = connectionsBeside
	client := redis.NewUniversalClient(o)
	client.AddHook(&queue.OutageBackoff{})
	return client
}
