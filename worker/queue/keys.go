package queue

import (
	"strings"
	"time"
)

// The registers, which are the same for all queues. Each is in a slot of its own.
const (
	AllQueues  = "asynq:queues"  // a set of names
	AllServers = "asynq:servers" // a sorted set of the keys of servers' heartbeats, by when they expire
	AllWorkers = "asynq:workers" // likewise, of the tasks that servers have in hand
)

// KeyPattern and ChannelPattern match all keys and channels that asynq uses, in the syntax of Redis's access lists.
const (
	KeyPattern     = "asynq:*"
	ChannelPattern = "asynq:*"
)

// A heartbeat's two keys begin with these; the server's host, process and id follow, in braces.
const (
	serverKeyBegin  = AllServers + ":{"
	workersKeyBegin = AllWorkers + ":{"
)

// Keys returns the names of one queue's keys in Redis, which are all in one slot of a cluster.
type Keys struct{ queue, prefix string }

// KeysOf returns the keys of a queue.
func KeysOf(queue string) Keys { return Keys{queue: queue, prefix: "asynq:{" + queue + "}:"} }

// Pending is the list of the tasks that wait; the next is at its end.
func (k Keys) Pending() string { return k.prefix + "pending" }

// Active is the list of the tasks that workers have fetched and not ended.
func (k Keys) Active() string { return k.prefix + "active" }

// Lease is the sorted set of the active tasks, by when their leases end.
func (k Keys) Lease() string { return k.prefix + "lease" }

// Retry is the sorted set of the tasks that failed, by when they are due again.
func (k Keys) Retry() string { return k.prefix + "retry" }

// Scheduled is the sorted set of the tasks that are for later, by when they are due.
func (k Keys) Scheduled() string { return k.prefix + "scheduled" }

// Archived is the sorted set of the tasks that were given up, by when.
func (k Keys) Archived() string { return k.prefix + "archived" }

// Completed is the sorted set of the tasks that are done, by until when they are kept.
func (k Keys) Completed() string { return k.prefix + "completed" }

// Paused exists while the queue is paused.
func (k Keys) Paused() string { return k.prefix + "paused" }

// Processed counts the tasks that were worked on.
func (k Keys) Processed() string { return k.prefix + "processed" }

// ProcessedOn counts those of a day.
func (k Keys) ProcessedOn(day time.Time) string { return k.Processed() + onDay(day) }

// Failed counts the tasks that failed.
func (k Keys) Failed() string { return k.prefix + "failed" }

// FailedOn counts those of a day.
func (k Keys) FailedOn(day time.Time) string { return k.Failed() + onDay(day) }

func onDay(t time.Time) string { return ":" + t.UTC().Format(time.DateOnly) }

// Task is the hash of one task.
func (k Keys) Task(id string) string { return k.taskPrefix() + id }

func (k Keys) taskPrefix() string { return k.prefix + "t:" }

// Ours is a key of this program's, named like asynq's keys of the queue.
func (k Keys) Ours(name string) string { return k.prefix + "invoicer:" + name }

// InSlot is a key of this program's that begins with the prefix, in the slot of the queue's keys.
func (k Keys) InSlot(prefix string) string { return prefix + "{" + k.queue + "}" }

// The fields of a task's hash that are read or written here. The scripts name them as well.
const (
	messageField = "msg"
	stateField   = "state"
	// HolderField has the name of the worker that fetched the task last. asynq doesn't have this field: its own record of a
	// task's worker expires within seconds after the worker's death.
	HolderField = "invoicer_worker"
)

// tasks are the keys in which asynq keeps tasks, in the order of the task scripts' KEYS.
func (k Keys) tasks() []string {
	return []string{k.Pending(), k.Active(), k.Lease(), k.Retry(), k.Scheduled(), k.Archived(), k.Completed()}
}

// fetch are the keys of the script with which asynq fetches a task (internal/rdb, dequeueCmd).
func (k Keys) fetch() []string { return []string{k.Pending(), k.Paused(), k.Active(), k.Lease()} }

// unfinished are the keys in which asynq keeps tasks that aren't done.
func (k Keys) unfinished() []string {
	return []string{k.Pending(), k.Scheduled(), k.Retry(), k.Active(), k.Archived()}
}

// kindOf splits a queue's key into the prefix of all of the queue's keys and its kind, such as "lease".
func kindOf(key string) (prefix, kind string) {
	end := strings.Index(key, "}:")
	if end < 0 {
		return "", ""
	}
	prefix, kind = key[:end+2], key[end+2:]
	kind, _, _ = strings.Cut(kind, ":")
	return prefix, kind
}
