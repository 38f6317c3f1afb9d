package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/health"
	"invoicer/internal/lifecycle"
	"invoicer/internal/metrics"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// health returns the health checks of the workplace. Their metrics join those of m.
func (w *workplace) health(m *metrics.Metrics) *health.Health {
	return health.New(health.Options{
		Servers: w.serverNames(), Probes: w.probes(), Logger: w.log, Registry: m.Registry, Unsafe: w.lacksSafety(), Version: buildVersion().Version,
		// A job that waits in hand reports again within its job_timeout; a job that was put back, within 5 s after that.
		Silence: w.cfg.Worker.JobTimeout + 10*time.Second,
	})
}

// probes returns the probes that decide whether /readyz answers 200.
func (w *workplace) probes() []health.Probe {
	names := w.serverNames()
	database := &databaseProbe{workplace: w}
	queues := &queueProbe{workplace: w, redis: worker.NewProbe(w.redis, worker.ProbeOptions{
		Queues: slices.Sorted(maps.Keys(w.cfg.Worker.Queues)), Prefix: "invoicer:" + w.databaseID + ":", Logger: w.log,
	})}
	return []health.Probe{
		{Name: "database", Server: names.Postgres, Try: database.try},
		{Name: "queues", Server: names.Redis, Try: queues.try},
	}
}

// A queueProbe tests whether Redis fits the work, and whether the queues belong to this installation.
type queueProbe struct {
	*workplace
	redis *worker.Probe
	owned time.Time // when the queues last belonged to this installation; zero if Redis failed the latest test
}

// claimGrace is how long the queues may be without this installation's claim before the probe fails: after an outage of Redis the
// keeper needs a moment to renew the claim.
const claimGrace = 5 * time.Second

func (p *queueProbe) try(ctx context.Context) error {
	if err := p.redis.Check(ctx); err != nil {
		p.owned = time.Time{}
		return err
	}
	if p.keeper == nil { // the queues haven't been claimed yet
		return nil
	}
	err := p.keeper.Check()
	if err == nil || p.owned.IsZero() {
		p.owned = time.Now()
	}
	if time.Since(p.owned) < claimGrace {
		return nil
	}
	return err
}

func (w *workplace) serverNames() health.Servers { return serverNames(w.cfg) }

func serverNames(cfg *config.Config) health.Servers {
	return health.Servers{Postgres: "postgres at " + cfg.Database.Addr(), Redis: "redis at " + cfg.Redis.Addr()}
}

// A databaseProbe tests whether Postgres fits the work, and every few seconds whether it commits a transaction.
type databaseProbe struct {
	*workplace

	committed time.Time
}

// commitInterval is the interval between two commits of the probe.
const commitInterval = 5 * time.Second

func (p *databaseProbe) try(ctx context.Context) error {
	if err := p.store.Probe(ctx); err != nil {
		return err
	}
	if err := p.endanger(ctx); err != nil {
		return err
	}
	if time.Since(p.committed) < commitInterval {
		return nil
	}
	id, err := p.store.DatabaseID(ctx)
	if err != nil {
		return err
	}
	if id != p.databaseID {
		return fmt.Errorf("another database answers, whose identity is %s and was %s: restart this worker if that is meant", id, p.databaseID)
	}
	if err := p.store.ProbeCommit(ctx); err != nil {
		return err
	}
	p.committed = time.Now()
	return nil
}

// endanger has no job fetched while the database may lose what it has committed, unless that is allowed: its settings may change, and so
// may the server, after a failover.
func (p *databaseProbe) endanger(ctx context.Context) error {
	if p.cfg.AllowUnsafe {
		return nil
	}
	unsafe, err := p.store.Unsafe(ctx)
	if err != nil { // also of a server that was refused: then no connection of a job leads to it, either
		return err
	}
	if p.endangered.Store(len(unsafe) > 0); len(unsafe) > 0 {
		return &postgres.UnsafeError{Settings: unsafe}
	}
	return nil
}

// refuseWithoutRights returns an error that names the missing rights in the database. It is called before anything else is read,
// because Postgres's own refusal names only the first missing right.
func (w *workplace) refuseWithoutRights(ctx context.Context) error {
	err := await.Try(ctx, w.store.Probe)
	var unfit *postgres.UnfitError
	if errors.As(err, &unfit) && unfit.Code == insufficientPrivilege {
		return fmt.Errorf("%s: %w", w.serverNames().Postgres, err)
	}
	return nil
}

// refuseUnsafe returns an error if the database may lose what it has committed, unless that is allowed. Then it returns the settings.
func refuseUnsafe(ctx context.Context, cfg *config.Config, store *postgres.DB) (unsafe []postgres.UnsafeSetting, err error) {
	err = await.Try(ctx, func(ctx context.Context) (err error) {
		unsafe, err = store.Unsafe(ctx)
		return err
	})
	if err == nil && len(unsafe) > 0 && !cfg.AllowUnsafe {
		err = &postgres.UnsafeError{Settings: unsafe}
	}
	if err != nil {
		return nil, await.Briefly(serverNames(cfg).Postgres+": ", err)
	}
	return unsafe, nil
}

// safety returns the part that warns of what may get lost. Nobody needs that of a worker that is refused.
func (w *workplace) safety() lifecycle.Part {
	return lifecycle.Part{Name: "the look at what may get lost", Start: func(ctx context.Context) error {
		if len(w.unsafe) > 0 {
			w.log.WarnContext(ctx, "the database may lose what it has committed, as allow_unsafe allows", "settings", w.lacksSafety())
		}
		return nil
	}, Run: func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}}
}

// lacksSafety names the settings with which the database may lose what it has committed, as in: fsync off, full_page_writes off.
func (w *workplace) lacksSafety() string {
	var names []string
	for _, s := range w.unsafe {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}
