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
func startServers(stop <-chan os.Signal) (*sandbox, os.Signal, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		started *sandbox
		err     error
	}
	results := make(chan result, 1)
	go func() {
		started, err := startMissing(ctx)
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

func startMissing(ctx context.Context) (*sandbox, error) {
	switch {
	case os.Getenv(databaseVariable) != "":
		redis, err := servers.StartRedis(ctx, servers.RedisOptions{})
		if err != nil {
			return nil, err
		}
		return &sandbox{[]string{redisVariable + "=" + redis.URL}, redis.Close}, nil
	case os.Getenv(redisVariable) != "":
		postgres, err := servers.StartPostgres(ctx, servers.PostgresOptions{})
		if err != nil {
			return nil, err
		}
		return &sandbox{[]string{databaseVariable + "=" + postgres.URL}, postgres.Close}, nil
	}
	both, err := servers.Start(ctx, servers.Options{})
	if err != nil {
		return nil, err
	}
	return &sandbox{
		[]string{databaseVariable + "=" + both.DatabaseURL, redisVariable + "=" + both.RedisURL}, both.Close,
	}, nil
}
