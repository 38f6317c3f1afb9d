package dispatch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// A dead records the workers whose jobs go back to their queues. All jobs that a worker had in hand go back within
// seconds, and are logged in one line.
type dead struct {
	logged map[string]time.Time // by name of a logged worker: when its latest job went back; "" if the name is unknown
	news   map[string]*loss     // not logged yet
}

// A loss is the queues and the number of jobs of a dead worker.
type loss struct {
	queues []string
	jobs   int
}

// forgetDead is the time after a worker's latest job after which the worker is logged again.
const forgetDead = time.Minute

func newDead() *dead {
	return &dead{logged: make(map[string]time.Time), news: make(map[string]*loss)}
}

// add notes a dead worker, with the number of jobs that it seems to have in hand.
func (d *dead) add(name, queue string, jobs int) {
	last, known := d.logged[name]
	d.logged[name] = time.Now()
	if known && name != "" && time.Since(last) < forgetDead {
		return
	}
	if d.news[name] == nil {
		d.news[name] = &loss{}
	}
	if n := d.news[name]; !slices.Contains(n.queues, queue) {
		n.queues, n.jobs = append(n.queues, queue), n.jobs+jobs
	}
}

// logDead logs the workers that were noted in this round.
func (r *Reconciler) logDead(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(r.dead.news)) {
		n := r.dead.news[name]
		if name == "" {
			name = "unknown"
		}
		r.options.Logger.WarnContext(ctx, "a worker is gone, or has lost touch with Redis: its jobs go back to their queues",
			"worker", name, "queues", strings.Join(n.queues, ","), "jobs", n.jobs)
	}
	clear(r.dead.news)
	maps.DeleteFunc(r.dead.logged, func(_ string, last time.Time) bool { return time.Since(last) > forgetDead })
}

// hands maps active tasks to their workers, as the workers recorded when they fetched the tasks; "" if none did.
type hands struct {
	worker map[string]string // by task
	jobs   map[string]int    // by worker
}

func (w *watch) hands(ctx context.Context, tasks map[string]string) (*hands, error) {
	ids := slices.Collect(maps.Keys(tasks))
	h := &hands{worker: make(map[string]string, len(ids)), jobs: make(map[string]int)}
	for some := range slices.Chunk(ids, page) {
		names, err := w.keys.Holders(ctx, w.rdb, some)
		if err != nil {
			return nil, err
		}
		for i, name := range names {
			h.worker[some[i]] = name
			h.jobs[name]++
		}
	}
	return h, nil
}
