package inquiry

import (
	"context"
	"maps"
	"slices"
	"strings"

	"invoicer/internal/report"
	"invoicer/worker/queue"
)

// Queues returns every queue that Redis, the ledger or the configuration knows, by name. If Redis doesn't answer, it returns what
// the ledger knows, with a problem. If the database doesn't, Queues returns its error.
func (r *Reporter) Queues(ctx context.Context) (*report.Queues, error) {
	backlogs, err := r.options.Store.Backlogs(ctx)
	if err != nil {
		return nil, err
	}
	databaseID, err := r.options.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]*report.Queue{}
	for i := range backlogs {
		all[backlogs[i].Queue] = &backlogs[i]
	}
	for _, name := range r.options.Queues {
		if all[name] == nil {
			all[name] = &report.Queue{Queue: name}
		}
	}
	answer := &report.Queues{Problems: []string{}}
	problem := r.askRedis(ctx, func(ctx context.Context) error {
		names, err := r.names(ctx)
		if err != nil {
			return err
		}
		surveyed, err := queue.Survey(ctx, r.options.Redis, distinct(append(names, slices.Collect(maps.Keys(all))...)))
		if err != nil {
			return err
		}
		workers, err := queue.Workers(ctx, r.options.Redis)
		if err != nil {
			return err
		}
		for i := range surveyed {
			q := &surveyed[i].Queue
			if ledger := all[q.Queue]; ledger != nil {
				q.Accepted, q.Estimated, q.OldestAt = ledger.Accepted, ledger.Estimated, ledger.OldestAt
			}
			q.Ours = q.Owner != nil && q.Owner.Installation == databaseID
			q.Consumers = max(q.Consumers-quietOn(workers, q.Queue), 0)
			emptyIn(q)
			all[q.Queue] = q
		}
		return nil
	})
	if problem != "" {
		answer.Problems = append(answer.Problems, problem)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		answer.Queues = append(answer.Queues, *all[name])
	}
	return answer, nil
}

// Queue returns one queue as [Reporter.Queues] does, or [ErrRedisAway]. One that nobody knows is empty.
func (r *Reporter) Queue(ctx context.Context, name string) (*report.Queue, error) {
	one := Reporter{r.options}
	one.options.Queues = append(slices.Clip(one.options.Queues), name)
	all, err := one.Queues(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all.Queues, func(q report.Queue) bool { return q.Queue == name })
	if i < 0 || all.Queues[i].Pending == nil {
		return nil, ErrRedisAway
	}
	return &all.Queues[i], nil
}

// quietOn returns how many of a queue's workers take no more jobs.
func quietOn(workers []report.Worker, name string) (n int) {
	for _, w := range workers {
		if _, consumes := w.Queues[name]; consumes && w.Quiet {
			n++
		}
	}
	return n
}

// emptyIn computes in how many seconds the queue is empty, where that can be known.
func emptyIn(q *report.Queue) {
	waiting := q.Waiting()
	if q.Scheduled != nil {
		waiting -= *q.Scheduled // they wait for their time
	}
	if waiting == 0 {
		none := 0.0
		q.EmptyIn = &none
		return
	}
	if q.Paused || q.Consumers == 0 || q.Rate == nil || *q.Rate <= 0 {
		return
	}
	seconds := float64(waiting) / *q.Rate
	q.EmptyIn = &seconds
}

// Workers returns the workers of all installations that have shown themselves in Redis in the last ten seconds, and the settings
// in which those of this installation differ. If Redis doesn't answer, there is a problem and no worker.
func (r *Reporter) Workers(ctx context.Context) (*report.Workers, error) {
	databaseID, err := r.options.DatabaseID(ctx)
	if err != nil {
		return nil, err
	}
	answer := &report.Workers{Workers: []report.Worker{}, Differs: []report.Setting{}, Problems: []string{}}
	problem := r.askRedis(ctx, func(ctx context.Context) error {
		workers, err := queue.Workers(ctx, r.options.Redis)
		if err == nil && len(workers) > 0 {
			answer.Workers = workers
		}
		return err
	})
	if problem != "" {
		answer.Problems = append(answer.Problems, problem)
	}
	for i := range answer.Workers {
		answer.Workers[i].Ours = answer.Workers[i].Installation == databaseID
	}
	answer.Differs = differing(answer.Workers, databaseID)
	return answer, nil
}

// differing returns the settings that aren't the same for all workers of an installation.
func differing(workers []report.Worker, databaseID string) []report.Setting {
	values := map[string]map[string][]string{}
	ours := 0
	for _, w := range workers {
		if w.Installation != databaseID {
			continue
		}
		ours++
		for key, value := range w.Settings {
			if values[key] == nil {
				values[key] = map[string][]string{}
			}
			values[key][value] = append(values[key][value], w.Name)
		}
	}
	differs := []report.Setting{}
	for key, of := range values {
		told := 0
		for _, names := range of {
			told += len(names)
		}
		if len(of) > 1 || told < ours { // a worker of another version may not have the key
			differs = append(differs, report.Setting{Key: key, Values: of})
		}
	}
	slices.SortFunc(differs, func(a, b report.Setting) int { return strings.Compare(a.Key, b.Key) })
	return differs
}
