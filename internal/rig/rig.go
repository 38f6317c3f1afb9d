// Package rig gives every test an installation of its own, a schema with all migrations and a queue on real servers, and
// ways to ask it, to wait for what must happen, and to make faults.
package rig

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/dropproxy"
	"invoicer/internal/sandbox/sandboxtest"
)

// A Rig is a database and a queue of a test's own.
type Rig struct {
	*Database
	RedisURL, Queue string
	Redis           redis.UniversalClient
	Inspector       *asynq.Inspector
}

// New makes a schema and a queue on the servers that tests share.
func New(t testing.TB) *Rig {
	t.Helper()
	return On(t, NewDatabase(t), sandboxtest.Redis(t))
}

// On makes a queue for a database, on a Redis that may be the test's own. Jobs are accepted for it before any worker has consumed it.
func On(t testing.TB, d *Database, redisURL string) *Rig {
	t.Helper()
	rdb := Connect(t, redisURL)
	r := &Rig{
		Database: d, RedisURL: redisURL, Queue: "q_" + strings.ToLower(rand.Text()),
		Redis: rdb, Inspector: asynq.NewInspectorFromRedisClient(rdb),
	}
	r.KnowQueue(t, r.Queue)
	return r
}

// Key is one of the keys that asynq has for the queue, such as lease.
func (r *Rig) Key(name string) string { return "asynq:{" + r.Queue + "}:" + name }

// ExpireLease makes a task's worker count as dead: at its start asynq looks for leases that ran out long ago.
func ExpireLease(t testing.TB, rdb redis.UniversalClient, queue, taskID string) {
	t.Helper()
	long := redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{{Score: 1, Member: taskID}}}
	if n, err := rdb.ZAddArgs(t.Context(), "asynq:{"+queue+"}:lease", long).Result(); err != nil || n != 1 {
		t.Fatalf("%d leases changed, error %v", n, err)
	}
}

// Through connects to the same Redis by way of a proxy that drops the replies to matching requests.
func (r *Rig) Through(t testing.TB, match func([]byte) bool) (*redis.Client, *dropproxy.Proxy) {
	t.Helper()
	options, err := redis.ParseURL(r.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := dropproxy.Start(t, options.Network, options.Addr, match)
	return Connect(t, "redis://"+proxy.Addr()), proxy
}

// Connect returns a new client with the program's options, a pool that is large enough for a test, and the changes.
func Connect(t testing.TB, url string, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled = true
	options.PoolSize = 60
	for _, f := range change {
		f(options)
	}
	rdb := redis.NewClient(options)
	t.Cleanup(func() { rdb.Close() }) // some tests have closed it
	return rdb
}
