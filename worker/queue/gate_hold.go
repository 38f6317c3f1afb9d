package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// admit tells whether Redis is to be asked for a job of the queue, and how often the queue had rung by then. It waits
// while all queues are believed empty.
func (g *fetchGate) admit(ctx context.Context, q *fetchQueue) (rings uint64, ok bool) {
	var hold <-chan time.Time
	for !g.owns() {
		select {
		case <-time.After(pollInterval):
		case <-g.closed:
			return 0, false
		case <-ctx.Done():
			return 0, false
		}
	}
	for {
		rings, ok, wait := g.look(q)
		if !wait {
			return rings, ok
		}
		if hold == nil {
			timer := time.NewTimer(g.hold)
			defer timer.Stop()
			hold = timer.C
		}
		select {
		case <-g.bell:
		case <-hold:
			g.doubt()
		case <-g.closed:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// look tells whether to ask the queue for jobs, which learn must follow, to go on to another one, or to wait.
func (g *fetchGate) look(q *fetchQueue) (rings uint64, ask, wait bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return 0, false, false
	}
	if !q.empty {
		g.asking++
		return q.rings, true, false
	}
	for _, other := range g.queues {
		if !other.empty || len(other.ahead) > 0 {
			return 0, false, false
		}
	}
	return 0, false, true
}

// learn draws a conclusion from how a fetch went, and returns the first job; again says that there is none only because
// what was looked at were no jobs. A failed fetch counts as fruitless, or asynq would repeat it at once.
func (g *fetchGate) learn(ctx context.Context, q *fetchQueue, rings uint64, h haul) (answer *redis.Cmd, again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
	defer g.tellDrained()
	switch {
	case h.more:
		q.appetite = min(2*h.asked, mostAhead)
	case rings == q.rings: // else the answer may be older than the ring
		q.appetite, q.empty = 1, true
		select {
		case q.emptied <- struct{}{}:
		default:
		}
	}
	if len(h.jobs) == 0 {
		return noJob(ctx, h.err), h.more
	}
	q.fruitful = true
	q.ahead = append(q.ahead, h.jobs[1:]...)
	return h.jobs[0], false
}

// ring tells that the queue may have jobs.
func (g *fetchGate) ring(q *fetchQueue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.empty, q.fruitful = false, false
	q.rings++
	select {
	case <-q.emptied: // told while the watcher looked, and no longer true
	default:
	}
	select {
	case g.bell <- struct{}{}:
	default: // it is being woken
	}
}

// doubt takes every queue for one that may have jobs, until Redis says otherwise.
func (g *fetchGate) doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.queues {
		q.empty = false
	}
}
