package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"invoicer/internal/await"
	"invoicer/internal/health"
	"invoicer/internal/metrics"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// health returns what watches the workplace; its metrics join the others.
func (w *workplace) health(m *metrics.Metrics) *health.Health {
	return health.New(health.Options{
		Servers: w.serverNames(), Probes: w.probes(), Logger: w.log, Registry: m.Registry,
		// A job that waits asks again before its time is up and, once it was put back, within 5 s of that.
		Silence: w.cfg.Worker.JobTimeout + 10*time.Second,
	})
}

// probes are what /readyz answers for, one line for each.
func (w *workplace) probes() []health.Probe {
	names := w.serverNames()
	database := &databaseProbe{store: w.store, id: w.databaseID}
	queues := &queueProbe{workplace: w, redis: worker.NewProbe(w.redis, worker.ProbeOptions{
		Queues: slices.Sorted(maps.Keys(w.cfg.Worker.Queues)), Prefix: "invoicer:" + w.databaseID + ":", Logger: w.log,
	})}
	return []health.Probe{
		{Name: "database", Server: names.Postgres, Try: database.try},
		{Name: "queues", Server: names.Redis, Try: queues.try},
	}
}

// A queueProbe asks whether the queues can be worked on, and are this installation's.
type queueProbe struct {
	*workplace
	redis *worker.Probe
	owned time.Time // when they were, the last time that Redis was looked at
}

// claimPatience is how long the queues' owner may take to be renewed, as it does when Redis comes back.
const claimPatience = 5 * time.Second

func (p *queueProbe) try(ctx context.Context) error {
	if err := p.redis.Check(ctx); err != nil {
		p.owned = time.Time{}
		return err
	}
	if p.keeper == nil { // they are claimed later
		return nil
	}
	err := p.keeper.Check()
	if err == nil || p.owned.IsZero() {
		p.owned = time.Now()
	}
	if time.Since(p.owned) < claimPatience {
		return nil
	}
	return err
}

func (w *workplace) serverNames() health.Servers {
	return health.Servers{Postgres: "postgres at " + w.cfg.Database.Addr(), Redis: "redis at " + w.cfg.Redis.Addr()}
}

// A databaseProbe asks Postgres whether it takes the work, and from time to time has it commit something.
type databaseProbe struct {
	store     *postgres.DB
	id        string // of the database that this process was started with
	committed time.Time
}

// commitInterval is how often the database is to commit something for a probe.
const commitInterval = 5 * time.Second

func (p *databaseProbe) try(ctx context.Context) error {
	if err := p.store.Probe(ctx); err != nil {
		return err
	}
	if time.Since(p.committed) < commitInterval {
		return nil
	}
	id, err := p.store.DatabaseID(ctx)
	if err != nil {
		return err
	}
	if id != p.id {
		return fmt.Errorf("another database answers, whose identity is %s and was %s: restart this worker if that is meant", id, p.id)
	}
	if err := p.store.ProbeCommit(ctx); err != nil {
		return err
	}
	p.committed = time.Now()
	return nil
}

// refuseWithoutRights is for before anything else is read: it would say less clearly what is missing.
func (w *workplace) refuseWithoutRights(ctx context.Context) error {
	err := await.Try(ctx, w.store.Probe)
	var unfit *postgres.UnfitError
	if errors.As(err, &unfit) && unfit.Code == insufficientPrivilege {
		return fmt.Errorf("%s: %w", w.serverNames().Postgres, err)
	}
	return nil
}
