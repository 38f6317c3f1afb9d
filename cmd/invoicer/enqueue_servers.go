package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"invoicer/config"
	"invoicer/internal/importer"
	"invoicer/invoice"
	"invoicer/migrations"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// toRedis sets up the sender to put jobs straight into their queue. Call disconnect after the last answer.
func (r *enqueueRun) toRedis(cfg *config.Config, s *importer.Sender) (disconnect func(), err error) {
	sized := *cfg
	sized.Worker.Concurrency = importer.AtOnce // the number of connections depends on it
	rdb, err := newRedis(&sized, 0)
	if err != nil {
		return nil, err
	}
	jobs, err := client.New(rdb, client.Options{Queue: r.queue, Retention: noneIfZero(cfg.Worker.Retention)})
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	s.Server = "redis at " + cfg.Redis.Addr()
	refuse := once(func(ctx context.Context) error {
		return refuseForeignQueue(ctx, rdb, r.queue, askOnce(&sized), s.Progress.Say)
	})
	s.Ping = func(ctx context.Context) error {
		if err := rdb.Ping(ctx).Err(); err != nil {
			return err
		}
		return refuse(ctx)
	}
	s.Deliver = func(ctx context.Context, _ string, payload []byte) (string, error) {
		sent, err := jobs.EnqueuePayload(ctx, payload)
		return sent.JobID, err
	}
	return func() { _ = rdb.Close() }, nil // no command is under way any more
}

// acceptedAtOnce is the number of connections to Postgres that the jobs under way share.
const acceptedAtOnce = 16

// toPostgres sets up the sender to accept jobs in the ledger. Call disconnect after the last answer.
func (r *enqueueRun) toPostgres(cfg *config.Config, s *importer.Sender) (disconnect func(), err error) {
	sized := *cfg
	sized.Worker.Concurrency = acceptedAtOnce
	store, err := newStore(&sized)
	if err != nil {
		return nil, err
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	rdb, err := newRedis(&sized, 0)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return nil, errors.Join(err, store.Close(), rdb.Close())
	}
	judge := invoice.NewForecaster(invoice.NewGenerator(store.Invoices, numbering)).Judge
	s.Server = "postgres at " + cfg.Database.Addr()
	refuse := once(func(ctx context.Context) error {
		err := refuseForeignQueue(ctx, rdb, r.queue, store.Nonces, func(string) {})
		if !errors.As(err, new(*queue.TakenError)) {
			return nil // accepting needs no Redis: a job stays accepted while its queue is another installation's
		}
		return err
	})
	known := once(func(ctx context.Context) error {
		if r.newQueue {
			return nil
		}
		return store.Ledger.CheckQueue(ctx, r.queue)
	})
	var readable atomic.Bool // the settings
	s.Ping = func(ctx context.Context) error {
		if err := store.Ping(ctx); err != nil {
			return err
		}
		if err := migrator.CheckAccept(ctx); err != nil {
			return err
		}
		// Not everybody who may accept jobs may read the settings. The write checks the date again, by the database's clock.
		_, err := store.Settings.Current(ctx, "")
		readable.Store(err == nil)
		if err := refuse(ctx); err != nil {
			return err
		}
		return known(ctx)
	}
	s.Check = func(ctx context.Context, job *invoice.Job) error {
		if !readable.Load() {
			return nil
		}
		current, err := store.Settings.Current(ctx, job.Issuer)
		switch {
		case errors.Is(err, invoice.ErrNoIssuer):
			return invoice.NoIssuer(job.Issuer)
		case err != nil:
			return nil //nolint:nilerr // accepting the job meets the same outage, and waits
		}
		if err := current.CheckDate(job.IssuedAt, time.Now()); err != nil {
			return err
		}
		if err := judge(ctx, job); errors.As(err, new(*invoice.InvalidError)) {
			return err
		}
		return nil // as above; and whoever may read too little leaves it to the worker
	}
	if r.dryRun {
		return func() { _ = errors.Join(store.Close(), rdb.Close()) }, nil // as above
	}
	accept := store.Ledger.Accept
	if r.newQueue {
		accept = store.Ledger.AcceptIntoNew
	}
	s.Deliver = func(ctx context.Context, jobID string, payload []byte) (string, error) {
		return jobID, accept(ctx, jobID, r.queue, payload)
	}
	return func() { _ = errors.Join(store.Close(), rdb.Close()) }, nil // as above
}
