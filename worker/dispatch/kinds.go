package dispatch

import (
	"context"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// roundsOfKinds is the number of rounds between two checks of the types of the queue's keys. A wrong type that makes
// a round fail is checked at once.
const roundsOfKinds = 5

// removeWrongTypes deletes the queue's keys of a wrong type. Jobs that were lost with the original keys are
// found like any lost job.
func (w *watch) removeWrongTypes(ctx context.Context) error {
	removed, err := w.keys.RemoveWrongTypes(ctx, w.rdb, w.marker)
	w.logRemoved(ctx, removed)
	return err
}

func (r *Reconciler) logRemoved(ctx context.Context, keys []string) {
	for _, key := range keys {
		r.options.Logger.ErrorContext(ctx, "a key of the queue had a wrong type: it is deleted", "key", key)
	}
}

// nameQueues adds the queues to asynq's list of queues.
func (r *Reconciler) nameQueues(ctx context.Context, p redis.Pipeliner, held []ledger.Watch) *redis.IntCmd {
	if len(held) == 0 {
		return nil
	}
	names := make([]string, len(held))
	for i, w := range held {
		names[i] = w.Queue
	}
	return queue.Register(ctx, p, names...)
}

// keepRegisters deletes asynq's registers if they are of a wrong type.
func (r *Reconciler) keepRegisters(ctx context.Context, named *redis.IntCmd) error {
	if named == nil {
		return nil
	}
	err := named.Err()
	if r.rounds++; r.rounds%roundsOfKinds != 1 && !queue.IsWrongType(err) {
		return err
	}
	removed, removeErr := queue.RemoveWrongTypeRegisters(ctx, r.rdb)
	r.logRemoved(ctx, removed)
	if removeErr != nil {
		return removeErr
	}
	return err
}

// tidy removes the queue's entries that have no task.
func (w *watch) tidy(ctx context.Context) error {
	if w.scanned == "" {
		w.scanned = "0"
	}
	next, removed, err := w.keys.Tidy(ctx, w.rdb, w.scanned)
	w.scanned = next // "" after an error, since a cursor of one server may be invalid on another
	if err == nil && removed != "0" {
		w.options.Logger.WarnContext(ctx, "the queue held ids without a task: they are removed", "queue", w.known.Queue, "ids", removed)
	}
	return err
}

// tasks reads tasks and returns those that are jobs. Other tasks aren't this program's to record. It deletes a task
// that can't be read, or that has no message, since asynq would stop at it.
func (w *watch) tasks(ctx context.Context, ids []string) (map[string]*asynq.TaskInfo, error) {
	read, err := w.keys.Read(ctx, w.rdb, ids)
	if err != nil {
		return nil, err
	}
	jobs := make(map[string]*asynq.TaskInfo)
	for _, task := range read {
		if task.Info == nil {
			if err := w.keys.Purge(ctx, w.rdb, task.ID, task.Message); err != nil {
				return nil, fmt.Errorf("task %q: %w", task.ID, err)
			}
			w.options.Logger.WarnContext(ctx, "a task that can't be read is deleted", "queue", w.known.Queue, "task_id", printable(task.ID), "bytes", len(task.Message))
			continue
		}
		if task.Info.Type == client.TaskType {
			jobs[task.ID] = task.Info
		}
	}
	return jobs, nil
}

// printable returns an id, which may be any bytes, in a form fit for a log line.
func printable(id string) string { return strings.ToValidUTF8(id[:min(len(id), 255)], "\uFFFD") }
