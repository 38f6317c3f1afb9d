package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/worker/client"
)

// foreignTasks tells of other installations' tasks, which can be as many as a queue holds, once in a while.
type foreignTasks struct {
	mu    sync.Mutex
	told  time.Time
	since int // that nothing was told of
}

// foreignInterval is how often is told of other installations' tasks.
const foreignInterval = time.Minute

// isForeign tells whether the task is another installation's. It comes from a ledger, where its job is safe; only that
// one's workers may make its invoice, or record that it failed. It is taken out of the queue and not archived, since an
// archived task ends its job, once its own installation's workers find it there.
func (h *Handler) isForeign(ctx context.Context, task *asynq.Task) bool {
	named := task.Headers()[client.InstallationHeader]
	if named == "" || h.options.Installation == "" || named == h.options.Installation {
		return false
	}
	f := &h.foreign
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since++
	if time.Since(f.told) < foreignInterval {
		return true
	}
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	h.log.LogAttrs(ctx, slog.LevelWarn, "tasks of another installation's ledger are taken out of the queue: their jobs are safe there",
		slog.String("queue", queue), slog.String("task_id", id), slog.String("installation", named[:min(len(named), maxJobID)]), slog.Int("tasks", f.since))
	f.told, f.since = time.Now(), 0
	return true
}
