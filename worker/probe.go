package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/worker/queue"
)

// An UnfitError says why a worker can't work with a Redis that answers.
type UnfitError struct {
	// Code is the first word of Redis's refusal, such as OOM, or [Evicts].
	Code string
	// What says in a few words what is wrong, without any secret.
	What string
	// Remedy says what to do about it, "" if that isn't known.
	Remedy string
}

func (e *UnfitError) Error() string {
	if e.Remedy == "" {
		return e.What
	}
	return e.What + ": " + e.Remedy
}

// Codes of an [UnfitError] that aren't words of Redis.
const (
	Evicts    = "evicts"  // keys that are in use may vanish
	Unknown   = "unknown" // Redis doesn't know a command
	forbidden = "NOPERM"
)

// ProbeOptions of a [Probe].
type ProbeOptions struct {
	// Queues that the worker consumes. Required.
	Queues []string
	// Prefix of the keys that don't belong to a queue. Required.
	Prefix string
	// Logger gets a line if a check can't be made. Default: no lines.
	Logger *slog.Logger
}

// A Probe checks whether a worker could work with a Redis, by trying the operations that the work needs on keys of
// its own: it writes to every master, under the names of locks and of queues, and runs every command that the
// worker's scripts run. It also checks that Redis evicts no keys.
type Probe struct {
	rdb     redis.UniversalClient
	options ProbeOptions

	mu      sync.Mutex
	evicted map[string]int64 // by node: the number of evicted keys at the last check
	blind   bool             // it was logged that eviction can't be watched
}

// NewProbe returns a probe. The caller has to close the Redis connection.
func NewProbe(rdb redis.UniversalClient, o ProbeOptions) *Probe {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Probe{rdb: rdb, options: o, evicted: make(map[string]int64)}
}

// Check returns nil if a worker could work, an [*UnfitError] that says why it couldn't, or the error of a check that
// failed.
func (p *Probe) Check(ctx context.Context) error {
	if err := p.checkWrites(ctx); err != nil {
		return err
	}
	return p.checkEviction(ctx)
}

const (
	// probeExpiry is how long a probe's keys stay if they can't be deleted.
	probeExpiry = 10 * time.Second
	// mostProbedNodes is the largest number of a cluster's masters that are probed.
	mostProbedNodes = 64
)

// trial runs the commands of asynq's scripts and of this program's scripts on keys of its own, and returns the
// commands that Redis refuses, with its error messages.
var trial = redis.NewScript(`
local refused = {}
local function try(...)
	local reply = redis.pcall(...)
	if type(reply) == "table" and reply.err then
		table.insert(refused, (select(1, ...)) .. " " .. reply.err)
	end
end
local text, list, hash, sorted, set = KEYS[1], KEYS[1] .. ":l", KEYS[1] .. ":h", KEYS[1] .. ":z", KEYS[1] .. ":s"
try("SET", text, "1", "PX", ARGV[1])
try("GET", text)
try("EXISTS", text)
try("INCR", text)
try("SETEX", text, "10", "1")
try("PEXPIRE", text, ARGV[1])
try("EXPIRE", text, "10")
try("EXPIREAT", text, ARGV[2])
try("PTTL", text)
try("TYPE", text)
try("TIME")
try("SCAN", "0", "MATCH", text, "COUNT", "1")
try("LPUSH", list, "1")
try("RPUSH", list, "2")
try("RPOPLPUSH", list, list)
try("LRANGE", list, "0", "-1")
try("LLEN", list)
try("LPOS", list, "2")
try("RPOP", list)
try("LREM", list, "0", "1")
try("HSET", hash, "f", "1")
try("HGET", hash, "f")
try("HMGET", hash, "f")
try("HGETALL", hash)
try("HEXISTS", hash, "f")
try("HSTRLEN", hash, "f")
try("HINCRBY", hash, "f", "1")
try("HDEL", hash, "f")
try("ZADD", sorted, "1", "m")
try("ZSCORE", sorted, "m")
try("ZCARD", sorted)
try("ZRANGE", sorted, "0", "-1")
try("ZRANGEBYSCORE", sorted, "-inf", "+inf")
try("ZREM", sorted, "m")
try("ZREMRANGEBYSCORE", sorted, "-inf", "+inf")
try("ZREMRANGEBYRANK", sorted, "0", "-1")
try("SADD", set, "m")
try("SREM", set, "m")
try("INFO", "server")
try("UNLINK", set)
try("DEL", text, list, hash, sorted, set)
return refused`)

// checkWrites tries the writes of a worker.
func (p *Probe) checkWrites(ctx context.Context) error {
	locks, err := p.lockKeys(ctx)
	if err != nil {
		return err
	}
	var asked []redis.Cmder
	var trials []*redis.Cmd
	_, _ = p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command keeps its own error
		try := func(key string) {
			trials = append(trials, trial.EvalSha(ctx, pipe, []string{key}, probeExpiry.Milliseconds(), time.Now().Add(probeExpiry).Unix()))
		}
		for _, key := range locks {
			asked = append(asked, pipe.Set(ctx, key, 1, probeExpiry))
		}
		for _, name := range p.options.Queues {
			asked = append(asked, pipe.Set(ctx, probeKey(name), 1, probeExpiry), queue.Register(ctx, pipe, name))
		}
		asked = append(asked, pipe.Eval(ctx, "return 1", locks[:1]), pipe.ZRem(ctx, queue.AllWorkers, p.options.Prefix+"probe"), pipe.ZRem(ctx, queue.AllServers, p.options.Prefix+"probe"))
		try(locks[0])
		try(probeKey(p.options.Queues[0]))
		return nil
	})
	var refused refusals
	for _, command := range asked {
		refused.add(command.Name(), command.Err())
	}
	for _, answer := range trials {
		if redis.HasErrorPrefix(answer.Err(), "NOSCRIPT") { // Redis doesn't have the script, or not any more
			answer = trial.Eval(ctx, p.rdb, keysOf(answer), answer.Args()[4:]...)
		}
		refused.add("evalsha", answer.Err())
		list, _ := answer.StringSlice()
		for _, line := range list {
			name, words, _ := strings.Cut(line, " ")
			refused.add(strings.ToLower(name), scriptError(words))
		}
	}
	return refused.err(ctx, p.rdb)
}

// keysOf returns the keys of a script's command, which has a single one.
func keysOf(c *redis.Cmd) []string {
	key, _ := c.Args()[3].(string)
	return []string{key}
}

// probeKey returns a key in the same slot as the keys of a queue.
func probeKey(name string) string { return queue.KeysOf(name).Ours("probe") }

// lockKeys returns keys with the prefix of locks, one for each master. None is the key of a transaction's lock.
func (p *Probe) lockKeys(ctx context.Context) ([]string, error) {
	key := func(n int) string { return p.options.Prefix + "lock:{!probe" + strconv.Itoa(n) + "}" }
	cluster, ok := p.rdb.(*redis.ClusterClient)
	if !ok {
		return []string{key(0)}, nil
	}
	masters := 0
	var mu sync.Mutex
	err := cluster.ForEachMaster(ctx, func(context.Context, *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters++
		return nil
	})
	if err != nil {
		return nil, err
	}
	keys := make(map[string]string)
	for n := 0; n < 8*mostProbedNodes && len(keys) < min(masters, mostProbedNodes); n++ {
		master, err := cluster.MasterForKey(ctx, key(n))
		if err != nil {
			return nil, err
		}
		if _, known := keys[master.Options().Addr]; !known {
			keys[master.Options().Addr] = key(n)
		}
	}
	list := make([]string, 0, len(keys))
	for _, k := range keys {
		list = append(list, k)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return nil, errors.New("CLUSTERDOWN the cluster has no master")
	}
	return list, nil
}

// scriptError returns the error for a message that Redis gave inside a script, where it leaves out the code that a
// client would get.
func scriptError(words string) error {
	words = strings.TrimPrefix(strings.TrimPrefix(words, "-"), "@user_script: ")
	if strings.Contains(words, "executing the script can't") {
		words = forbidden + " " + strings.TrimPrefix(words, "ERR ")
	}
	return refusal(words)
}

// A refusal is an error message of Redis.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

// refusals collects what Redis has refused.
type refusals struct {
	commands []string // commands that the user may not run
	keys     bool     // whether there are keys that the user may not use
	unknown  []string // commands that Redis doesn't know
	other    error    // the first of all others
}

func (r *refusals) add(command string, err error) {
	switch {
	case err == nil || errors.Is(err, redis.Nil):
	case redis.HasErrorPrefix(err, "MOVED"), redis.HasErrorPrefix(err, "ASK"), redis.HasErrorPrefix(err, "TRYAGAIN"):
		// The slot is being moved to another master, and jobs follow it.
	case strings.Contains(strings.ToLower(err.Error()), "unknown command"), strings.Contains(err.Error(), "Unknown Redis command"):
		if !slices.Contains(r.unknown, command) {
			r.unknown = append(r.unknown, command)
		}
	case !redis.HasErrorPrefix(err, forbidden):
		if r.other == nil {
			r.other = err
		}
	case strings.Contains(err.Error(), "access") && strings.Contains(err.Error(), "key"):
		r.keys = true
	case !slices.Contains(r.commands, command):
		r.commands = append(r.commands, command)
	}
}

// err returns the error for the refusals. Missing rights come first, since they don't go away by waiting.
func (r *refusals) err(ctx context.Context, rdb redis.UniversalClient) error {
	if len(r.unknown) > 0 {
		return &UnfitError{
			Code: Unknown, What: "it does not know " + strings.Join(r.unknown, ", "),
			Remedy: "Redis 6.2 or newer is needed, without rename-command for these",
		}
	}
	if len(r.commands) == 0 && !r.keys {
		return explain(r.other)
	}
	user := userOf(ctx, rdb)
	var lacks []string
	if len(r.commands) > 0 {
		lacks = append(lacks, "run "+strings.Join(r.commands, ", "))
	}
	if r.keys {
		lacks = append(lacks, "use the keys "+queue.KeyPattern+" and invoicer:*")
	}
	return &UnfitError{
		Code: forbidden, What: "user " + user + " may not " + strings.Join(lacks, ", and may not "),
		Remedy: "ACL SETUSER " + user + " ~" + queue.KeyPattern + " ~invoicer:* &" + queue.ChannelPattern + " +@read +@write +@scripting +@connection +@pubsub +info +time",
	}
}

// userOf returns the client's Redis user, if necessary from the client's options.
func userOf(ctx context.Context, rdb redis.UniversalClient) string {
	if name, err := rdb.Do(ctx, "ACL", "WHOAMI").Text(); err == nil {
		return name
	}
	name := ""
	switch client := rdb.(type) {
	case *redis.Client:
		name = client.Options().Username
	case *redis.ClusterClient:
		name = client.Options().Username
	}
	return cmp.Or(name, "default")
}

// explain adds what to do about a refusal, if that is known.
func explain(err error) error {
	for code, advice := range map[string][2]string{
		"OOM":        {"it has no memory left for writing", "raise its maxmemory, or make room"},
		"MISCONF":    {"it refuses to write since a snapshot failed", "mend its disk, or set stop-writes-on-bgsave-error to no"},
		"READONLY":   {"it is a read-only replica", "promote it, or let redis.url lead to the master"},
		"NOREPLICAS": {"it has too few replicas to write (min-replicas-to-write)", "bring them back"},
	} {
		if redis.HasErrorPrefix(err, code) {
			return &UnfitError{Code: code, What: advice[0] + " (" + code + ")", Remedy: advice[1]}
		}
	}
	return err
}

// checkEviction checks that Redis evicts no keys: with any policy but noeviction it may drop locks, leases and queued
// jobs when its memory is full.
func (p *Probe) checkEviction(ctx context.Context) error {
	if cluster, ok := p.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return p.checkNode(ctx, node, " at "+node.Options().Addr)
		})
	}
	return p.checkNode(ctx, p.rdb, "")
}

func (p *Probe) checkNode(ctx context.Context, node redis.Cmdable, where string) error {
	var memory, stats *redis.StringCmd
	_, _ = node.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command keeps its own error
		memory, stats = pipe.Info(ctx, "memory"), pipe.Info(ctx, "stats")
		return nil
	})
	err := errors.Join(memory.Err(), stats.Err())
	if err != nil && !redis.HasErrorPrefix(memory.Err(), forbidden) {
		return err
	}
	policy, known := infoField(memory.Val(), "maxmemory_policy")
	evicted, counted := infoField(stats.Val(), "evicted_keys")
	n, _ := strconv.ParseInt(evicted, 10, 64)

	p.mu.Lock()
	defer p.mu.Unlock()
	if (!known || !counted) && !p.blind {
		p.blind = true
		p.options.Logger.WarnContext(ctx, "redis doesn't report whether it evicts keys: make sure that its maxmemory-policy is noeviction")
	}
	before, looked := p.evicted[where]
	p.evicted[where] = n
	switch {
	case known && policy != "noeviction":
		return &UnfitError{
			Code: Evicts, What: "maxmemory-policy" + where + " is " + policy + ", with which locks and jobs may be evicted when its memory is full",
			Remedy: "set it to noeviction",
		}
	case looked && n > before:
		return &UnfitError{Code: Evicts, What: fmt.Sprintf("%d keys were evicted%s", n-before, where), Remedy: "maxmemory-policy must stay noeviction"}
	}
	return nil
}

// infoField reads one field of a reply to INFO.
func infoField(info, name string) (string, bool) {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value, true
		}
	}
	return "", false
}
