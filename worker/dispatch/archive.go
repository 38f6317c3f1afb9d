package dispatch

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"

	"invoicer/worker"
	"invoicer/worker/queue"
)

// An archive records how far a queue's archive has been read.
type archive struct {
	newest float64            // when the newest task read so far was archived, in Unix seconds
	read   map[string]float64 // tasks read that were archived at most archiveOverlap before newest
}

// archiveOverlap is by how many seconds the clocks of the processes that archive may differ.
const archiveOverlap = 60

// archivePage is the number of archived tasks that one round reads. asynq keeps 10,000 at most.
const archivePage = 500

// considerArchive records the jobs as failed that the queue has archived without a worker: because they reached a
// limit that a foreign producer set, or because a person archived them. It reads the archive once, and then what is
// added.
func (w *watch) considerArchive(ctx context.Context, seen queue.View) error {
	a := &w.archived
	var ids []string
	for id := range seen.Archived {
		if _, ok := a.read[id]; !ok {
			ids = append(ids, id)
		}
	}
	fresh, err := w.tasks(ctx, ids)
	if err != nil {
		return err // the tasks may be readable when the server is back
	}
	maps.DeleteFunc(fresh, func(_ string, info *asynq.TaskInfo) bool { return info.State != asynq.TaskStateArchived })
	if err := w.failUnrecorded(ctx, fresh); err != nil {
		return err
	}
	if a.read == nil {
		a.read = make(map[string]float64)
	}
	for id, score := range seen.Archived {
		at, err := strconv.ParseFloat(score, 64)
		if err != nil {
			return fmt.Errorf("archived task %s: %w", id, err)
		}
		a.read[id] = at
		// A task with a time in the future must not hide tasks that are archived before then.
		a.newest = max(a.newest, at)
	}
	a.newest = min(a.newest, float64(seen.Now+archiveOverlap)) // also if Redis's clock is set back
	maps.DeleteFunc(a.read, func(_ string, at float64) bool { return at < a.newest-archiveOverlap })
	return nil
}

// failUnrecorded records the jobs of those archived tasks as failed that have no end.
func (w *watch) failUnrecorded(ctx context.Context, tasks map[string]*asynq.TaskInfo) error {
	var ids []string
	for _, info := range tasks {
		ids = append(ids, worker.JobIDs(info.ID, info.Headers)...)
	}
	if len(ids) == 0 {
		return nil
	}
	open, err := w.database.Open(ctx, ids)
	if err != nil {
		return err
	}
	for _, info := range tasks {
		jobID := jobOf(info, open)
		if dispatch, ok := open[jobID]; !ok || dispatch != dispatchOf(info, jobID) {
			continue
		}
		why := "archived in the queue"
		if info.LastErr != "" {
			why += fmt.Sprintf(" after %d attempts: %s", info.Retried+1, info.LastErr)
		}
		if err := w.fail(ctx, info, jobID, why); err != nil {
			return err
		}
	}
	return nil
}

// jobOf returns the id of the job that a task belongs to. Of the jobs that it may belong to, the ledger knows the one
// that is open as a dispatch, or isn't open.
func jobOf(info *asynq.TaskInfo, open map[string]int) string {
	ids := worker.JobIDs(info.ID, info.Headers)
	last := len(ids) - 1
	for _, id := range ids[:last] {
		if dispatch, ok := open[id]; !ok || dispatch > 0 {
			return id
		}
	}
	return ids[last]
}

// dispatchOf returns the number of the dispatch that a task is; 0 for a task that was enqueued directly.
func dispatchOf(info *asynq.TaskInfo, jobID string) int {
	number, found := strings.CutPrefix(info.ID, jobID+".")
	if !found {
		return 0
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}
