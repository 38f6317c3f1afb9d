package main

import (
	"context"
	"os"

	"invoicer/internal/sandbox/servers"
)

// sandbox is what was started, and how the command finds it.
type sandbox struct {
	environment []string
	close       func() error
}

// startServers starts the servers that the environment doesn't name. A signal meanwhile ends it, and is returned.
func startServers(durable bool, stop <-chan os.Signal) (*sandbox, os.Signal, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		started *sandbox
		err     error
	}
	results := make(chan result, 1)
	go func() {
		started, err := startMissing(ctx, durable)
		results <- result{started, err}
	}()
	select {
	case r := <-results:
		return r.started, nil, r.err
	case by := <-stop:
		cancel()
		r := <-results
		if r.started == nil {
			return nil, by, nil // that it was cancelled is no news
		}
		return nil, by, r.started.close()
	}
}

func startMissing(ctx context.Context, durable bool) (*sandbox, error) {
	o := servers.Options{Postgres: servers.PostgresOptions{Durable: durable}, Redis: servers.RedisOptions{Durable: durable}}
	var unsafe []string
	if !durable {
		unsafe = []string{servers.AllowUnsafe}
	}
	switch {
	case os.Getenv(databaseVariable) != "":
		redis, err := servers.StartRedis(ctx, o.Redis)
		if err != nil {
			return nil, err
		}
		return &sandbox{[]string{redisVariable + "=" + redis.URL}, redis.Close}, nil
	case os.Getenv(redisVariable) != "":
		postgres, err := servers.StartPostgres(ctx, o.Postgres)
		if err != nil {
			return nil, err
		}
		return &sandbox{append(unsafe, databaseVariable+"="+postgres.URL), postgres.Close}, nil
	}
	both, err := servers.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &sandbox{
		append(unsafe, databaseVariable+"="+both.DatabaseURL, redisVariable+"="+both.RedisURL), both.Close,
	}, nil
}
