package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"invoicer/internal/await"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// probes are what /readyz answers for, one line for each.
func (w *workplace) probes() []probe {
	names := w.serverNames()
	database := &databaseProbe{store: w.store, id: w.databaseID}
	queues := &queueProbe{workplace: w, redis: worker.NewProbe(w.redis, worker.ProbeOptions{
		Queues: slices.Sorted(maps.Keys(w.cfg.Worker.Queues)), Prefix: "invoicer:" + w.databaseID + ":", Logger: w.log,
	})}
	return []probe{
		{name: "database", server: names.postgres, try: database.try},
		{name: "queues", server: names.redis, try: queues.try},
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

func (w *workplace) serverNames() serverNames {
	return serverNames{postgres: "postgres at " + w.cfg.Database.Addr(), redis: "redis at " + w.cfg.Redis.Addr()}
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

// awaitFit returns once jobs could be worked on, and waits as long for that as for servers that don't answer. What doesn't
// heal by waiting it returns at once.
func (w *workplace) awaitFit(ctx context.Context) error {
	limit := time.Now().Add(await.DefaultPatience)
	probes := w.probes()
	for told := false; ; told = true {
		var lasting, passing []error
		for _, p := range probes {
			if err := await.Try(ctx, p.try); err != nil {
				c := p.cause(w.serverNames(), err)
				if err = fmt.Errorf("%s: %s", c.server, c.text); c.lasting {
					lasting = append(lasting, err)
				} else {
					passing = append(passing, err)
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting until jobs can be worked on: %w", context.Cause(ctx))
		case len(lasting) > 0:
			return errors.Join(lasting...)
		case len(passing) == 0:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("no job can be worked on (waited for %s): %w", await.DefaultPatience, errors.Join(passing...))
		case !told:
			for _, err := range passing {
				w.log.WarnContext(ctx, fmt.Sprintf("waiting up to %s until jobs can be worked on: %s", await.DefaultPatience, err))
			}
		}
		select {
		case <-time.After(probeInterval / 2):
		case <-ctx.Done():
		}
	}
}

// refuseWithoutRights is for before anything else is read: it would say less clearly what is missing.
func (w *workplace) refuseWithoutRights(ctx context.Context) error {
	err := await.Try(ctx, w.store.Probe)
	var unfit *postgres.UnfitError
	if errors.As(err, &unfit) && unfit.Code == insufficientPrivilege {
		return fmt.Errorf("%s: %w", w.serverNames().postgres, err)
	}
	return nil
}
