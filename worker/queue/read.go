package queue

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// A Stored is what Redis has under a task's id.
type Stored struct {
	ID      string
	Message string          // encoded
	Info    *asynq.TaskInfo // nil if it isn't the message of this queue's task
}

// Read reads tasks. Their Info has no other State than archived. A key of a wrong type counts as a task without a message.
func (k Keys) Read(ctx context.Context, rdb redis.UniversalClient, ids []string) ([]Stored, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	read := make([]*redis.SliceCmd, len(ids))
	_, _ = rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command keeps its own error
		for i, id := range ids {
			read[i] = p.HMGet(ctx, k.Task(id), messageField, stateField)
		}
		return nil
	})
	tasks := make([]Stored, len(ids))
	for i, id := range ids {
		fields, err := read[i].Result()
		if err != nil && !IsWrongType(err) {
			return nil, fmt.Errorf("task %q: %w", id, err)
		}
		fields = append(fields, nil, nil)
		message, _ := fields[0].(string)
		tasks[i] = Stored{ID: id, Message: message}
		info, err := ReadTask(message)
		if err != nil || info.ID != id || info.Queue != k.queue {
			continue
		}
		if fields[1] == Archived {
			info.State = asynq.TaskStateArchived
		}
		tasks[i].Info = info
	}
	return tasks, nil
}

// Holders returns, for each task, the name of the worker that fetched it last: "" if Redis has no name, or if the task can't
// be read.
func (k Keys) Holders(ctx context.Context, rdb redis.UniversalClient, ids []string) ([]string, error) {
	names := make([]string, len(ids))
	answers, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.HGet(ctx, k.Task(id), HolderField)
		}
		return nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	for i, answer := range answers {
		names[i] = answer.(*redis.StringCmd).Val()
	}
	return names, nil
}
