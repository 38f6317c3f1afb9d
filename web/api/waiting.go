package api

import (
	"context"
	"sync"
	"time"

	"invoicer/internal/report"
)

const (
	// soonest and latest bound how often is asked for the end of a job that somebody waits for: the longer they have waited, the less often.
	soonest = 8 * time.Millisecond
	latest  = 2 * time.Second
	// rest is how much longer nothing is asked after a question, for each that waits: the more wait, the more are asked for together.
	rest = 150 * time.Microsecond
	// mostAtOnce is how many jobs are asked for in one statement.
	mostAtOnce = 1000
	// waitTimeout bounds one question.
	waitTimeout = 5 * time.Second
)

// waiters are requests that wait for the ends of jobs. One goroutine asks for all of them, and only while somebody waits.
type waiters struct {
	ends func(ctx context.Context, jobIDs []string) (map[string]*report.JobState, error)
	wake chan struct{}

	mu      sync.Mutex
	waiting map[*waiter]struct{}
	last    time.Time // when was asked last
	stopped bool
}

type waiter struct {
	jobID      string
	since, due time.Time
	end        chan *report.JobState // gets the end, or is closed when the process stops
}

func newWaiters(ends func(context.Context, []string) (map[string]*report.JobState, error)) *waiters {
	return &waiters{ends: ends, wake: make(chan struct{}, 1), waiting: make(map[*waiter]struct{})}
}

// await returns the end of a job, or nil if there is none before ctx ends or the process stops.
func (w *waiters) await(ctx context.Context, jobID string) *report.JobState {
	now := time.Now()
	one := &waiter{jobID: jobID, since: now, due: now.Add(soonest), end: make(chan *report.JobState, 1)}
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return nil
	}
	w.waiting[one] = struct{}{}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	defer func() {
		w.mu.Lock()
		delete(w.waiting, one)
		w.mu.Unlock()
	}()
	select {
	case end := <-one.end:
		return end
	case <-ctx.Done():
		return nil
	}
}

func (w *waiters) run(ctx context.Context) {
	defer w.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		for due, some := w.next(); some; due, some = w.next() {
			pause := time.NewTimer(time.Until(due))
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-w.wake: // somebody new may be due before
			case <-pause.C:
				w.ask(ctx)
			}
			pause.Stop()
		}
	}
}

// next returns when the next job is due, and whether there is one.
func (w *waiters) next() (due time.Time, some bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.waiting {
		if !some || one.due.Before(due) {
			due, some = one.due, true
		}
	}
	if rested := w.last.Add(soonest + time.Duration(len(w.waiting))*rest); due.Before(rested) {
		due = rested
	}
	return due, some
}

// ask asks for the jobs that are due.
func (w *waiters) ask(ctx context.Context) {
	now := time.Now()
	var jobIDs []string
	asked := make(map[string][]*waiter)
	w.mu.Lock()
	for one := range w.waiting {
		if one.due.After(now) || len(jobIDs) == mostAtOnce {
			continue
		}
		if len(asked[one.jobID]) == 0 {
			jobIDs = append(jobIDs, one.jobID)
		}
		asked[one.jobID] = append(asked[one.jobID], one)
	}
	w.mu.Unlock()
	if len(jobIDs) == 0 {
		return
	}
	limit, cancel := context.WithTimeout(ctx, waitTimeout)
	found, err := w.ends(limit, jobIDs)
	cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	now = time.Now()
	w.last = now
	for id, all := range asked {
		for _, one := range all {
			if end := found[id]; err == nil && end != nil {
				delete(w.waiting, one)
				one.end <- end
				continue
			}
			one.due = now.Add(min(max(now.Sub(one.since)/8, soonest), latest))
			if err != nil {
				one.due = now.Add(latest) // the database is away
			}
		}
	}
}

// stop has nobody wait any longer.
func (w *waiters) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for one := range w.waiting {
		close(one.end)
		delete(w.waiting, one)
	}
}
