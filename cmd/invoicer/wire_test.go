package main

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// Two databases in one Redis have the same transactions, and don't take each other's locks and done entries for their own.
func TestTwoDatabasesInOneRedis(t *testing.T) {
	t.Parallel()
	sites := []*site{sharedSite(t), sharedSite(t)}
	for _, s := range sites {
		w := s.start(t, "worker")
		s.enqueue(t, "T1")
		s.awaitEnds(t, 1)
		w.signal(t, syscall.SIGTERM)
		if code := w.exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	for _, s := range sites {
		entry := "invoicer:" + s.text(t, "SELECT id::text FROM database_identity") + ":done:{T1}"
		if n, err := s.rdb.Exists(t.Context(), entry).Result(); err != nil || n != 1 {
			t.Errorf("%d entries %s, error %v", n, entry, err)
		}
		if n := s.count(t, "SELECT count(*) FROM invoices"); n != 1 {
			t.Errorf("%d invoices", n)
		}
	}
}

// asynq's loops ask again at once after an error.
func TestOutageOfRedisIsAskedAboutSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, answer := 0, error(errRefused)
		ask := (&outageBackoff{}).ProcessHook(func(context.Context, redis.Cmder) error {
			asked++
			return answer
		})
		command := redis.NewCmd(t.Context(), "PING")
		for began := time.Now(); time.Since(began) < time.Minute; {
			_ = ask(t.Context(), command) // what it returns is the outage's own error
		}
		if asked > 150 {
			t.Errorf("asked %d times in a minute", asked)
		}
		answer = nil
		began := time.Now()
		if err := ask(t.Context(), command); err != nil || time.Since(began) != 0 {
			t.Errorf("an answer comes %v late, error %v", time.Since(began), err)
		}
	})
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
