package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/chaos"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/servers"
)

// A master dies, and its replica, which has missed a part, takes its place: the queue that had been acknowledged to
// everybody is an older one from then on.
func TestChaosFailover(t *testing.T) {
	t.Parallel()
	if *chaosSeed > 0 {
		t.Skip("-chaos.seed asks for one seed alone")
	}
	master, masterAddr := startTCPRedis(t)
	_, replicaAddr := startTCPRedis(t)
	host, port, _ := strings.Cut(masterAddr, ":")
	toMaster, toReplica := redis.NewClient(&redis.Options{Addr: masterAddr}), redis.NewClient(&redis.Options{Addr: replicaAddr})
	t.Cleanup(func() { toMaster.Close(); toReplica.Close() })
	if err := toReplica.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "the replica follows", func() bool {
		return strings.Contains(toReplica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	sentinel, err := servers.StartSentinel(t.Context(), masterAddr, "main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sentinel.Close() })
	where, err := url.Parse(sentinel.URL)
	if err != nil {
		t.Fatal(err)
	}
	watch := redis.NewSentinelClient(&redis.Options{Addr: where.Host})
	t.Cleanup(func() { watch.Close() })
	rig.Eventually(t, "the sentinel knows the replica", func() bool {
		replicas, err := watch.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})

	const seed = 300
	all := newAskings(t, chaos.NewRand(seed), 300, 4, 3)
	x := newTrial(t, newSite(t, sentinel.URL))
	accept := func(some []chaos.Asking) {
		t.Helper()
		for ; len(some) > 0; some = some[min(len(some), 50):] {
			if err := x.accept(t.Context(), some[:min(len(some), 50)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	workers := []*process{x.start(t, "worker"), x.start(t, "worker")}
	for _, w := range workers {
		w.await(t, "worker started")
	}
	accept(all[:100])
	rig.Eventually(t, "the first jobs have ended", func() bool {
		n, err := x.ended()
		return err == nil && n >= 20
	})
	rig.Eventually(t, "the queue's Redis is known", func() bool {
		return x.Count(t, "SELECT count(*) FROM ledger_queues WHERE server <> ''") == 1
	})
	// From here on the replica gets nothing. (A stopped one would still read what had been sent to it.)
	for _, command := range [][]any{{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if err := toMaster.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	accept(all[100:])
	rig.Eventually(t, "more jobs have ended", func() bool {
		n, err := x.ended()
		return err == nil && n >= 120
	})
	if err := master.Kill(); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "the replica is the master", func() bool {
		return strings.Contains(toReplica.Info(t.Context(), "replication").Val(), "role:master")
	})
	x.settle(t)
	// If by chance no job was lost, everything may have ended before anybody has looked.
	rig.Eventually(t, "somebody notices that another Redis answers", func() bool {
		const noticed = "redis may have forgotten jobs"
		return workers[0].said(noticed) || workers[1].said(noticed)
	})
	x.stopAll(t, workers)
	report := x.verdict(t)
	if report.Ledger != len(all) || report.Invoices == 0 || report.Invalid != 3 {
		t.Errorf("%d of %d jobs are known, %d invoices, %d invalid", report.Ledger, len(all), report.Invoices, report.Invalid)
	}
}

// startTCPRedis starts a server that others find at a host:port. Between finding a free port and taking it, another
// process may have it; hence the tries.
func startTCPRedis(t *testing.T) (server *servers.Server, addr string) {
	t.Helper()
	var err error
	for range 5 {
		if server, err = servers.StartRedis(t.Context(), servers.RedisOptions{TCP: true}); err == nil {
			t.Cleanup(func() { server.Close() })
			where, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			return server, where.Host
		}
	}
	t.Fatal(err)
	return nil, ""
}
