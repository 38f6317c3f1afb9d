package queue

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"invoicer/internal/report"
)

// surveyScript returns the time, how many tasks a queue has in each state, whether it is paused, how many tasks were worked on
// since ever, and the samples of that number.
var surveyScript = redis.NewScript(`
local answer = {redis.call("TIME")[1]}
for i = 1, 2 do
	table.insert(answer, tonumber(redis.pcall("LLEN", KEYS[i])) or 0)
end
for i = 3, 6 do
	table.insert(answer, tonumber(redis.pcall("ZCARD", KEYS[i])) or 0)
end
local processed, samples = redis.pcall("GET", KEYS[8]), redis.pcall("HVALS", KEYS[9])
table.insert(answer, redis.call("EXISTS", KEYS[7]))
table.insert(answer, type(processed) == "string" and processed or "")
table.insert(answer, samples.err and {} or samples)
return answer`)

// sampleScript records how many tasks of a queue were worked on since ever: one sample for each ten seconds, of which the last
// dozen is kept.
var sampleScript = redis.NewScript(`
local now = tonumber(redis.call("TIME")[1])
local slot = math.floor(now / 10)
local field, last = slot % 12, redis.pcall("HGET", KEYS[2], slot % 12)
if type(last) == "table" and last.err then
	redis.call("DEL", KEYS[2])
	last = false
end
local at = last and tonumber(string.match(last, "^%d+")) or 0
if at >= slot * 10 and at <= now then
	return 0
end
local processed = redis.pcall("GET", KEYS[1])
redis.call("HSET", KEYS[2], field, string.format("%d", now) .. ":" .. (type(processed) == "string" and processed or "0"))
redis.call("EXPIRE", KEYS[2], 300)
return 1`)

const (
	// rateOver is over how many seconds a rate is computed, if there are samples.
	rateOver = 60
	// oldestSample is how old a sample may be, in seconds.
	oldestSample = 125
)

func (k Keys) samples() string { return k.InSlot("invoicer:samples:") }

// A Surveyed is the state of a queue in Redis.
type Surveyed struct {
	report.Queue // without what only the ledger knows

	Owner Owner
}

// Survey returns the state of queues. Its cost doesn't depend on their lengths.
func Survey(ctx context.Context, rdb redis.UniversalClient, queues []string) ([]Surveyed, error) {
	if len(queues) == 0 {
		return nil, nil
	}
	owners, states := make([]*redis.Cmd, len(queues)), make([]*redis.Cmd, len(queues))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range queues {
			k := KeysOf(name)
			owners[i] = look.Eval(ctx, p, keys(name))
			states[i] = surveyScript.Eval(ctx, p, []string{
				k.Pending(), k.Active(), k.Retry(), k.Scheduled(), k.Archived(), k.Completed(), k.Paused(), k.Processed(), k.samples(),
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	consumers, err := consumersOf(ctx, rdb)
	if err != nil {
		return nil, err
	}
	all := make([]Surveyed, len(queues))
	for i, name := range queues {
		reply, err := owners[i].Slice()
		if err != nil {
			return nil, err
		}
		s, err := standing(name, reply)
		if err != nil {
			return nil, err
		}
		state, err := states[i].Slice()
		if err != nil {
			return nil, err
		}
		all[i] = surveyed(name, state)
		all[i].Owner = s.Owner
		if s.Owner.Exists() {
			all[i].Queue.Owner = ownerReport(s.Owner)
			all[i].Consumers = s.Owner.Workers
		} else {
			all[i].Consumers = consumers[name]
		}
	}
	return all, nil
}

// Foreign reports whether the queue belongs to another installation than that of the database with this identity.
func (s *Surveyed) Foreign(databaseID string) bool {
	return s.Owner.Exists() && s.Owner.ID != databaseID
}

func ownerReport(o Owner) *report.Owner {
	r := &report.Owner{
		State: report.OwnerDead, Installation: o.ID, Database: o.Database, Schema: o.Schema, Worker: o.Worker,
		LastSeen: time.Now().Add(-o.LastSeen).UTC(),
	}
	switch {
	case o.GivenUp:
		r.State = report.OwnerGivenUp
	case o.Alive():
		r.State = report.OwnerAlive
	}
	return r
}

// surveyed decodes the reply of surveyScript.
func surveyed(name string, reply []any) (s Surveyed) {
	s.Queue.Queue = name
	if len(reply) != 10 {
		return s
	}
	for i, to := range []**int64{&s.Pending, &s.Active, &s.Retry, &s.Scheduled, &s.Archived, &s.Completed} {
		n, _ := reply[i+1].(int64)
		*to = &n
	}
	paused, _ := reply[7].(int64)
	s.Paused = paused > 0
	clock, _ := reply[0].(string)
	processed, _ := reply[8].(string)
	s.rate(number(clock), number(processed), texts(reply[9]))
	return s
}

// rate computes the rate from the sample that is closest to rateOver seconds ago, and at least as old if there is one.
func (s *Surveyed) rate(now, processed int64, samples []string) {
	var at, was int64
	distance := int64(math.MaxInt64)
	for _, sample := range samples {
		first, second, _ := strings.Cut(sample, ":")
		when := number(first)
		age := now - when
		if age < 5 || age > oldestSample || number(second) > processed { // the counter began anew
			continue
		}
		apart := age - rateOver
		if apart < 0 {
			apart = -apart
		}
		if apart < distance {
			at, was, distance = when, number(second), apart
		}
	}
	if at == 0 {
		return
	}
	s.RateOver = float64(now - at)
	rate := float64(processed-was) / s.RateOver
	s.Rate = &rate
}

// consumersOf returns how many servers consume each queue, by their heartbeats.
func consumersOf(ctx context.Context, rdb redis.UniversalClient) (map[string]int, error) {
	servers, err := heartbeats(ctx, rdb, AllServers)
	if err != nil {
		return nil, err
	}
	reads := make([]*redis.StringCmd, len(servers))
	var commands []redis.Cmder
	if len(servers) > 0 {
		commands, err = rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, key := range servers {
				reads[i] = p.Get(ctx, key)
			}
			return nil
		})
	}
	counts := map[string]int{}
	for _, read := range reads {
		for _, name := range queuesOfServer(read.Val()) {
			counts[name]++
		}
	}
	return counts, unlessReply(err, commands...)
}

// The numbers of fields of asynq's ServerInfo (v0.26, internal/proto): a map of queues, and a text.
const fieldServerQueues, fieldServerStatus = 5, 7

// queuesOfServer returns the queues that a server consumes, none if it has stopped.
func queuesOfServer(encoded string) (names []string) {
	for left := encoded; left != ""; {
		f, err := nextField(&left)
		if err != nil {
			return nil
		}
		if f.kind != protowire.BytesType {
			continue
		}
		switch int(f.number) {
		case fieldServerQueues:
			entry := f.bytes
			if key, err := nextField(&entry); err == nil && key.number == 1 {
				names = append(names, key.bytes)
			}
		case fieldServerStatus:
			if f.bytes != "active" {
				return nil
			}
		}
	}
	return names
}
