package queue_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice/postgres"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// An installation is a schema of a test's own.
type installation struct {
	queue.Installation
	database *rig.Database
	store    *postgres.DB
	workers  atomic.Int32
}

func newInstallation(t testing.TB) *installation {
	t.Helper()
	d := rig.NewDatabase(t)
	store, err := postgres.Open(postgres.Options{URL: d.URL, Schema: d.Schema})
	must(t, err)
	t.Cleanup(func() { store.Close() })
	i := &installation{database: d, store: store}
	i.Installation = queue.Installation{ID: d.Text(t, "SELECT id FROM database_identity"), Database: "somewhere/" + d.Schema, Schema: d.Schema}
	return i
}

// copied returns a copy of an installation's database as it is now.
func (i *installation) copied(t testing.TB) *installation {
	t.Helper()
	c := newInstallation(t)
	for _, statement := range []string{
		"UPDATE %[1]s.database_identity SET id = (SELECT id FROM %[2]s.database_identity)",
		"UPDATE %[1]s.queue_nonces SET (nonces, renewed_at) = (SELECT nonces, renewed_at FROM %[2]s.queue_nonces)",
	} {
		c.database.Exec(t, fmt.Sprintf(statement, c.Schema, i.Schema))
	}
	c.ID = i.ID
	return c
}

// clusterOfOne is one server that insists, as a cluster does, that a script's keys lie in one slot.
func clusterOfOne(t testing.TB) redis.UniversalClient {
	t.Helper()
	const tries = 5 // somebody may take a port that was free
	var server *servers.Server
	var err error
	for range tries {
		var bus string
		if bus, err = freePort(); err != nil {
			continue
		}
		settings := map[string]string{"cluster-enabled": "yes", "cluster-port": bus}
		if server, err = servers.StartRedis(t.Context(), servers.RedisOptions{TCP: true, Settings: settings}); err == nil {
			break
		}
	}
	must(t, err)
	t.Cleanup(func() { server.Close() })
	where, err := url.Parse(server.URL)
	must(t, err)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{where.Host}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	node := rig.Connect(t, server.URL)
	must(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	rig.Eventually(t, "the cluster is whole", func() bool {
		info, err := node.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	return rdb
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

func newQueue(i *installation) string { return "q_" + i.Schema }

// keeper returns one more worker's keeper.
func (i *installation) keeper(t testing.TB, rdb redis.UniversalClient, witness queue.Witness, queues ...string) *queue.Keeper {
	t.Helper()
	if witness == nil {
		witness = i.store
	}
	k, err := queue.NewKeeper(rdb, witness, queue.Options{
		Installation: i.Installation, Worker: fmt.Sprintf("%s-%d", i.Schema, i.workers.Add(1)), Queues: queues,
	})
	must(t, err)
	return k
}

// A run is a keeper that keeps its queues.
type run struct {
	*queue.Keeper
	end  context.CancelFunc
	done chan struct{}
	err  error
}

func start(t testing.TB, k *queue.Keeper) *run {
	t.Helper()
	must(t, k.Claim(t.Context()))
	return keep(t, k)
}

func keep(t testing.TB, k *queue.Keeper) *run {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &run{Keeper: k, end: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = k.Run(ctx)
	}()
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop ends a worker as a signal does.
func (r *run) stop() error {
	r.end()
	<-r.done
	return r.err
}

// lost waits until a keeper has lost a queue.
func (r *run) lost(t testing.TB) queue.TakenError {
	t.Helper()
	rig.Receive(t, r.done, "the loss of its queue")
	return refusal(t, r.err)
}

// keeps fails the test if a keeper has ended.
func (r *run) keeps(t testing.TB) {
	t.Helper()
	select {
	case <-r.done:
		t.Fatalf("it has ended: %v", r.err)
	default:
	}
}

// refusal is how somebody was refused.
func refusal(t testing.TB, err error) queue.TakenError {
	t.Helper()
	var taken *queue.TakenError
	if !errors.As(err, &taken) {
		t.Fatalf("not refused, but: %v", err)
	}
	return *taken
}

func look(t testing.TB, rdb redis.UniversalClient, name string) queue.Standing {
	t.Helper()
	s, err := queue.Look(t.Context(), rdb, name)
	must(t, err)
	return s
}

func owner(t testing.TB, rdb redis.UniversalClient, name string) queue.Owner {
	t.Helper()
	return look(t, rdb, name).Owner
}

// put puts a task into a queue, as a ledger's or as a direct one.
func put(t testing.TB, rdb redis.UniversalClient, name, jobID, installation string) {
	t.Helper()
	headers := map[string]string{}
	if jobID != "" {
		headers[client.JobIDHeader] = jobID
	}
	if installation != "" {
		headers[client.InstallationHeader] = installation
	}
	_, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(t.Context(), asynq.NewTaskWithHeaders(client.TaskType, []byte("{}"), headers), asynq.Queue(name))
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
