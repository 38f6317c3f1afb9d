package worker_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker"
)

// masters starts a cluster of three masters, and returns a client of each and one of the cluster.
func masters(t *testing.T) ([]*redis.Client, *redis.ClusterClient) {
	t.Helper()
	addrs := sandboxtest.RedisMasters(t)
	var nodes []*redis.Client
	for _, addr := range addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { node.Close() })
		nodes = append(nodes, node)
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { cluster.Close() })
	return nodes, cluster
}

// finds makes sure that the probe finds what the words tell, nothing for none.
func finds(t *testing.T, p *worker.Probe, code string, words ...string) {
	t.Helper()
	err := p.Check(t.Context())
	var unfit *worker.UnfitError
	switch {
	case code == "" && err == nil:
	case code == "" || !errors.As(err, &unfit) || unfit.Code != code:
		t.Errorf("found %v, want %q", err, code)
	default:
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v lacks %q", err, word)
			}
		}
	}
}

func set(t *testing.T, rdb redis.Cmdable, name, value string) {
	t.Helper()
	if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// Each master of a cluster is looked at, as locks are at all of them.
func TestProbeOfEachMaster(t *testing.T) {
	t.Parallel()
	nodes, cluster := masters(t)
	// All that isn't locks lies at one of them.
	p := worker.NewProbe(cluster, worker.ProbeOptions{Queues: []string{queueAt(t, cluster, "asynq:queues")}, Prefix: "invoicer:id:"})
	finds(t, p, "")
	for _, node := range nodes {
		set(t, node, "maxmemory", "1")
		finds(t, p, "OOM", "maxmemory")
		set(t, node, "maxmemory", "0")
		set(t, node, "maxmemory-policy", "volatile-ttl")
		finds(t, p, worker.Evicts, "volatile-ttl", node.Options().Addr)
		set(t, node, "maxmemory-policy", "noeviction")
		finds(t, p, "")
	}
}

// queueAt returns a queue at the master that has the key.
func queueAt(t *testing.T, cluster *redis.ClusterClient, key string) string {
	t.Helper()
	want, err := cluster.MasterForKey(t.Context(), key)
	for n := 0; err == nil; n++ {
		queue := "q" + strconv.Itoa(n)
		var at *redis.Client
		if at, err = cluster.MasterForKey(t.Context(), "asynq:{"+queue+"}:pending"); err == nil && at.Options().Addr == want.Options().Addr {
			return queue
		}
	}
	t.Fatal(err)
	return ""
}

// What was evicted while nobody looked is noticed by its number.
func TestProbeCountsWhatWasEvicted(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.PrivateRedis(t).URL)
	p := worker.NewProbe(rdb, worker.ProbeOptions{Queues: []string{"q"}, Prefix: "invoicer:id:"})
	finds(t, p, "")
	for i := range 100 {
		if err := rdb.Set(t.Context(), "filler:"+strconv.Itoa(i), strings.Repeat("x", 10_000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set(t, rdb, "maxmemory-policy", "allkeys-random")
	set(t, rdb, "maxmemory", "1mb")
	rig.Eventually(t, "an eviction", func() bool {
		info, err := rdb.Info(t.Context(), "stats").Result()
		return err == nil && !strings.Contains(info, "evicted_keys:0\r\n")
	})
	set(t, rdb, "maxmemory", "0")
	set(t, rdb, "maxmemory-policy", "noeviction")
	finds(t, p, worker.Evicts, "keys were evicted")
	finds(t, p, "") // told of once
}

// A probe needs no script to be known, changes nothing, and leaves nothing for long.
func TestProbeLeavesNothing(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.PrivateRedis(t).URL)
	p := worker.NewProbe(rdb, worker.ProbeOptions{Queues: []string{"a", "b"}, Prefix: "invoicer:id:" + uuid.NewString() + ":"})
	for range 3 {
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		finds(t, p, "")
	}
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if ttl, err := rdb.PTTL(t.Context(), key).Result(); key != "asynq:queues" && (err != nil || ttl <= 0) {
			t.Errorf("%s stays for %s, error %v", key, ttl, err)
		}
	}
}
