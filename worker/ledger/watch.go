package ledger

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/worker/queue"
)

// A watch is one queue that this process looks after.
type watch struct {
	*Reconciler
	known    invoice.Watch // as the database has it
	keys     queue.Keys
	marker   string // a key in the queue's slot, of which Redis having forgotten something shows
	leases   map[string]queue.Lease
	looked   time.Time // at the leases
	archived archive
	list     list
	scanned  string // how far Redis's keys are gone through

	young cursor // follows the jobs as they are dispatched
	slow  lap    // goes round all of them
	round int    // counts the looks
	sweep *sweep // nil when Redis is as it was left
}

// A cursor goes through the enqueued jobs of a queue in the order of their dispatch.
type cursor struct{ after invoice.Dispatch }

// A lap goes once through all jobs.
type lap struct {
	cursor
	found int  // jobs that were put back
	hurry bool // the one before has found some: what has lost them may have lost more
}

// A sweep looks for every job that was dispatched before Redis was found to have forgotten something.
type sweep struct {
	cursor
	server string    // the Redis process that it is about
	until  time.Time // by the database's clock
	found  int       // jobs that were put back
}

func newWatch(r *Reconciler, known invoice.Watch) *watch {
	keys := queue.KeysOf(known.Queue)
	return &watch{
		Reconciler: r,
		keys:       keys,
		marker:     keys.InSlot("invoicer:" + r.options.DatabaseID + ":mark:"),
		leases:     make(map[string]queue.Lease),
		// What a predecessor had dispatched and not looked for any more.
		young: cursor{invoice.Dispatch{At: known.Now.Add(-time.Minute)}},
	}
}

// look asks for what is to be seen in the queue, and has it marked anew if Redis is as it was left.
func (w *watch) look(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	return w.keys.See(ctx, p, queue.Mark{Key: w.marker, Server: w.known.Server, Number: w.known.Marker}, w.archived.newest-archiveOverlap, archivePage+len(w.archived.read))
}

// bringBack brings back what the queue has lost, by what was seen there.
func (w *watch) bringBack(ctx context.Context, look *redis.Cmd) error {
	w.round++
	seen, err := queue.NewView(look)
	var kept error // what can't be tidied must not keep the rest from being done
	if w.round%roundsOfKinds == 1 || queue.IsWrongType(err) {
		kept = errors.Join(w.removeMisfits(ctx), w.tidy(ctx))
	}
	if err != nil {
		return errors.Join(err, kept)
	}
	return errors.Join(kept, w.considerRedis(ctx, seen), w.considerWorkers(ctx, seen), w.considerArchive(ctx, seen), w.lookForJobs(ctx, seen))
}

// considerRedis begins a sweep when Redis isn't what it was.
func (w *watch) considerRedis(ctx context.Context, seen queue.View) error {
	switch {
	case w.sweep == nil && seen.Marked > 0:
		w.known.Marker = seen.Marked
		return nil
	case w.sweep != nil && seen.Server == w.sweep.server && seen.Mark == w.sweeping():
		return nil // it goes on
	case w.sweep != nil:
		return w.beginSweep(ctx, seen.Server, "it has forgotten something again")
	case w.known.Server == "":
		return w.beginSweep(ctx, seen.Server, "")
	case strings.HasPrefix(seen.Mark, sweepMark):
		return w.beginSweep(ctx, seen.Server, "another worker had begun to look for what it has forgotten")
	case seen.Mark == "":
		return w.beginSweep(ctx, seen.Server, "its mark is gone")
	case seen.Server != w.known.Server:
		return w.beginSweep(ctx, seen.Server, "it was restarted, or another one took its place")
	}
	return w.beginSweep(ctx, seen.Server, "its mark is older than it was")
}

// endSweep puts a number in the place of the sweep's mark, in Redis first: the database must never know of a mark that
// Redis hasn't had. Where that is another one, Redis has forgotten something since it was looked at.
func (w *watch) endSweep(ctx context.Context) error {
	number := w.known.Marker + 1
	old, err := w.rdb.SetArgs(ctx, w.marker, number, redis.SetArgs{Get: true}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if old != w.sweeping() && old != strconv.FormatInt(number, 10) { // which is this command's own, sent again after its reply was lost
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

// sweepMark begins a mark that says that a sweep is under way, and by whom.
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
