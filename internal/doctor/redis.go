package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/inquiry"
	"invoicer/worker"
)

// A Node is what a master of Redis tells about itself. Everything is from INFO, since hosted servers forbid CONFIG.
type Node struct {
	Server      string `json:"server"`
	Version     string `json:"version"`
	Role        string `json:"role"` // master, slave
	Policy      string `json:"maxmemory_policy"`
	MemoryUsed  int64  `json:"memory_used"`
	MemoryLimit int64  `json:"memory_limit"` // 0 is none
	Evicted     int64  `json:"evicted_keys"` // since its start
	AppendOnly  bool   `json:"append_only"`
	Snapshots   bool   `json:"snapshots"` // it is known to make some
	Replicas    int64  `json:"replicas"`
	// ConnectionsLeft is how many may still be opened, null if it doesn't tell.
	ConnectionsLeft *int64 `json:"connections_left"`
}

// examineRedis looks at each master, and tries what a worker needs. It reports whether Redis answers.
func examineRedis(ctx context.Context, o Options, r *Report, databaseID string) bool {
	if err := o.within(ctx, func(ctx context.Context) error { return o.Redis.Ping(ctx).Err() }); err != nil {
		r.unreachable(o.RedisName, "redis.url", err)
		return false
	}
	err := o.within(ctx, func(ctx context.Context) error { return examineNodes(ctx, o, r) })
	if err != nil {
		r.miss(o.RedisName, err)
	}
	slices.SortFunc(r.Redis, func(a, b Node) int { return strings.Compare(a.Server, b.Server) })
	for i := range r.Redis {
		judgeNode(r, &r.Redis[i])
	}
	if o.RedisOptions.TLSConfig == nil && crossesNetwork(o.RedisOptions.Addrs) {
		r.find(Finding{
			Check: "encryption", Level: Warning, Server: o.RedisName, Setting: "tls-port", What: "the connection crosses the network without TLS",
			Remedy: "use rediss:// (or rediss-sentinel://, rediss-cluster://) in redis.url",
		})
	}
	prefix := inquiry.LockPrefix("doctor")
	if databaseID != "" {
		prefix = inquiry.LockPrefix(databaseID)
	}
	probe := worker.NewProbe(o.Redis, worker.ProbeOptions{Queues: o.Queues, Prefix: prefix})
	err = o.within(ctx, probe.Check)
	unfit := new(worker.UnfitError)
	switch {
	case err == nil:
	case errors.As(err, &unfit):
		if check, setting := about(unfit.Code); !r.broken(check, o.RedisName) {
			r.find(Finding{Check: check, Level: Broken, Server: o.RedisName, Setting: setting, What: unfit.What, Remedy: unfit.Remedy})
		}
	case !r.has("cluster"):
		r.miss("what a worker does in Redis", err)
	}
	return true
}

// about returns what a probe's refusal is about.
func about(code string) (check, setting string) {
	switch code {
	case worker.Evicts:
		return "eviction", "maxmemory-policy"
	case worker.Unknown:
		return "commands", "rename-command"
	case "OOM":
		return "memory", "maxmemory"
	case "NOPERM":
		return "rights", "ACL"
	case "READONLY":
		return "read_only", "replicaof"
	case "MISCONF":
		return "writes", "stop-writes-on-bgsave-error"
	case "NOREPLICAS":
		return "writes", "min-replicas-to-write"
	}
	return "writes", ""
}

// broken reports whether there is a broken finding of the check at the server, or at a node of it.
func (r *Report) broken(check, server string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Check == check && f.Level == Broken && (f.Server == server || slices.ContainsFunc(r.Redis, func(n Node) bool { return n.Server == f.Server }))
	})
}

// crossesNetwork reports whether one of the addresses leads to another machine.
func crossesNetwork(addrs []string) bool {
	return slices.ContainsFunc(addrs, func(addr string) bool {
		if strings.HasPrefix(addr, "/") {
			return false
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		ip := net.ParseIP(host)
		return host != "localhost" && (ip == nil || !ip.IsLoopback())
	})
}

// examineNodes looks at the server, or at each master of a Cluster.
func examineNodes(ctx context.Context, o Options, r *Report) error {
	cluster, ok := o.Redis.(*redis.ClusterClient)
	if !ok {
		return examineNode(ctx, o.Redis, o.RedisName, r)
	}
	judgeCluster(ctx, o, r, cluster)
	var mu sync.Mutex // each master is called at the same time
	return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		return examineNode(ctx, node, "redis at "+node.Options().Addr, r)
	})
}

// judgeCluster looks whether each slot has a master.
func judgeCluster(ctx context.Context, o Options, r *Report, cluster *redis.ClusterClient) {
	const slots = 16384
	text, err := cluster.ClusterInfo(ctx).Result()
	if err != nil {
		r.miss("the Cluster's state", err)
		return
	}
	info := parseInfo(text)
	if ok := info.number("cluster_slots_ok"); info["cluster_state"] != "ok" || ok < slots {
		r.find(Finding{
			Check: "cluster", Level: Broken, Server: o.RedisName, Setting: "cluster_slots_ok",
			What:   fmt.Sprintf("its state is %s, and %d of %d slots have a master: jobs of the others wait", info["cluster_state"], ok, slots),
			Remedy: "bring the missing masters back, or assign their slots: CLUSTER ADDSLOTS, redis-cli --cluster fix",
		})
	}
}

// examineNode looks at one server.
func examineNode(ctx context.Context, node redis.Cmdable, name string, r *Report) error {
	clock, err := readClock(ctx, name, func(ctx context.Context) (time.Time, error) { return node.Time(ctx).Result() })
	if err != nil {
		return err
	}
	r.Clocks = append(r.Clocks, clock)
	text, err := node.Info(ctx).Result()
	if err != nil {
		return err
	}
	info := parseInfo(text)
	n := Node{
		Server: name, Version: info["redis_version"], Role: info["role"], Policy: info["maxmemory_policy"],
		MemoryUsed: info.number("used_memory"), MemoryLimit: info.number("maxmemory"), Evicted: info.number("evicted_keys"),
		AppendOnly: info["aof_enabled"] == "1", Snapshots: snapshots(ctx, node, info), Replicas: info.number("connected_slaves"),
	}
	if most := info.number("maxclients"); most > 0 {
		left := most - info.number("connected_clients")
		n.ConnectionsLeft = &left
	}
	r.Redis = append(r.Redis, n)
	return nil
}

// snapshots reports whether a server makes snapshots by itself. Where it may not be asked, those count that it has made since its start.
func snapshots(ctx context.Context, node redis.Cmdable, info fields) bool {
	if save, err := node.ConfigGet(ctx, "save").Result(); err == nil {
		return save["save"] != ""
	}
	started := time.Now().Unix() - info.number("uptime_in_seconds")
	const loading = 60 // the time of the last one is at first that of the start, when the data was loaded
	return info.number("rdb_saves") > 0 || info.number("rdb_last_save_time") > started+loading
}

func judgeNode(r *Report, n *Node) {
	find := func(level Level, check, setting, what, remedy string) {
		r.find(Finding{Check: check, Level: level, Server: n.Server, Setting: setting, What: what, Remedy: remedy})
	}
	if n.Policy != "" && n.Policy != "noeviction" {
		find(Broken, "eviction", "maxmemory-policy", "maxmemory-policy is "+n.Policy+": locks and queued jobs vanish when its memory is full", "set it to noeviction")
	} else if n.Evicted > 0 {
		find(Warning, "eviction", "maxmemory-policy", several(int(n.Evicted), "key")+" were evicted since its start", "look who has changed maxmemory-policy, which must stay noeviction")
	}
	const nearlyFull = 0.8
	if n.MemoryLimit > 0 && float64(n.MemoryUsed) > nearlyFull*float64(n.MemoryLimit) {
		level := Warning
		if n.MemoryUsed >= n.MemoryLimit {
			level = Broken
		}
		find(level, "memory", "maxmemory", fmt.Sprintf("%d MB of %d MB are used", n.MemoryUsed>>20, n.MemoryLimit>>20), "raise maxmemory, or find out what fills it: invoicer queues, invoicer cache")
	}
	if !n.AppendOnly && !n.Snapshots {
		find(Warning, "persistence", "appendonly", "it keeps nothing on disk: a restart loses the jobs that were enqueued straight into it", "set appendonly to yes, or accept jobs in the database")
	}
	if n.Role == "master" && n.Replicas == 0 {
		find(Warning, "replica", "replicaof", "it has no replica: while it is away, no job is worked on", "add a replica, with Sentinel or in a Cluster")
	}
	if n.ConnectionsLeft != nil && *n.ConnectionsLeft < fewClients {
		find(Warning, "connections", "maxclients", several(int(*n.ConnectionsLeft), "connection")+" can still be opened", "raise maxclients")
	}
}

// fewClients is how many connections to Redis must be left: a worker opens up to that many by default.
const fewClients = 800

// fields are a reply to INFO or CLUSTER INFO.
type fields map[string]string

func parseInfo(text string) fields {
	f := fields{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !strings.HasPrefix(name, "#") {
			f[name] = value
		}
	}
	return f
}

// number returns a field's value, 0 if it isn't there.
func (f fields) number(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64)
	return n
}
