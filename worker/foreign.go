package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/worker/client"
)

// foreignTasks limits the log lines about other installations' tasks: a queue may be full of them.
type foreignTasks struct {
	mu    sync.Mutex
	last  time.Time // when the last line was logged
	since int       // tasks since the last log line
}

// foreignInterval is the shortest time between two log lines about other installations' tasks.
const foreignInterval = time.Minute

// isForeign reports whether the task is another installation's. Such a task comes from another ledger, where its job
// is safe; only that installation's workers may make its invoice or record its failure. The task is removed from the
// queue and not archived: if its own installation's workers found it in the archive, they would record the job as
// failed.
func (h *Handler) isForeign(ctx context.Context, task *asynq.Task) bool {
	named := task.Headers()[client.InstallationHeader]
	if named == "" || h.options.Installation == "" || named == h.options.Installation {
		return false
	}
	f := &h.foreign
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since++
	if time.Since(f.last) < foreignInterval {
		return true
	}
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	h.log.LogAttrs(ctx, slog.LevelWarn, "tasks of another installation's ledger are taken out of the queue: their jobs are safe there",
		slog.String("queue", queue), slog.String("task_id", id), slog.String("installation", named[:min(len(named), maxJobID)]), slog.Int("tasks", f.since))
	f.last, f.since = time.Now(), 0
	return true
}
