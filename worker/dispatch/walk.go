package dispatch

import (
	"context"
	"strings"
	"time"

	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// The number of jobs in a page, and the number of pages in a round: for young, and for a sweep or a hurrying lap. An
// ordinary lap looks for one page in every other round.
const (
	page         = 500
	pagesOfYoung = 20
	pagesOfSweep = 40
	roundsOfSlow = 2
)

// lookForJobs looks for the jobs that the queue should have.
func (w *watch) lookForJobs(ctx context.Context, seen queue.View) error {
	w.list.begin(seen.Pending)
	if w.sweep == nil && !w.known.Open {
		w.list = list{}
		return nil
	}
	if err := w.readList(ctx); err != nil {
		return err
	}
	if w.sweep != nil {
		return w.goOnSweeping(ctx)
	}
	if w.young.after.At.After(w.known.Now) { // the database's clock was set back since
		w.young = cursor{ledger.Dispatch{At: w.known.Now.Add(-time.Minute)}}
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
	return w.goOnLap(ctx)
}

// readList continues reading a long list of waiting tasks, and puts back the jobs that aren't in it.
func (w *watch) readList(ctx context.Context) error {
	pages := pagesOfList
	if w.sweep != nil || w.slow.hurry {
		pages = pagesOfListInASweep
	}
	// A reading from before Redis lost data proves nothing.
	if l := &w.list; w.sweep != nil && l.last != nil && l.last.began.Before(w.sweep.until) {
		l.last = nil
	}
	if w.sweep != nil && w.list.last == nil {
		w.list.wanted = true
	}
	lost, err := w.list.readOn(ctx, w.rdb, w.keys.Pending(), w.known.Now, pages)
	if err != nil {
		return err
	}
	found := 0
	for len(lost) > 0 && err == nil {
		n := min(page, len(lost))
		var some int
		some, err = w.putBack(ctx, lost[:n])
		found, lost = found+some, lost[n:]
	}
	if w.sweep != nil {
		w.sweep.found += found
	} else {
		w.slow.found += found
	}
	return err
}

func (w *watch) goOnSweeping(ctx context.Context) error {
	if w.list.long() && w.list.last == nil {
		return nil // the list is still being read
	}
	s := w.sweep
	for looked := range pagesOfSweep {
		if looked > 0 && w.late() || len(w.list.suspects) >= mostSuspects {
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
		// The sweep also has to look for jobs that were dispatched right before Redis lost data, once they have had
		// time to arrive, and once more for jobs that are missing in a long list.
		if w.known.Now.Add(-w.options.Settled).Before(s.until) || len(w.list.suspects) > 0 {
			return nil
		}
		return w.endSweep(ctx)
	}
	return nil
}

// goOnLap looks for some more jobs of the lap, and begins a new lap after the last job. A lap that has found a lost
// job hurries, since more may be lost.
func (w *watch) goOnLap(ctx context.Context) error {
	lap, pages := &w.slow, 0
	switch {
	case lap.hurry || lap.found > 0:
		pages = pagesOfSweep
	case w.round%roundsOfSlow == 0:
		pages = 1
	}
	for looked := range pages {
		if looked > 0 && w.late() {
			return nil
		}
		if lap.after.ID == 0 {
			w.list.wanted = true
		}
		n, found, err := w.lookForPage(ctx, &lap.cursor)
		lap.found += found
		if err != nil {
			return err
		}
		if n < page {
			w.slow = lapAfter(lap.found)
			return nil
		}
	}
	return nil
}

func lapAfter(found int) lap { return lap{hurry: found > 0} }

// lookForPage looks for one page of jobs, and puts back those that the queue doesn't have. It returns how many jobs
// it looked for, and how many it put back.
func (w *watch) lookForPage(ctx context.Context, c *cursor) (looked, found int, err error) {
	jobs, err := w.database.Enqueued(ctx, w.known.Queue, c.after, w.options.Settled, page)
	if err != nil || len(jobs) == 0 {
		return 0, 0, err
	}
	ids := make([]string, len(jobs))
	for i, d := range jobs {
		ids[i] = taskID(d)
	}
	places, err := w.keys.Places(ctx, w.rdb, ids)
	if err != nil {
		return 0, 0, err
	}
	var lost, claims []suspect
	var archivedIDs []string
	for i, place := range places {
		s := suspect{job: jobs[i], seen: place, at: w.known.Now}
		switch {
		case place == queue.InHand, place == queue.Retried:
		case place == queue.Archived: // yet the job has no end in the database: the database was restored, or no worker was asked
			archivedIDs = append(archivedIDs, ids[i])
		case strings.HasPrefix(place, queue.Waiting):
			claims = append(claims, s)
		default: // the queue doesn't have the job, or says that it is done while the database doesn't
			lost = append(lost, s)
		}
	}
	if err := w.failArchived(ctx, archivedIDs); err != nil {
		return 0, 0, err
	}
	missing, err := w.list.missing(ctx, w.rdb, w.keys.Pending(), claims, w.options.Settled)
	if err != nil {
		return 0, 0, err
	}
	if found, err = w.putBack(ctx, append(lost, missing...)); err != nil {
		return 0, 0, err
	}
	c.after = jobs[len(jobs)-1]
	return len(jobs), found, nil
}

// putBack makes lost jobs accepted again, and deletes what the queue still has of them. It asks the database again
// before it deletes anything, since a job that has ended since it was listed may have left the queue for that reason.
// Deleting comes first: if putBack is interrupted, a job is missing, which is found again; in the other order a task
// could remain that nothing looks for.
func (w *watch) putBack(ctx context.Context, lost []suspect) (int, error) {
	if len(lost) == 0 {
		return 0, nil
	}
	ids := make([]string, len(lost))
	for i, s := range lost {
		ids[i] = s.job.JobID
	}
	open, err := w.database.Open(ctx, ids)
	if err != nil {
		return 0, err
	}
	var still []suspect
	for _, s := range lost {
		if number, ok := open[s.job.JobID]; ok && number == s.job.Number {
			still = append(still, s)
		}
	}
	if len(still) == 0 {
		return 0, nil
	}
	buried, err := w.bury(ctx, still)
	if err != nil {
		return 0, err
	}
	found, err := w.database.PutBack(ctx, buried)
	if err != nil || found == 0 {
		return 0, err
	}
	w.options.Observe(Event{What: PutBack, Queue: w.known.Queue, Jobs: found})
	if w.sweep == nil {
		w.options.Logger.WarnContext(ctx, "jobs that were not in their queue are put back", "queue", w.known.Queue, "jobs", found)
	}
	return found, nil
}

// bury deletes what the queue still has of lost jobs, and returns the jobs of which nothing is left in the queue.
func (w *watch) bury(ctx context.Context, lost []suspect) (buried []ledger.Dispatch, err error) {
	seen := make([]queue.Sighting, len(lost))
	for i, s := range lost {
		seen[i] = queue.Sighting{ID: taskID(s.job), Place: s.seen}
	}
	done, err := w.keys.Bury(ctx, w.rdb, seen, 2*shortList)
	if err != nil {
		return nil, err
	}
	for i, s := range lost {
		if done[i] {
			buried = append(buried, s.job)
		}
	}
	return buried, nil
}

// failArchived records the jobs of archived tasks as failed if they have no end.
func (w *watch) failArchived(ctx context.Context, ids []string) error {
	tasks, err := w.tasks(ctx, ids)
	if err != nil {
		return err
	}
	return w.failUnrecorded(ctx, tasks)
}
