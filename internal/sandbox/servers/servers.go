// Package servers starts private Postgres and Redis servers: real ones, in temporary directories, on unix sockets. They
// share nothing with other servers of the machine, and nothing of them is left when this process has ended, whichever
// way it did.
package servers

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"invoicer/internal/sandbox/programs"
)

// Options change what the servers are like. The zero value is for tests.
type Options struct {
	Postgres PostgresOptions
	Redis    RedisOptions
}

// Servers is a Postgres with an empty database, and a Redis.
type Servers struct {
	// DatabaseURL and RedisURL are in the forms that the configuration's database.url and redis.url take.
	DatabaseURL, RedisURL string

	postgres, redis *Server
}

// Start starts both servers at the same time. The context is for the start alone: the servers outlive it.
//
// It returns a [*programs.MissingError] that names all programs that are not on this machine.
func Start(ctx context.Context, options Options) (*Servers, error) {
	found, err := programs.Find(programs.Redis, programs.Postgres)
	if err != nil {
		return nil, err
	}
	s := &Servers{}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.postgres, err = startPostgres(ctx, found[programs.Postgres], options.Postgres)
		return err
	})
	group.Go(func() (err error) {
		s.redis, err = startRedis(ctx, found[programs.Redis], options.Redis)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.DatabaseURL, s.RedisURL = s.postgres.URL, s.redis.URL
	return s, nil
}

// Close takes both down and removes what they have written. A second call does nothing.
func (s *Servers) Close() error {
	var errs []error
	for _, server := range []*Server{s.postgres, s.redis} {
		if server != nil {
			errs = append(errs, server.Close())
		}
	}
	return errors.Join(errs...)
}
