package queue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"invoicer/internal/report"
	"invoicer/worker/client"
)

const (
	// lookedAhead is how many of the next pending tasks are searched for a task's place.
	lookedAhead = 10_000
	// mostServers bounds the heartbeats that are read.
	mostServers = 1000
)

// A Found is a task that a queue has, with its payload.
type Found struct {
	report.Task

	Payload []byte
}

// Search returns the tasks that the queue has under these ids; an id that it doesn't have is left out. The cost doesn't depend
// on the queue's length: the place of a pending task is looked for among the next 10,000 only.
func (k Keys) Search(ctx context.Context, rdb redis.UniversalClient, ids []string) ([]Found, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	reads := make([]taskReads, len(ids))
	var length *redis.IntCmd
	commands, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		length = p.LLen(ctx, k.Pending())
		for i, id := range ids {
			reads[i] = taskReads{
				hash:   p.HMGet(ctx, k.Task(id), messageField, stateField, "pending_since", HolderField),
				scores: map[string]*redis.FloatCmd{},
			}
			for state, set := range k.sets() {
				reads[i].scores[state] = p.ZScore(ctx, set, id)
			}
		}
		return nil
	})
	if err = unlessReply(err, commands...); err != nil {
		return nil, err
	}
	var found []Found
	for i, id := range ids {
		task, ok := k.read(id, reads[i])
		if !ok {
			continue
		}
		switch task.State {
		case report.TaskPending:
			err = k.place(ctx, rdb, &task, length.Val())
		case report.TaskActive:
			err = begun(ctx, rdb, &task)
		}
		if err != nil {
			return nil, err
		}
		found = append(found, task)
	}
	return found, nil
}

// unlessReply returns nil if all that is wrong is that there is no such key, or that it isn't of the type that asynq gives it.
// Other errors of a pipeline, such as a missing right, may hide behind the first.
func unlessReply(err error, commands ...redis.Cmder) error {
	harmless := func(err error) bool { return err == nil || errors.Is(err, redis.Nil) || IsWrongType(err) }
	if !harmless(err) {
		return err
	}
	for _, command := range commands {
		if err := command.Err(); !harmless(err) {
			return err
		}
	}
	return nil
}

// sets are the sorted sets in which tasks of a state are. An active task is in the set of leases.
func (k Keys) sets() map[string]string {
	return map[string]string{
		report.TaskActive: k.Lease(), report.TaskRetry: k.Retry(), report.TaskScheduled: k.Scheduled(),
		report.TaskArchived: k.Archived(), report.TaskCompleted: k.Completed(),
	}
}

type taskReads struct {
	hash   *redis.SliceCmd
	scores map[string]*redis.FloatCmd // by state
}

// read decodes a task. It returns false if there is no task of this queue under the id.
func (k Keys) read(id string, reads taskReads) (Found, bool) {
	fields := append(reads.hash.Val(), nil, nil, nil, nil)
	message, _ := fields[0].(string)
	info, err := ReadTask(message)
	if message == "" || err != nil || info.ID != id || info.Queue != k.queue {
		return Found{}, false
	}
	f := Found{Payload: info.Payload, Task: report.Task{
		TaskID: id, JobID: info.Headers[client.JobIDHeader], Queue: k.queue, Type: info.Type, Failures: info.Retried,
	}}
	if f.JobID == "" {
		f.JobID, f.Direct = id, true
	}
	if info.LastErr != "" {
		f.LastError = &info.LastErr
	}
	if holder, _ := fields[3].(string); holder != "" {
		f.Worker = &holder
	}
	f.State, _ = fields[1].(string)
	if f.State == report.TaskPending {
		if nanoseconds, _ := fields[2].(string); number(nanoseconds) > 0 {
			since := time.Unix(0, number(nanoseconds)).UTC()
			f.Since = &since
		}
		return f, true
	}
	score, known := reads.scores[f.State]
	if !known || score.Err() != nil {
		f.State = report.TaskLost
		return f, true
	}
	if at := time.Unix(int64(score.Val()), 0).UTC(); f.State == report.TaskArchived {
		f.Since = &at
	} else {
		f.Until = &at
	}
	return f, true
}

// place sets the place of a pending task: how many tasks are fetched before it. Fetches are at the list's end.
func (k Keys) place(ctx context.Context, rdb redis.UniversalClient, task *Found, length int64) error {
	task.Looked = min(length, lookedAhead)
	at, err := rdb.LPos(ctx, k.Pending(), task.TaskID, redis.LPosArgs{Rank: -1, MaxLen: lookedAhead}).Result()
	switch {
	case err == nil:
		ahead := max(length-1-at, 0)
		task.Ahead = &ahead
	case !errors.Is(err, redis.Nil):
		return unlessReply(err)
	case length <= lookedAhead:
		task.State = report.TaskLost
	}
	return nil
}

// begun sets since when a worker works on a task, if its heartbeat says so: they come every five seconds.
func begun(ctx context.Context, rdb redis.UniversalClient, task *Found) error {
	servers, err := heartbeats(ctx, rdb, AllWorkers)
	if err != nil || len(servers) == 0 {
		return err
	}
	reads := make([]*redis.StringCmd, len(servers))
	commands, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range servers {
			reads[i] = p.HGet(ctx, key, task.TaskID)
		}
		return nil
	})
	for _, read := range reads {
		if info := readWorkerInfo(read.Val()); info.queue == task.Queue && !info.begun.IsZero() {
			task.Since = &info.begun
		}
	}
	return unlessReply(err, commands...)
}

// heartbeats returns the keys of the heartbeats of a register that haven't expired.
func heartbeats(ctx context.Context, rdb redis.UniversalClient, register string) ([]string, error) {
	keys, err := rdb.ZRevRangeByScore(ctx, register, &redis.ZRangeBy{Min: "-inf", Max: "+inf", Count: mostServers}).Result()
	return keys, unlessReply(err)
}

// A workerInfo is a task that a server has in hand, in the server's heartbeat.
type workerInfo struct {
	server, task, queue string
	begun               time.Time
}

// The numbers of the fields of asynq's WorkerInfo (v0.26, internal/proto), beside fieldTaskPayload.
const fieldServerID, fieldTaskID, fieldTaskQueue, fieldStartTime = 3, 4, 7, 8

func readWorkerInfo(encoded string) (w workerInfo) {
	for left := encoded; left != ""; {
		f, err := nextField(&left)
		if err != nil {
			return workerInfo{}
		}
		if f.kind != protowire.BytesType {
			continue
		}
		switch int(f.number) {
		case fieldServerID:
			w.server = f.bytes
		case fieldTaskID:
			w.task = f.bytes
		case fieldTaskQueue:
			w.queue = f.bytes
		case fieldStartTime:
			w.begun = readTimestamp(f.bytes)
		}
	}
	return w
}

// readTimestamp decodes a protobuf Timestamp: field 1 has seconds, and field 2 nanoseconds.
func readTimestamp(encoded string) time.Time {
	var seconds, nanoseconds int64
	for left := encoded; left != ""; {
		f, err := nextField(&left)
		if err != nil {
			return time.Time{}
		}
		switch {
		case f.kind == protowire.VarintType && f.number == 1:
			seconds = int64(f.n)
		case f.kind == protowire.VarintType && f.number == 2:
			nanoseconds = int64(f.n)
		}
	}
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, nanoseconds).UTC()
}

// SearchAll returns the tasks that any of the queues has under one of these ids. Queues beyond the first 200 aren't searched.
func SearchAll(ctx context.Context, rdb redis.UniversalClient, queues, ids []string) ([]Found, error) {
	const mostQueues = 200
	var all []Found
	for _, name := range queues[:min(len(queues), mostQueues)] {
		found, err := KeysOf(name).Search(ctx, rdb, ids)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// Pause keeps workers from fetching tasks of the queue. It returns false if the queue is paused already.
func (k Keys) Pause(ctx context.Context, rdb redis.UniversalClient) (bool, error) {
	return rdb.SetNX(ctx, k.Paused(), strconv.FormatInt(time.Now().Unix(), 10), 0).Result()
}

// Resume lets workers fetch tasks of a paused queue again. It returns false if the queue isn't paused.
func (k Keys) Resume(ctx context.Context, rdb redis.UniversalClient) (bool, error) {
	n, err := rdb.Del(ctx, k.Paused()).Result()
	return n > 0, err
}

// PausedSince returns whether the queue is paused, and since when, if that is on record in Redis.
func (k Keys) PausedSince(ctx context.Context, rdb redis.UniversalClient) (paused bool, since time.Time, err error) {
	text, err := rdb.Get(ctx, k.Paused()).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return false, since, nil
	case err != nil && unlessReply(err) != nil:
		return false, since, err
	}
	if at := number(text); at > 0 {
		since = time.Unix(at, 0).UTC()
	}
	return true, since, nil
}
