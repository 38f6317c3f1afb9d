package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/health"
	"invoicer/internal/metrics"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/web"
	"invoicer/web/access"
	"invoicer/web/pages"
	"invoicer/worker/dispatch"
	"invoicer/worker/queue"
)

// servedPages are the pages of a worker, with their connections, which must be closed.
type servedPages struct {
	*web.Pages
	shown   *pages.Pages
	store   *postgres.DB
	monitor *asynqmon.HTTPHandler
}

// openPages listens on the address, and returns nil if that is empty. The pages answer once their part runs.
func openPages(ctx context.Context, cfg *config.Config, addr string, h *health.Health, m *metrics.Metrics, log *slog.Logger) (_ *servedPages, err error) {
	if addr == "" {
		return nil, nil
	}
	p := &servedPages{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := p.show(cfg, log); err != nil {
		return nil, err
	}
	p.monitor = asynqmon.New(asynqmon.Options{RootPath: web.MonitorPath, RedisConnOpt: monitorRedis{cfg}})
	p.Pages, err = web.Open(ctx, web.Options{
		Addr: addr, Room: roomForVisitors(cfg), Pprof: cfg.HTTP.Pprof == "on", Logger: log,
		Ready: h, Metrics: promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}), Monitor: p.monitor,
		Routes: []web.Route{{Pattern: "GET /{$}", Role: access.Read, Handler: p.shown}, {Pattern: "/", Role: access.Read, Handler: p.shown}},
	})
	if err != nil {
		return nil, fmt.Errorf("http.addr %s can't be used (%w): choose another one, or leave it empty to turn the pages off", addr, errors.Unwrap(err))
	}
	return p, nil
}

// visitorConnections is the largest number of connections to Postgres that the pages open. They are not those of the workers, so that
// visitors can't hold up invoices.
const visitorConnections = 4

// show makes the pages, with a store of their own.
func (p *servedPages) show(cfg *config.Config, log *slog.Logger) (err error) {
	o := storeOptions(cfg)
	o.MaxConns = visitorConnections
	if p.store, err = postgres.Open(o); err != nil {
		return err
	}
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return err
	}
	forecaster := invoice.NewForecaster(invoice.NewGenerator(p.store.Invoices, numbering), p.store.Invoices)
	p.shown, err = pages.New(pages.Options{
		Reports: p.store.Reports, Failures: failures{p.store.Ledger}, Replayer: dispatch.NewReplayer(p.store.Ledger, forecaster),
		DatabaseTime: p.store.Now, Visitor: visitor,
		Place: cfg.Database.Schema + " in " + cfg.Database.Addr(), Logger: log,
	})
	return err
}

func (p *servedPages) close() {
	if p == nil {
		return
	}
	if p.Pages != nil {
		p.Close()
	}
	if p.shown != nil {
		p.shown.Close()
	}
	if p.store != nil {
		_ = p.store.Close()
	}
	if p.monitor != nil {
		_ = p.monitor.Close()
	}
}

// visitor returns who sent a request, for the pages. Nothing is known of visitors on this machine, so these say their names themselves.
func visitor(r *http.Request) pages.Visitor {
	v := access.Of(r)
	if v.Local() {
		return pages.Visitor{MayAct: v.May(access.Operate)}
	}
	return pages.Visitor{Name: v.Name, MayAct: v.May(access.Operate)}
}

// failures are the ledger's failed jobs, as pages change them.
type failures struct{ *postgres.Ledger }

// Dismiss implements [pages.Failures].
func (f failures) Dismiss(ctx context.Context, jobID string, by ledger.Actor) (bool, error) {
	err := f.Ledger.Dismiss(ctx, jobID, by)
	var other *postgres.StateError
	if errors.Is(err, postgres.ErrNoJob) || errors.As(err, &other) {
		return false, nil
	}
	return err == nil, err
}

// roomForVisitors returns how many connections the pages may have, so that enough descriptors are left for the work.
func roomForVisitors(cfg *config.Config) int {
	const fewest, files = 8, 64
	limit := descriptors()
	if limit == 0 {
		return web.MostVisitors
	}
	work := cfg.Worker.Concurrency + connectionsBeside + len(cfg.Worker.Queues) + mostDatabaseConnections + visitorConnections + monitorConnections + files
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
