package dispatch

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// A watch is one queue that this process looks after.
type watch struct {
	*Reconciler
	known    ledger.Watch // as stored in the database
	keys     queue.Keys
	marker   string // the mark's key, in the queue's slot
	leases   map[string]queue.Lease
	looked   time.Time // when the leases were checked last
	archived archive
	list     list
	scanned  string // cursor of the scan of Redis's keys

	young cursor // follows the jobs as they are dispatched
	slow  lap    // goes round all jobs, again and again
	round int    // counts the rounds
	sweep *sweep // nil unless Redis has lost data, or may have
}

// A cursor goes through the enqueued jobs of a queue in the order of their dispatch.
type cursor struct{ after ledger.Dispatch }

// A lap goes once through all jobs.
type lap struct {
	cursor
	found int  // jobs that were put back
	hurry bool // the lap before has found lost jobs, and more may be lost
}

// A sweep looks for every job that was dispatched before the loss of data in Redis was noticed.
type sweep struct {
	cursor
	server string    // the Redis process in which it looks for jobs
	until  time.Time // it ends after the jobs that were dispatched by then, by the database's clock
	found  int       // jobs that were put back
}

func newWatch(r *Reconciler, known ledger.Watch) *watch {
	keys := queue.KeysOf(known.Queue)
	return &watch{
		Reconciler: r,
		keys:       keys,
		marker:     keys.InSlot("invoicer:" + r.options.DatabaseID + ":mark:"),
		leases:     make(map[string]queue.Lease),
		// A minute back: a predecessor may not have looked for the latest dispatches.
		young: cursor{ledger.Dispatch{At: known.Now.Add(-time.Minute)}},
	}
}

// look adds the command that reads the queue's state, and that writes the next mark if Redis has lost nothing.
func (w *watch) look(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	return w.keys.See(ctx, p, queue.Mark{Key: w.marker, Server: w.known.Server, Number: w.known.Marker}, w.archived.newest-archiveOverlap, archivePage+len(w.archived.read))
}

// bringBack puts back the jobs that the queue has lost, judging by the state that look has read.
func (w *watch) bringBack(ctx context.Context, look *redis.Cmd) error {
	w.round++
	seen, err := queue.NewView(look)
	var kept error // an error of tidying must not prevent the rest
	if w.round%roundsOfKinds == 1 || queue.IsWrongType(err) {
		kept = errors.Join(w.removeWrongTypes(ctx), w.tidy(ctx))
	}
	if err != nil {
		return errors.Join(err, kept)
	}
	return errors.Join(kept, w.considerRedis(ctx, seen), w.considerWorkers(ctx, seen), w.considerArchive(ctx, seen), w.lookForJobs(ctx, seen))
}

// considerRedis begins a sweep if Redis has lost data, or may have.
func (w *watch) considerRedis(ctx context.Context, seen queue.View) error {
	switch {
	case w.sweep == nil && seen.Marked > 0:
		w.known.Marker = seen.Marked
		return nil
	case w.sweep != nil && seen.Server == w.sweep.server && seen.Mark == w.sweeping():
		return nil // the sweep goes on
	case w.sweep != nil:
		return w.beginSweep(ctx, seen.Server, "it has forgotten something again")
	case w.known.Server == "":
		return w.beginSweep(ctx, seen.Server, "")
	case strings.HasPrefix(seen.Mark, sweepMark):
		return w.beginSweep(ctx, seen.Server, "another worker had begun a sweep")
	case seen.Mark == "":
		return w.beginSweep(ctx, seen.Server, "its mark is gone")
	case seen.Server != w.known.Server:
		return w.beginSweep(ctx, seen.Server, "it was restarted, or another one took its place")
	}
	return w.beginSweep(ctx, seen.Server, "its mark is older than it was")
}

// endSweep replaces the sweep's mark with a number, in Redis first: the database must never have a mark that Redis
// hasn't had. If Redis has another mark than the sweep's, it has lost data again, and the sweep starts over.
func (w *watch) endSweep(ctx context.Context) error {
	number := w.known.Marker + 1
	old, err := w.rdb.SetArgs(ctx, w.marker, number, redis.SetArgs{Get: true}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if old != w.sweeping() && old != strconv.FormatInt(number, 10) { // the number is there if this command was sent twice
		return w.beginSweep(ctx, w.sweep.server, "it has forgotten something just now")
	}
	w.known.Marker, w.known.Server = number, w.sweep.server
	found := w.sweep.found
	w.sweep = nil
	if found > 0 {
		w.options.Logger.WarnContext(ctx, "jobs that redis had forgotten are back", "queue", w.known.Queue, "jobs", found)
	}
	w.options.Observe(Event{What: Swept, Queue: w.known.Queue, Jobs: found})
	return nil
}

// sweepMark is the prefix of the mark during a sweep. The token of the sweeping process follows.
const sweepMark = "sweep:"

func (w *watch) sweeping() string { return sweepMark + w.token }

func (w *watch) beginSweep(ctx context.Context, server, why string) error {
	if err := w.rdb.Set(ctx, w.marker, w.sweeping(), 0).Err(); err != nil {
		return err
	}
	w.sweep = &sweep{server: server, until: w.known.Now}
	if why != "" {
		w.options.Logger.WarnContext(ctx, "redis may have forgotten jobs: every accepted one is looked for", "queue", w.known.Queue, "why", why)
	}
	w.options.Observe(Event{What: Suspected, Queue: w.known.Queue})
	return nil
}
