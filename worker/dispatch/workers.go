package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// considerWorkers puts back the active jobs whose workers are dead.
func (w *watch) considerWorkers(ctx context.Context, seen queue.View) error {
	tasks := seen.Active
	maps.DeleteFunc(w.leases, func(id string, _ queue.Lease) bool { _, isActive := tasks[id]; return !isActive })
	now := time.Now()
	if now.Sub(w.looked) > queue.SignOfLife {
		clear(w.leases) // while Redis didn't answer, no worker could extend its leases
	}
	w.looked = now
	var problems []error
	var had *hands // nil until a dead worker is found
	for id, score := range tasks {
		if w.late() {
			break // the others follow in the next round
		}
		last, ok := w.leases[id]
		if !ok || last.End != score {
			w.leases[id] = queue.Lease{End: score, Since: now}
			continue
		}
		if !last.Dead(now, time.Unix(seen.Now, 0), w.options.DeadAfter) {
			continue
		}
		if had == nil {
			var err error
			if had, err = w.hands(ctx, tasks); err != nil {
				return err
			}
		}
		if err := w.takeFromDead(ctx, id, score, had); err != nil {
			problems = append(problems, err)
			continue
		}
		delete(w.leases, id)
	}
	return errors.Join(problems...)
}

// takeFromDead puts back a job whose worker is dead.
func (w *watch) takeFromDead(ctx context.Context, id, score string, had *hands) error {
	answer, err := w.keys.Requeue(ctx, w.rdb, id, score, w.options.MaxCrashes)
	if err != nil {
		return err
	}
	switch answer {
	case queue.Moved:
		w.options.Logger.DebugContext(ctx, "the worker of a job is gone: the job goes back to its queue", "queue", w.known.Queue, "task_id", id, "worker", had.worker[id])
		w.dead.add(had.worker[id], w.known.Queue, had.jobs[had.worker[id]])
		w.options.Observe(Event{What: Requeued, Queue: w.known.Queue, JobID: id, Jobs: 1})
	case queue.Poisoned:
		read, err := w.tasks(ctx, []string{id})
		if err != nil {
			return err
		}
		if info, ok := read[id]; ok {
			open, err := w.database.Open(ctx, worker.JobIDs(id, info.Headers))
			if err != nil {
				return err
			}
			if err := w.fail(ctx, info, jobOf(info, open), fmt.Sprintf("given up: %d workers died or lost touch with Redis while they worked on it", w.options.MaxCrashes+1)); err != nil {
				return err
			}
		}
		return w.keys.GiveUp(ctx, w.rdb, id, score)
	}
	return nil
}

// fail records that a job won't be tried again. It leaves a job that has a good end that the queue doesn't know of,
// another installation's job, which that installation records, and a dismissed job.
func (w *watch) fail(ctx context.Context, info *asynq.TaskInfo, jobID, why string) error {
	if named := info.Headers[client.InstallationHeader]; named != "" && named != w.options.DatabaseID {
		return nil
	}
	end := worker.LostJob(info, jobID, nil, w.options.Name, why)
	err := w.database.Record(ctx, end)
	var altered *ledger.AlteredError
	if errors.As(err, &altered) && altered.Payload != nil {
		end = worker.LostJob(info, jobID, altered.Payload, w.options.Name, why)
		err = w.database.Record(ctx, end)
	}
	if errors.Is(err, invoice.ErrEnded) || errors.As(err, new(*ledger.DismissedError)) {
		return nil
	}
	if err == nil {
		w.options.Logger.WarnContext(ctx, "a job is recorded as failed: "+why,
			"queue", w.known.Queue, "job_id", end.JobID, "transaction_id", end.TransactionID, "outcome", end.Outcome)
		w.options.Observe(Event{What: GivenUp, Queue: w.known.Queue, JobID: end.JobID, Jobs: 1})
	}
	return err
}
