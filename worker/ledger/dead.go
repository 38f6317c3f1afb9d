package ledger

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// The dead are workers whose jobs come back. All that one had in hand comes back within seconds, and is one piece of news.
type dead struct {
	told map[string]time.Time // when a job of a worker that is told of came back last, by its name; "" if nobody knows
	news map[string]*loss     // of this round
}

// A loss is what a worker has left.
type loss struct {
	queues []string
	jobs   int
}

// forgetDead is after how long without one of its jobs a worker is news again.
const forgetDead = time.Minute

func newDead() *dead {
	return &dead{told: make(map[string]time.Time), news: make(map[string]*loss)}
}

// add takes note of a worker of which so many jobs are in hand, as far as anybody sees.
func (d *dead) add(name, queue string, jobs int) {
	last, known := d.told[name]
	d.told[name] = time.Now()
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

// tell logs what is new since the round before.
func (r *Reconciler) tellDead(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(r.dead.news)) {
		n := r.dead.news[name]
		if name == "" {
			name = "unknown"
		}
		r.options.Logger.WarnContext(ctx, "a worker is gone, or has lost touch with Redis: its jobs go back to their queues",
			"worker", name, "queues", strings.Join(n.queues, ","), "jobs", n.jobs)
	}
	clear(r.dead.news)
	maps.DeleteFunc(r.dead.told, func(_ string, last time.Time) bool { return time.Since(last) > forgetDead })
}

// hands are which worker has which task, as whoever fetched them wrote down: "" where nobody did.
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
