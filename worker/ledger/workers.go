package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/worker"
)

// What asynq does (v0.26, internal/rdb, heartbeat.go): a worker takes a lease of 30s with a task, and extends it to that
// again every 5s.
const (
	leaseDuration = 30 * time.Second
	signOfLife    = 5 * time.Second
)

// A lease is what was last seen of one, and since when it hasn't changed.
type lease struct {
	score string
	since time.Time
}

// dead tells whether the lease shows no sign of life any more. Its own time is the worker's, whose clock may be wrong; so
// it must also have been watched for longer than a living worker is silent.
func (l lease) dead(now time.Time, after time.Duration) bool {
	silent := now.Sub(l.since)
	if silent >= after {
		return true
	}
	end, err := strconv.ParseInt(l.score, 10, 64)
	if err != nil {
		return false
	}
	extended := time.Unix(end, 0).Add(-leaseDuration)
	return now.Sub(extended) >= after && silent > signOfLife+time.Second/2
}

// considerWorkers brings back the jobs whose workers are gone, of those that are being worked on.
func (w *watch) considerWorkers(ctx context.Context, tasks map[string]string) error {
	maps.DeleteFunc(w.leases, func(id string, _ lease) bool { _, isActive := tasks[id]; return !isActive })
	now := time.Now()
	if now.Sub(w.looked) > signOfLife {
		clear(w.leases) // while Redis was away, nobody could give a sign of life
	}
	w.looked = now
	var problems []error
	for id, score := range tasks {
		seen, ok := w.leases[id]
		if !ok || seen.score != score {
			w.leases[id] = lease{score: score, since: now}
			continue
		}
		if !seen.dead(now, w.options.DeadAfter) {
			continue
		}
		if err := w.takeFromDead(ctx, id, score); err != nil {
			problems = append(problems, err)
			continue
		}
		delete(w.leases, id)
	}
	return errors.Join(problems...)
}

func (w *watch) takeFromDead(ctx context.Context, id, score string) error {
	answer, err := w.keys.requeue(ctx, w.rdb, id, score, w.options.MaxCrashes)
	if err != nil {
		return err
	}
	switch answer {
	case moved:
		w.options.Logger.WarnContext(ctx, "the worker of a job is gone: the job goes back to its queue", "queue", w.known.Queue, "task_id", id)
		w.options.Observe(Event{What: Requeued, Queue: w.known.Queue, JobID: id, Jobs: 1})
	case poisoned:
		info, err := w.inspector.GetTaskInfo(w.known.Queue, id)
		if err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
		open, err := w.book.Open(ctx, worker.JobIDs(id, info.Headers))
		if err != nil {
			return err
		}
		if err := w.fail(ctx, info, jobOf(info, open), fmt.Sprintf("given up: %d workers died or lost touch with Redis while they worked on it", w.options.MaxCrashes+1)); err != nil {
			return err
		}
		_, err = w.keys.giveUp(ctx, w.rdb, id, score)
		return err
	}
	return nil
}

// fail records that nobody will try a job again. One that has a good end, of which only the queue doesn't know, keeps it,
// and one that somebody has dismissed stays so.
func (w *watch) fail(ctx context.Context, info *asynq.TaskInfo, jobID, why string) error {
	end := worker.LostJob(info, jobID, nil, w.options.Name, why)
	err := w.recorder.Record(ctx, end)
	var altered *invoice.AlteredError
	if errors.As(err, &altered) && altered.Payload != nil {
		end = worker.LostJob(info, jobID, altered.Payload, w.options.Name, why)
		err = w.recorder.Record(ctx, end)
	}
	if errors.Is(err, invoice.ErrEnded) || errors.As(err, new(*invoice.DismissedError)) {
		return nil
	}
	if err == nil {
		w.options.Logger.WarnContext(ctx, "a job is recorded as failed: "+why, "queue", w.known.Queue, "job_id", end.JobID, "transaction_id", end.TransactionID)
		w.options.Observe(Event{What: GivenUp, Queue: w.known.Queue, JobID: end.JobID, Jobs: 1})
	}
	return err
}

// An archive is how far a queue's archive has been read.
type archive struct {
	newest float64            // when the newest of what is read was archived, in Unix seconds
	read   map[string]float64 // what was archived from archiveOverlap before then on, and is read
}

// archiveOverlap is by how many seconds the clocks of those who archive may differ.
const archiveOverlap = 60

// archivePage is how many archived tasks are read in one round. asynq keeps 10,000 at most.
const archivePage = 500

// considerArchive records jobs as failed that the queue has given up on without asking us: at limits that a foreign producer
// has set, or because somebody has archived them by hand. It goes once through what is there, and then with what comes.
func (w *watch) considerArchive(ctx context.Context, tasks map[string]string) error {
	a := &w.archived
	fresh := make(map[string]*asynq.TaskInfo)
	for id := range tasks {
		if _, ok := a.read[id]; ok {
			continue
		}
		info, err := w.inspector.GetTaskInfo(w.known.Queue, id)
		switch {
		case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		case err != nil && w.rdb.Ping(ctx).Err() != nil:
			return err // it may be readable when the server is back
		case err != nil:
			w.options.Logger.WarnContext(ctx, "an archived task can't be read", "queue", w.known.Queue, "task_id", id, "error", err)
		case info.State == asynq.TaskStateArchived:
			fresh[id] = info
		}
	}
	if err := w.failUnrecorded(ctx, fresh); err != nil {
		return err
	}
	if a.read == nil {
		a.read = make(map[string]float64)
	}
	for id, score := range tasks {
		at, err := strconv.ParseFloat(score, 64)
		if err != nil {
			return fmt.Errorf("archived task %s: %w", id, err)
		}
		a.read[id] = at
		a.newest = max(a.newest, at)
	}
	maps.DeleteFunc(a.read, func(_ string, at float64) bool { return at < a.newest-archiveOverlap })
	return nil
}

// failUnrecorded records those of the archived tasks whose jobs have no end.
func (w *watch) failUnrecorded(ctx context.Context, tasks map[string]*asynq.TaskInfo) error {
	var ids []string
	for _, info := range tasks {
		ids = append(ids, worker.JobIDs(info.ID, info.Headers)...)
	}
	if len(ids) == 0 {
		return nil
	}
	open, err := w.book.Open(ctx, ids)
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

// jobOf is which job a task is of, by what the ledger says of those that it may be of: it knows one that is open as a
// dispatch, or isn't open.
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

// dispatchOf is which dispatch of a job a task is; 0 for one that was enqueued directly.
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
