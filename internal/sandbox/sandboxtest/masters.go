package sandboxtest

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/sandbox/servers"
)

// A Cluster is a Redis Cluster of three masters.
type Cluster struct {
	// Addrs are all nodes' addresses: those of the masters, and then those of their replicas, if they have any, in the same order.
	Addrs []string
	// Servers are the nodes, in the order of Addrs.
	Servers []*servers.Server
}

// URL is the cluster's, as the program takes it.
func (c *Cluster) URL() string { return "redis-cluster://" + strings.Join(c.Addrs, ",") }

// masters is how many a [Cluster] has.
const masters = 3

// RedisMasters starts a Redis Cluster of three masters, and returns their addresses once it is whole.
func RedisMasters(t testing.TB) (addrs []string) {
	t.Helper()
	return startCluster(t, 0, nil).Addrs
}

// RedisCluster starts a Redis Cluster of three masters, each of which has a replica that takes its place when it is gone for two
// seconds, and returns it once it is whole and the replicas have what their masters have.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	return startCluster(t, 1, map[string]string{"cluster-node-timeout": "2000", "cluster-replica-validity-factor": "0", "repl-diskless-sync-delay": "0"})
}

func startCluster(t testing.TB, replicas int, settings map[string]string) *Cluster {
	t.Helper()
	const slots = 16384
	c := &Cluster{}
	var nodes []*redis.Client
	for range masters * (1 + replicas) {
		server := startMaster(t, settings)
		t.Cleanup(func() { server.Close() })
		where, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		node := redis.NewClient(&redis.Options{Addr: where.Host})
		t.Cleanup(func() { node.Close() })
		nodes, c.Addrs, c.Servers = append(nodes, node), append(c.Addrs, where.Host), append(c.Servers, server)
	}
	for i, node := range nodes {
		if i < masters {
			if err := node.ClusterAddSlotsRange(t.Context(), i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
				t.Fatal(err)
			}
		}
		bus := node.ConfigGet(t.Context(), "cluster-port").Val()["cluster-port"]
		host, port, _ := net.SplitHostPort(c.Addrs[i])
		if err := nodes[0].Do(t.Context(), "CLUSTER", "MEET", host, port, bus).Err(); err != nil {
			t.Fatal(err)
		}
	}
	whole := []string{"cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d", len(nodes))}
	for _, node := range nodes {
		awaitCluster(t, "the cluster is whole", func() (string, error) { return node.ClusterInfo(t.Context()).Result() }, whole...)
	}
	for i := masters; i < len(nodes); i++ {
		id, err := nodes[i%masters].ClusterMyID(t.Context()).Result()
		if err == nil {
			err = nodes[i].ClusterReplicate(t.Context(), id).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitCluster(t, "a replica follows", func() (string, error) { return nodes[i].Info(t.Context(), "replication").Result() }, "master_link_status:up")
	}
	return c
}

// awaitCluster returns once the answer has all of the words.
func awaitCluster(t testing.TB, what string, ask func() (string, error), words ...string) {
	t.Helper()
	for begun := time.Now(); ; {
		answer, err := ask()
		lacks := err != nil
		for _, word := range words {
			lacks = lacks || !strings.Contains(answer, word)
		}
		if !lacks {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("%s: not within a minute: %v %s", what, err, answer)
		}
		time.Sleep(5 * time.Millisecond) // a node tells in no other way
	}
}

func startMaster(t testing.TB, more map[string]string) *servers.Server {
	t.Helper()
	for try := 1; ; try++ { // another process may take the port that was free
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, bus, _ := net.SplitHostPort(listener.Addr().String())
		listener.Close()
		settings := map[string]string{"cluster-enabled": "yes", "cluster-port": bus}
		maps.Copy(settings, more)
		server, err := servers.StartRedis(t.Context(), servers.RedisOptions{TCP: true, Settings: settings})
		if err == nil {
			return server
		}
		if try == 5 {
			t.Fatal(err)
		}
	}
}
