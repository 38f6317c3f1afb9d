package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// A watch is one queue that this process looks after.
type watch struct {
	*Reconciler
	known    invoice.Watch // as the database has it
	keys     queueKeys
	marker   string // the mark's key in Redis
	leases   map[string]lease
	looked   time.Time // at the leases
	archived archive

	young cursor // follows the jobs as they are dispatched
	slow  cursor // goes round all of them
	round int    // counts the looks
	sweep *sweep // nil when Redis is as it was left
}

// A cursor goes through the enqueued jobs of a queue in the order of their dispatch.
type cursor struct{ after invoice.Dispatch }

// A sweep looks for every job that was dispatched before Redis was found to have forgotten something.
type sweep struct {
	cursor
	server string    // the Redis process that it is about
	until  time.Time // by the database's clock
	found  int       // jobs that were put back
}

func newWatch(r *Reconciler, known invoice.Watch) *watch {
	return &watch{
		Reconciler: r,
		keys:       newQueueKeys(known.Queue),
		marker:     fmt.Sprintf("invoicer:%s:mark:{%s}", r.options.DatabaseID, known.Queue),
		leases:     make(map[string]lease),
		// What a predecessor had dispatched and not looked for any more.
		young: cursor{invoice.Dispatch{At: known.Now.Add(-time.Minute)}},
	}
}

// look asks for what is to be seen in the queue, and has it marked anew if Redis is as it was left.
func (w *watch) look(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	return w.keys.look(ctx, p, w.marker, w.known, w.archived.newest-archiveOverlap, archivePage+len(w.archived.read))
}

// bringBack brings back what the queue has lost, by what was seen there.
func (w *watch) bringBack(ctx context.Context, look *redis.Cmd) error {
	seen, err := newView(look)
	if err != nil {
		return err
	}
	return errors.Join(w.considerRedis(ctx, seen), w.considerWorkers(ctx, seen.active), w.considerArchive(ctx, seen.archived), w.lookForJobs(ctx))
}

// considerRedis begins a sweep when Redis isn't what it was.
func (w *watch) considerRedis(ctx context.Context, seen view) error {
	switch {
	case w.sweep == nil && seen.marked > 0:
		w.known.Marker = seen.marked
		return nil
	case w.sweep != nil && seen.server == w.sweep.server && seen.mark == w.sweeping():
		return nil // it goes on
	case w.sweep != nil:
		return w.beginSweep(ctx, seen.server, "it has forgotten something again")
	case w.known.Server == "":
		return w.beginSweep(ctx, seen.server, "")
	case strings.HasPrefix(seen.mark, sweepMark):
		return w.beginSweep(ctx, seen.server, "another worker had begun to look for what it has forgotten")
	case seen.mark == "":
		return w.beginSweep(ctx, seen.server, "its mark is gone")
	case seen.server != w.known.Server:
		return w.beginSweep(ctx, seen.server, "it was restarted, or another one took its place")
	}
	return w.beginSweep(ctx, seen.server, "its mark is older than it was")
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
	// asynq names a queue there once for each client, and not again after Redis has forgotten it.
	if err := w.rdb.SAdd(ctx, "asynq:queues", w.known.Queue).Err(); err != nil {
		return err
	}
	w.sweep = &sweep{server: server, until: w.known.Now}
	if why != "" {
		w.options.Logger.WarnContext(ctx, "redis may have forgotten jobs: every accepted one is looked for", "queue", w.known.Queue, "why", why)
	}
	w.options.Observe(Event{What: Suspected, Queue: w.known.Queue})
	return nil
}

// How many jobs are looked for at once, and how many such pages in one round: of those that were just dispatched, and in a
// sweep. Of all others, one page in every other round.
const (
	page         = 500
	pagesOfYoung = 20
	pagesOfSweep = 40
	roundsOfSlow = 2
)

// lookForJobs looks for the jobs that the queue should have.
func (w *watch) lookForJobs(ctx context.Context) error {
	if s := w.sweep; s != nil {
		for looked := range pagesOfSweep {
			if looked > 0 && w.late() {
				return nil
			}
			n, found, err := w.lookForPage(ctx, &s.cursor)
			s.found += found
			if err != nil {
				return err
			}
			if n == page {
				continue
			}
			// What was dispatched before Redis forgot is to be looked for as well, once it has had time to arrive.
			if w.known.Now.Add(-w.options.Settled).Before(s.until) {
				return nil
			}
			return w.endSweep(ctx)
		}
		return nil
	}
	if !w.known.Open {
		return nil
	}
	for range pagesOfYoung {
		n, _, err := w.lookForPage(ctx, &w.young)
		if err != nil {
			return err
		}
		if n < page || w.late() {
			break
		}
	}
	if w.round++; w.round%roundsOfSlow != 0 {
		return nil
	}
	n, _, err := w.lookForPage(ctx, &w.slow)
	if n < page && err == nil {
		w.slow = cursor{} // and round again
	}
	return err
}

// lookForPage looks for one page of jobs, and puts those back that the queue doesn't have. It returns how many it looked
// for, and how many it put back.
func (w *watch) lookForPage(ctx context.Context, c *cursor) (looked, found int, err error) {
	jobs, err := w.book.Enqueued(ctx, w.known.Queue, c.after, w.options.Settled, page)
	if err != nil || len(jobs) == 0 {
		return 0, 0, err
	}
	states, err := w.keys.states(ctx, w.rdb, jobs)
	if err != nil {
		return 0, 0, err
	}
	var lost []invoice.Dispatch
	archived := make(map[string]*asynq.TaskInfo)
	for i, state := range states {
		switch state {
		case "", // the queue has never had it, or not any more
			"completed": // yet the database says that it hasn't ended: one that was restored
			lost = append(lost, jobs[i])
		case "archived": // likewise, or nobody was asked
			if info, err := w.inspector.GetTaskInfo(w.known.Queue, taskID(jobs[i])); err == nil {
				archived[info.ID] = info
			}
		}
	}
	if err := w.failUnrecorded(ctx, archived); err != nil {
		return 0, 0, err
	}
	// What has ended since the jobs were listed is gone from the queue as well; the database knows, and keeps those.
	if found, err = w.book.PutBack(ctx, lost); err != nil {
		return 0, 0, err
	}
	if found > 0 {
		w.options.Observe(Event{What: PutBack, Queue: w.known.Queue, Jobs: found})
		if w.sweep == nil {
			w.options.Logger.WarnContext(ctx, "jobs that were not in their queue are put back", "queue", w.known.Queue, "jobs", found)
		}
	}
	c.after = jobs[len(jobs)-1]
	return len(jobs), found, nil
}
