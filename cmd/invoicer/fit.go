package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// probes are what /readyz answers for, one line for each.
func (w *workplace) probes() []probe {
	names := w.serverNames()
	database := &databaseProbe{store: w.store, id: w.databaseID}
	return []probe{
		{name: "database", server: names.postgres, try: database.try},
		{name: "redis", server: names.redis, try: worker.NewProbe(w.redis, worker.ProbeOptions{
			Queues: slices.Sorted(maps.Keys(w.cfg.Worker.Queues)), Prefix: "invoicer:" + w.databaseID + ":", Logger: w.log,
		}).Check},
	}
}

func (w *workplace) serverNames() serverNames {
	return serverNames{postgres: "postgres at " + w.cfg.Database.Addr(), redis: "redis at " + w.cfg.Redis.Addr()}
}

// A databaseProbe asks Postgres whether it takes the work, and from time to time has it commit something.
type databaseProbe struct {
	store     *postgres.Store
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

// refuseUnfit returns an error if something is in the way of every job, and doesn't heal by waiting. For what does, the
// worker starts, and says that it isn't ready.
func (w *workplace) refuseUnfit(ctx context.Context) error {
	var problems []error
	for _, p := range w.probes() {
		if err := try(ctx, p.try); err != nil {
			problems = append(problems, w.lasting(p, err))
		}
	}
	return errors.Join(problems...)
}

// refuseWithoutRights is for before anything else is read: it would say less clearly what is missing.
func (w *workplace) refuseWithoutRights(ctx context.Context) error {
	err := try(ctx, w.store.Probe)
	var unfit *postgres.UnfitError
	if errors.As(err, &unfit) && unfit.Code == "42501" {
		return w.lasting(probe{}, err)
	}
	return nil
}

// lasting returns what a probe has found, if waiting doesn't help against it.
func (w *workplace) lasting(p probe, err error) error {
	if c := p.cause(w.serverNames(), err); c.lasting {
		return fmt.Errorf("%s: %s", c.server, c.text)
	}
	return nil
}
