package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"invoicer/internal/report"
)

// Workers is what works there.
type Workers struct {
	Workers  int      `json:"workers"`  // of this installation
	Versions []string `json:"versions"` // theirs
	Queues   int      `json:"queues"`   // that concern this installation
}

// examineWorkers looks at the queues of this installation and at its workers.
func examineWorkers(ctx context.Context, o Options, r *Report) {
	var queues *report.Queues
	var workers *report.Workers
	err := o.within(ctx, func(ctx context.Context) (err error) {
		if queues, err = o.Reporter.Queues(ctx); err == nil {
			workers, err = o.Reporter.Workers(ctx)
		}
		return err
	})
	if err != nil {
		if !r.has("schema") && (!r.has("rights") || !forbidden(err)) {
			r.miss("queues and workers", err)
		}
		return
	}
	r.Problems = append(r.Problems, queues.Problems...)
	r.Workers = &Workers{Versions: []string{}}
	for i := range queues.Queues {
		if q := &queues.Queues[i]; q.Concerns() || slices.Contains(o.Queues, q.Queue) {
			r.Workers.Queues++
			judgeQueue(r, q)
		}
	}
	judgeWorkers(r, workers)
}

func judgeQueue(r *Report, q *report.Queue) {
	if q.Owner != nil && !q.Ours && (q.Owner.State == report.OwnerAlive || holds(q)) {
		r.find(Finding{
			Check: "owner", Level: Broken, Setting: "worker.queues", What: fmt.Sprintf("queue %s belongs to the installation in schema %s of %s", q.Queue, q.Owner.Schema, q.Owner.Database),
			Remedy: "give one of the two another queue in worker.queues, or another Redis; if the other one is gone for good, invoicer queue take " + q.Queue,
		})
		return
	}
	if q.Consumers > 0 || q.Pending == nil {
		return
	}
	what := "no worker consumes queue " + q.Queue
	if waits := q.Waiting(); waits > 0 {
		what += fmt.Sprintf(", in which %s", waiting(int(waits), q.Estimated))
	}
	r.find(Finding{
		Check: "consumers", Level: Warning, Setting: "worker.queues", What: what, Remedy: "start a worker that has it in worker.queues, or let one that is quiet go on: invoicer workers",
	})
}

// holds reports whether tasks are in the queue in Redis, other than completed ones. A dead owner loses a queue without any.
func holds(q *report.Queue) bool {
	for _, n := range []*int64{q.Pending, q.Active, q.Retry, q.Scheduled, q.Archived} {
		if n != nil && *n > 0 {
			return true
		}
	}
	return false
}

func judgeWorkers(r *Report, all *report.Workers) {
	versions := map[string]int{}
	for i := range all.Workers {
		if w := &all.Workers[i]; w.Ours {
			r.Workers.Workers++
			versions[w.Version]++
		}
	}
	r.Workers.Versions = slices.Sorted(maps.Keys(versions))
	if len(versions) > 1 {
		var list []string
		for _, v := range r.Workers.Versions {
			list = append(list, fmt.Sprintf("%s of %s", several(versions[v], "worker"), v))
		}
		r.find(Finding{
			Check: "versions", Level: Warning, What: "the workers' versions differ: " + strings.Join(list, ", "),
			Remedy: "finish the upgrade: two neighbouring releases work side by side, and new ones wait with some jobs until the old ones are gone",
		})
	}
	for _, s := range all.Differs {
		var list []string
		for _, value := range slices.Sorted(maps.Keys(s.Values)) {
			list = append(list, fmt.Sprintf("%s (%s)", value, strings.Join(s.Values[value], ", ")))
		}
		r.find(Finding{
			Check: "settings", Level: Warning, Setting: s.Key, What: "workers differ in " + s.Key + ": " + strings.Join(list, "; "), Remedy: "configure them alike, and restart them",
		})
	}
}
