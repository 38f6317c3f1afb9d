package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ownedQueues is the set of the queues that have had an owner.
const ownedQueues = "invoicer:queues"

// ownerKey is the key of a queue's owner, in the slot of the queue's own keys. It doesn't expire.
func ownerKey(queue string) string { return KeysOf(queue).InSlot("invoicer:owner:") }

// keys are the scripts' KEYS: the owner, and the keys in which asynq keeps tasks that aren't done.
func keys(queue string) []string {
	return append([]string{ownerKey(queue)}, KeysOf(queue).unfinished()...)
}

// common is what the scripts share. Anything but a hash with an installation counts as no owner.
const common = `
local function now()
	local t = redis.call("TIME")
	return string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000))
end
local function read()
	if redis.call("TYPE", KEYS[1]).ok ~= "hash" then
		return nil
	end
	local v = redis.call("HMGET", KEYS[1], "installation", "nonce", "beats", "worker", "released", "since", "at", "database", "schema", "newcomer")
	if not v[1] then
		return nil
	end
	for i = 2, 10 do
		v[i] = v[i] or ""
	end
	return v
end
local function signature(v)
	if not v then
		return ""
	end
	return table.concat({v[1], v[2], v[3], v[4], v[5]}, "|")
end
local function size(i)
	local n = redis.pcall(i == 2 and "LLEN" or i == 5 and "LLEN" or "ZCARD", KEYS[i])
	return tonumber(n) or 1
end
`

// look returns the owner's signature, the time, the owner, how many tasks the queue has, and when the owner's workers renewed
// the claim.
var look = redis.NewScript(common + `
local v = read()
local workers = {}
if v then
	local all = redis.call("HGETALL", KEYS[1])
	for i = 1, #all, 2 do
		if string.sub(all[i], 1, 2) == "w:" then
			table.insert(workers, all[i + 1])
		end
	end
end
return {signature(v), now(), v or {}, size(2) + size(3) + size(4), size(5), size(6), workers}`)

// claim makes an installation a queue's owner if the owner's signature is still the given one and, where that is asked for,
// the queue has no tasks. It returns the claim's start, "" if it has changed nothing.
var claim = redis.NewScript(common + `
if signature(read()) ~= ARGV[1] then
	return ""
end
if ARGV[2] == "empty" and size(2) + size(3) + size(4) + size(5) + size(6) > 0 then
	return ""
end
local at = now()
local since = ARGV[3] ~= "" and ARGV[3] or at
redis.call("DEL", KEYS[1])
redis.call("HSET", KEYS[1], "installation", ARGV[4], "nonce", ARGV[5], "worker", ARGV[6], "database", ARGV[7], "schema", ARGV[8],
	"beats", 1, "since", since, "at", at)
if ARGV[9] == "released" then
	redis.call("HSET", KEYS[1], "released", 1)
else
	redis.call("HSET", KEYS[1], "w:" .. ARGV[6], at, "newcomer", ARGV[10])
end
return since`)

// renew renews an installation's claim. Its arguments include the nonces that the worker knows, the newest first. It returns
// what it found:
//
//	renewed     the queue is the installation's, or had no owner and is the installation's now
//	unknown     the queue is the installation's, but with a nonce that the worker doesn't know; the nonce is left unchanged
//	other       the queue is another installation's; nothing is changed
//
// and the owner's signature, its claim's start, its nonce, and whether it claimed the queue without watching it first.
var renew = redis.NewScript(common + `
local v, at, since = read(), now(), ARGV[2]
if v and v[1] ~= ARGV[3] then
	return {"other", signature(v), v[6], v[2], v[10]}
end
local known, beats = true, 0
if v then
	known = string.len(v[2]) == 36 and string.find(ARGV[1], v[2], 1, true) ~= nil
	if string.match(v[6], "^%d+$") then
		since = v[6]
	end
	beats = string.match(v[3], "^%d+$") and string.len(v[3]) < 15 and tonumber(v[3]) or 0
else
	redis.call("DEL", KEYS[1])
end
if since == "" then
	since = at
end
redis.call("HSET", KEYS[1], "installation", ARGV[3], "worker", ARGV[4], "beats", string.format("%.0f", beats + 1), "since", since, "at", at, "w:" .. ARGV[4], at,
	"newcomer", ARGV[7])
redis.call("HDEL", KEYS[1], "released")
if not known then
	return {"unknown", signature(read()), since, v[2], ""}
end
redis.call("HSET", KEYS[1], "nonce", string.sub(ARGV[1], 1, 36), "database", ARGV[5], "schema", ARGV[6])
return {"renewed", "", since, "", ""}`)

// leave removes a worker of the installation. The last worker that leaves gives the queue up.
var leave = redis.NewScript(common + `
local v = read()
if not v or v[1] ~= ARGV[1] then
	return 0
end
local at = now()
local all, gone, others = redis.call("HGETALL", KEYS[1]), {}, 0
for i = 1, #all, 2 do
	if string.sub(all[i], 1, 2) == "w:" then
		local seen = tonumber(all[i + 1]) or 0
		if all[i] == "w:" .. ARGV[2] or seen < tonumber(at) - tonumber(ARGV[3]) then
			redis.call("HDEL", KEYS[1], all[i])
		else
			others = others + 1
		end
	end
end
if others == 0 and ARGV[4] == "released" then
	redis.call("HSET", KEYS[1], "released", 1, "at", at)
end
return others`)

// Look returns a queue's owner, and how many tasks it has.
func Look(ctx context.Context, rdb redis.UniversalClient, queue string) (Standing, error) {
	reply, err := look.Run(ctx, rdb, keys(queue)).Slice()
	if err != nil {
		return Standing{}, err
	}
	return standing(queue, reply)
}

// standing decodes the reply of the script look.
func standing(queue string, reply []any) (Standing, error) {
	if len(reply) != 7 {
		return Standing{}, errors.New("redis answered the query for a queue's owner with an unknown reply")
	}
	s := Standing{Queue: queue}
	fields := texts(reply[2])
	s.Owner.signature, _ = reply[0].(string)
	s.Tasks.Waiting, _ = reply[3].(int64)
	s.Tasks.Active, _ = reply[4].(int64)
	s.Tasks.Archived, _ = reply[5].(int64)
	clock, _ := reply[1].(string)
	if !s.Owner.Exists() || len(fields) != 10 {
		return s, nil
	}
	o := &s.Owner
	o.ID, o.Nonce, o.Worker, o.GivenUp = fields[0], fields[1], fields[3], fields[4] != ""
	o.Since, o.Database, o.Schema = number(fields[5]), fields[7], fields[8]
	o.LastSeen = since(clock, fields[6])
	for _, seen := range texts(reply[6]) {
		if since(clock, seen) < deadAfter {
			o.Workers++
		}
	}
	return s, nil
}

// since returns how long before clock, in milliseconds by the server's clock, a time was.
func since(clock, at string) time.Duration {
	const longest = int64(365 * 24 * time.Hour / time.Millisecond) // for times that can't be true
	ms := min(max(number(clock)-number(at), -longest), longest)
	return time.Duration(ms) * time.Millisecond
}

func texts(reply any) []string {
	list, _ := reply.([]any)
	all := make([]string, len(list))
	for i, one := range list {
		all[i], _ = one.(string)
	}
	return all
}

// Names returns the queues that have had an owner or a task.
func Names(ctx context.Context, rdb redis.UniversalClient) ([]string, error) {
	var all []string
	for _, set := range []string{ownedQueues, AllQueues} {
		names, err := rdb.SMembers(ctx, set).Result()
		if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, err
		}
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// consumed reports whether a worker of any release may be consuming the queue. Workers' heartbeats in Redis name their
// queues; any heartbeat that contains the queue's name counts. If there is no heartbeat at all, but a client is blocked,
// Redis may just have lost the heartbeats.
func consumed(ctx context.Context, rdb redis.UniversalClient, queue string) (bool, error) {
	servers, err := rdb.ZRange(ctx, AllServers, 0, -1).Result()
	if err != nil {
		return false, err
	}
	if len(servers) == 0 {
		return awaited(ctx, rdb)
	}
	for _, server := range servers {
		sign, err := rdb.Get(ctx, server).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, err
		}
		if strings.Contains(sign, queue) {
			return true, nil
		}
	}
	return false, nil
}

// awaited reports whether a client is blocked in this Redis, as a worker is while it waits for jobs.
func awaited(ctx context.Context, rdb redis.UniversalClient) (bool, error) {
	var blocked atomic.Bool
	ask := func(ctx context.Context, node *redis.Client) error {
		info, err := node.Info(ctx, "clients").Result()
		if err == nil && !strings.Contains(info, "blocked_clients:0\r\n") {
			blocked.Store(true)
		}
		return err
	}
	switch client := rdb.(type) {
	case *redis.ClusterClient:
		err := client.ForEachMaster(ctx, ask)
		return blocked.Load(), err
	case *redis.Client:
		err := ask(ctx, client)
		return blocked.Load(), err
	}
	return false, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
