package locking_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/locking"
)

// TestFailover shows the limit that the package's documentation states: a lock that hadn't reached the replica is
// forgotten when the replica becomes the master, and somebody else gets it. The first holder learns of it, and does the
// second no harm.
func TestFailover(t *testing.T) {
	t.Parallel()
	masterAddr, replicaAddr := startRedis(t, nil), startRedis(t, nil)
	master := connect(t, redis.UniversalOptions{Addrs: []string{masterAddr}})
	replica := connect(t, redis.UniversalOptions{Addrs: []string{replicaAddr}})
	host, port, _ := net.SplitHostPort(masterAddr)
	must(t, replica.SlaveOf(t.Context(), host, port).Err())
	rig.Eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	sentinelAddr := startSentinel(t, masterAddr)
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinelAddr})
	t.Cleanup(func() { must(t, watch.Close()) })
	rig.Eventually(t, "the sentinel knows the replica", func() bool {
		replicas, err := watch.Replicas(t.Context(), masterName).Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	b := setup(t, connect(t, redis.UniversalOptions{Addrs: []string{sentinelAddr}, MasterName: masterName}))

	// From here on the replica gets nothing.
	must(t, master.Do(t.Context(), "ACL", "SETUSER", "default", "-psync", "-sync").Err())
	must(t, master.Do(t.Context(), "CLIENT", "KILL", "TYPE", "replica").Err())
	lock := b.acquire(t, anna)
	b.wantHeld(t, anna)

	rig.Eventually(t, "the failover begins", func() bool { return watch.Failover(t.Context(), masterName).Err() == nil })
	var next *locking.Lock
	rig.Eventually(t, "somebody else gets the lock", func() bool {
		var err error
		next, err = b.locker.Acquire(t.Context(), b.key, bert)
		return err == nil
	})
	wantLost(t, lock.Extend(t.Context(), ttl))
	wantLost(t, lock.Release(t.Context()))
	must(t, next.Extend(t.Context(), ttl+time.Second))
	must(t, next.Finish(t.Context(), "x", ttl))
}
