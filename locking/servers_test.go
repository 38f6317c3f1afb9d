package locking_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/servers"
)

// patience is how long a test waits for what must happen before it calls it a failure.
const patience = 30 * time.Second

// topologies are the ways to run Redis that locking promises to work with.
var topologies = map[string]func(*testing.T) redis.UniversalClient{
	"single":   single,
	"sentinel": sentinel,
	"cluster":  cluster,
	// As invoicer's workers use it.
}

func single(t *testing.T) redis.UniversalClient {
	t.Helper()
	return connect(t, redis.UniversalOptions{Addrs: []string{startRedis(t, nil)}})
}

const masterName = "main"

func sentinel(t *testing.T) redis.UniversalClient {
	t.Helper()
	addr := startSentinel(t, startRedis(t, nil))
	return connect(t, redis.UniversalOptions{Addrs: []string{addr}, MasterName: masterName})
}

// cluster starts three masters that share the slots.
func cluster(t *testing.T) redis.UniversalClient {
	t.Helper()
	addrs := make([]string, 3)
	nodes := make([]redis.UniversalClient, len(addrs))
	for i := range addrs {
		addrs[i] = startRedis(t, func() map[string]string {
			return map[string]string{"cluster-enabled": "yes", "cluster-port": freePort(t)}
		})
		nodes[i] = connect(t, redis.UniversalOptions{Addrs: addrs[i : i+1]})
	}
	const slots = 16384
	for i, node := range nodes {
		must(t, node.ClusterAddSlotsRange(t.Context(), i*slots/len(nodes), (i+1)*slots/len(nodes)-1).Err())
		bus := node.ConfigGet(t.Context(), "cluster-port").Val()["cluster-port"]
		host, port, _ := net.SplitHostPort(addrs[i])
		must(t, nodes[0].Do(t.Context(), "CLUSTER", "MEET", host, port, bus).Err())
	}
	for _, node := range nodes {
		rig.Eventually(t, "the cluster is whole", func() bool {
			info, err := node.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return connect(t, redis.UniversalOptions{Addrs: addrs, IsClusterMode: true})
}

func connect(t *testing.T, opts redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	opts.ContextTimeoutEnabled = true
	client := redis.NewUniversalClient(&opts)
	t.Cleanup(func() { must(t, client.Close()) })
	return client
}

// startRedis starts a server of the test's own, with settings if any, and returns its address. Between finding a free
// port and the server's taking it, another process may have it; hence the tries.
func startRedis(t *testing.T, settings func() map[string]string) (addr string) {
	t.Helper()
	options := servers.RedisOptions{TCP: true}
	var err error
	for range tries {
		if settings != nil {
			options.Settings = settings()
		}
		var server *servers.Server
		if server, err = servers.StartRedis(t.Context(), options); err == nil {
			t.Cleanup(func() { must(t, server.Close()) })
			where, err := url.Parse(server.URL)
			must(t, err)
			return where.Host
		}
	}
	t.Fatal(err)
	return ""
}

const tries = 5

// startSentinel starts a sentinel that looks after the master at addr, and returns the sentinel's address.
func startSentinel(t *testing.T, masterAddr string) (addr string) {
	t.Helper()
	found, err := programs.Find(programs.Redis)
	must(t, err)
	host, masterPort, _ := net.SplitHostPort(masterAddr)
	var said string
	for range tries {
		port, dir := freePort(t), t.TempDir()
		file := filepath.Join(dir, "sentinel.conf")
		conf := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s %s %s 1\n",
			port, dir, masterName, host, masterPort)
		must(t, os.WriteFile(file, []byte(conf), 0o600))
		cmd := exec.Command(found[programs.Redis], file, "--sentinel")
		dieWithParent(cmd)
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewReader(stdout)
		said = ""
		for err == nil && !strings.Contains(said, "+monitor") {
			var line string
			line, err = lines.ReadString('\n')
			said += line
		}
		drained := make(chan struct{})
		go func() { defer close(drained); _, _ = io.Copy(io.Discard, lines) }()
		stop := func() { _ = cmd.Process.Kill(); <-drained; _ = cmd.Wait() }
		if err == nil {
			t.Cleanup(stop)
			return net.JoinHostPort("127.0.0.1", port)
		}
		stop()
	}
	t.Fatalf("no sentinel:\n%s", said)
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
