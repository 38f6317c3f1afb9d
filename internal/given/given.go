// Package given remembers outside of the database which numbers were given out, and finds out by it whether the database has lost some:
// after a failover to a standby that lagged, or a restore to an earlier moment, its counters are behind the numbers that customers hold.
package given

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A Memory has the highest number that was given out in each slot, in one hash in Redis without an expiry. It is safe for concurrent
// use.
type Memory struct {
	rdb redis.Scripter
	key string
}

// Key returns the name of the hash of an installation.
func Key(databaseID string) string { return "invoicer:" + databaseID + ":given" }

// NewMemory returns the memory of an installation.
func NewMemory(rdb redis.Scripter, databaseID string) *Memory {
	return &Memory{rdb: rdb, key: Key(databaseID)}
}

// raiseFields takes fields, each with a number, which replaces a lower one, and whatever else another program has written there. Numbers are
// compared as texts: Lua's have 53 bits.
var raiseFields = redis.NewScript(`
for i = 1, #ARGV, 2 do
	local have = redis.pcall('HGET', KEYS[1], ARGV[i])
	if type(have) == 'table' and have.err then
		redis.call('DEL', KEYS[1])
		have = false
	end
	local number = ARGV[i + 1]
	if not (have and string.find(have, '^%d+$') and (#have > #number or #have == #number and have >= number)) then
		redis.call('HSET', KEYS[1], ARGV[i], number)
	end
end
return 1
`)

// Raise has Redis know, in one command, that these numbers, and so all lower ones of their series and periods, were given out.
func (m *Memory) Raise(ctx context.Context, numbers ...invoice.Numbered) error {
	highest := make(map[invoice.SlotKey]int64, 1)
	for _, n := range numbers {
		highest[n.SlotKey] = max(highest[n.SlotKey], n.Number)
	}
	args := make([]any, 0, 2*len(highest))
	for slot, number := range highest {
		args = append(args, field(slot), number)
	}
	if len(args) == 0 {
		return nil
	}
	if err := m.raise(ctx, args...); err != nil {
		return fmt.Errorf("remember numbers in Redis: %w", err)
	}
	return nil
}

func (m *Memory) raise(ctx context.Context, fields ...any) error {
	return raiseFields.Run(ctx, m.rdb, []string{m.key}, fields...).Err()
}

// A Reader reads a hash.
type Reader interface {
	HGet(ctx context.Context, key, field string) *redis.StringCmd
	HGetAll(ctx context.Context, key string) *redis.MapStringStringCmd
}

// Highest returns the highest number of each slot that an installation's memory has.
func Highest(ctx context.Context, rdb Reader, databaseID string) (map[invoice.SlotKey]int64, error) {
	highest, _, err := read(ctx, rdb, databaseID)
	return highest, err
}

// read returns the highest number of each slot, and the latest timeline of each cluster of Postgres servers.
func read(ctx context.Context, rdb Reader, databaseID string) (highest map[invoice.SlotKey]int64, timelines map[string]int64, err error) {
	fields, err := rdb.HGetAll(ctx, Key(databaseID)).Result()
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		err = nil // another program's value says nothing
	}
	if err != nil {
		return nil, nil, fmt.Errorf("which numbers were given out: %w", err)
	}
	highest, timelines = make(map[invoice.SlotKey]int64, len(fields)), make(map[string]int64)
	for name, value := range fields {
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil || number <= 0 {
			continue
		}
		if system, ok := strings.CutPrefix(name, timelineField("")); ok {
			timelines[system] = number
		} else if parts := strings.Split(name, "/"); len(parts) == 3 {
			highest[invoice.SlotKey{Issuer: parts[0], Series: parts[1], Period: parts[2]}] = number
		}
	}
	return highest, timelines, nil
}

// timelineField names the latest timeline of a cluster. Issuers have no small letters.
func timelineField(system string) string { return "timeline " + system }

// Timeline returns the latest timeline of a cluster that an installation's memory has, 0 if none.
func Timeline(ctx context.Context, rdb Reader, databaseID, system string) (int64, error) {
	latest, err := rdb.HGet(ctx, Key(databaseID), timelineField(system)).Int64()
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return 0, err
	}
	return latest, nil
}

// Meant has the server of this timeline be the right one, though a later one is remembered.
func (m *Memory) Meant(ctx context.Context, now postgres.Lineage) error {
	if now.System == "" {
		return nil
	}
	return meant.Run(ctx, m.rdb, []string{m.key}, timelineField(now.System), now.Timeline).Err()
}

var meant = redis.NewScript(`return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])`)

// field names a slot. Neither issuers, nor series, nor periods contain a slash.
func field(k invoice.SlotKey) string { return k.Issuer + "/" + k.Series + "/" + k.Period }
