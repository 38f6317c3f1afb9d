package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"invoicer/invoice"
)

// An obstacle is why a draft can't be written now: another transaction holds a lock that it needs.
type obstacle int

const (
	none         obstacle = iota
	heldJob               // another transaction is recording the job's end
	heldCounter           // its slot's counter is held, as every writer holds it for a moment
	stuckCounter          // its slot's counter is held for long
	noCounter             // its slot's counter has to be created
	heldWrite             // its row has to wait, most likely for a row with the same transaction or key
)

const (
	// shortWait bounds each wait in the free lane, which holds counters while it waits.
	shortWait = 200 * time.Millisecond
	// contendedWait is how long a counter may be held and still count as contended. One held longer counts as stuck.
	contendedWait = time.Second
	// sortingWait bounds the waits of a part of a group in which one member is known to block.
	sortingWait = 10 * time.Millisecond
	// turnWait bounds the waits of lanes if there are more lanes than may wait at once.
	turnWait = 250 * time.Millisecond
	// Blocked drafts, whose rows have to wait, are tried one at a time, for blockedWait each. After a wait in vain
	// there is a pause of blockedPause, since a blocked draft holds a counter while it waits.
	blockedWait  = 20 * time.Millisecond
	blockedPause = 200 * time.Millisecond
	// contendedDetour is how long a counter counts as contended after it was found held. Then the free lane tries it
	// again.
	contendedDetour = time.Second
	// ownDetour is how long anything else counts as held after it was last asked for. Jobs that were put back return
	// within that time.
	ownDetour = 10 * time.Second
)

// lanes are the groups by which drafts reach the database. A draft takes the free lane, unless another transaction is
// known to hold something that it needs. A draft that meets such an obstacle moves to another lane, and later drafts
// that need the same go there directly.
//
// The free lane doesn't wait for counters. The contended lane waits for all counters that are held for a moment,
// which is normal if several processes write to a series. A counter that is held for longer gets a lane of its own.
type lanes struct {
	store     *Invoices
	free      group[*write]
	contended lane
	blocked   lane
	waiting   chan struct{} // permits to wait for locks that are held for long, one for each connection
	creating  chan struct{} // permits to create counters
	most      int           // the number of drafts that may wait for locks that are held for long

	mu     sync.Mutex
	routes map[string]*route // by the key of what is held
	swept  time.Time
	inside int // drafts in lanes of their own
}

// A route leads the drafts that need a certain lock into a lane.
type route struct {
	lane  *lane
	until time.Time // or later, while a draft is in the lane
}

// A lane is a group for drafts that have to wait.
type lane struct {
	group[*write]

	own       bool // it is for a single lock
	inside    int
	stuck     time.Time // since when no draft has passed it; zero: the last one did
	notBefore time.Time // the time of its next try
}

func newLanes(s *Invoices) *lanes {
	l := &lanes{
		store: s, routes: make(map[string]*route),
		waiting: make(chan struct{}, max(1, s.options.MaxConns*3/10)), creating: make(chan struct{}, max(1, s.options.MaxConns/10)),
		most: max(1, s.options.Callers/4),
	}
	if s.options.Callers == 0 {
		l.most = maxGroup
	}
	l.free = l.newGroup(func(ctx context.Context, group []*write) {
		s.write(ctx, group, manner{wait: s.waitAtMost(shortWait)})
	})
	l.contended.group = l.newGroup(func(ctx context.Context, group []*write) {
		s.write(ctx, group, manner{wait: s.waitAtMost(contendedWait), patient: true})
	})
	l.blocked.group = l.newGroup(l.tryBlocked)
	l.blocked.most = 1
	return l
}

func (l *lanes) newGroup(do func(context.Context, []*write)) group[*write] {
	return group[*write]{owner: &l.store.working, most: maxGroup, apart: (*write).apart, weigh: (*write).weigh, heaviest: maxBytes, do: do}
}

func (s *Invoices) waitAtMost(d time.Duration) time.Duration {
	return max(min(d, s.options.LockTimeout), time.Millisecond)
}

// pass takes a draft to its result. Each obstacle that the draft meets leads it into another lane.
func (l *lanes) pass(ctx context.Context, w *write) error {
	for {
		lane, err := l.enter(w)
		if err != nil {
			return err
		}
		if lane == nil {
			err = l.free.join(ctx, w)
		} else {
			err = lane.join(ctx, w)
			l.leave(lane)
		}
		if err != nil || w.obstacle == none || w.err != nil {
			return err
		}
		l.divert(w)
	}
}

// enter returns the lane that a draft has to take, nil for the free lane. If too many drafts wait already, it returns
// an error at once, so that waiting drafts don't keep other jobs from being worked on.
func (l *lanes) enter(w *write) (*lane, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.routes) == 0 {
		return nil, nil //nolint:nilnil // see above
	}
	now := time.Now()
	for _, key := range w.keys {
		r := l.routes[key]
		if r == nil {
			continue
		}
		if l.over(r, now) {
			delete(l.routes, key)
			continue
		}
		to := r.lane
		if to != &l.contended {
			r.until = now.Add(ownDetour)
		}
		if now.Before(to.notBefore) || to.own && l.inside >= l.most && !to.stuck.IsZero() && now.Sub(to.stuck) >= contendedWait {
			return nil, held(w)
		}
		to.inside++
		if to.own {
			l.inside++
		}
		return to, nil
	}
	return nil, nil //nolint:nilnil // see above
}

func (l *lanes) over(r *route, now time.Time) bool {
	return now.After(r.until) && (!r.lane.own || r.lane.inside == 0)
}

func (l *lanes) leave(from *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from.inside--
	if from.own {
		l.inside--
	}
}

// divert notes a draft's obstacle, so that the draft and later ones take another lane.
func (l *lanes) divert(w *write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.swept) > contendedDetour {
		l.swept = now
		for key, r := range l.routes {
			if l.over(r, now) {
				delete(l.routes, key)
			}
		}
	}
	job, slot := w.keys[2], w.keys[3]
	switch w.obstacle {
	case none: // nothing did
	case heldCounter:
		if r := l.routes[slot]; r == nil || !r.lane.own {
			l.routes[slot] = &route{lane: &l.contended, until: now.Add(contendedDetour)}
		}
	case stuckCounter:
		l.laneOf(slot, l.waiting, false).stuck = now.Add(-contendedWait)
	case noCounter:
		l.laneOf(slot, l.creating, false)
	case heldJob:
		l.laneOf(job, l.waiting, true)
	case heldWrite:
		for _, key := range w.keys[:3] {
			l.routes[key] = &route{lane: &l.blocked, until: now.Add(ownDetour)}
		}
	}
}

// laneOf returns the lane for a held lock. Drafts wait there for as long as the options allow for any lock.
func (l *lanes) laneOf(key string, permits chan struct{}, jobs bool) *lane {
	if r := l.routes[key]; r != nil && r.lane.own {
		return r.lane
	}
	apart := &lane{own: true}
	apart.group = l.newGroup(func(ctx context.Context, group []*write) {
		wait := l.store.options.LockTimeout
		if len(permits) == cap(permits) {
			wait = l.store.waitAtMost(turnWait)
		}
		permits <- struct{}{} // a holder returns its permit after its wait at the latest
		defer func() { <-permits }()
		group = present(group)
		l.note(key, apart, false)
		l.store.write(ctx, group, manner{wait: wait, patient: true, jobs: jobs, create: true})
		l.note(key, apart, slices.ContainsFunc(group, func(w *write) bool { return !errors.Is(w.err, invoice.ErrHeld) }))
	})
	l.routes[key] = &route{lane: apart, until: time.Now().Add(ownDetour)}
	return apart
}

// note records whether a draft passed a lane. If so, later drafts take the free lane again.
func (l *lanes) note(key string, apart *lane, through bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case through:
		apart.stuck = time.Time{}
		if r := l.routes[key]; r != nil && r.lane == apart {
			delete(l.routes, key)
		}
	case apart.stuck.IsZero():
		apart.stuck = time.Now()
	}
}

// tryBlocked tries to write a single draft. It waits only briefly, since it holds the draft's counter meanwhile, and
// after a failed try there is a pause.
func (l *lanes) tryBlocked(ctx context.Context, group []*write) {
	w := group[0]
	l.mu.Lock()
	early := time.Now().Before(l.blocked.notBefore)
	l.mu.Unlock()
	if early {
		w.err = held(w)
		return
	}
	l.store.write(ctx, group, manner{wait: l.store.waitAtMost(blockedWait), patient: true, jobs: true, create: true, final: true})
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(w.err, invoice.ErrHeld) {
		l.blocked.notBefore = time.Now().Add(blockedPause)
		return
	}
	l.blocked.notBefore = time.Time{}
	for _, key := range w.keys[:3] {
		delete(l.routes, key)
	}
}

// present returns the members whose callers still wait.
func present(group []*write) []*write {
	return slices.DeleteFunc(slices.Clone(group), func(w *write) bool {
		w.err = w.ctx.Err()
		return w.err != nil
	})
}

// sortOut handles a group whose wait for a lock timed out: it finds the members that are blocked.
func (s *Invoices) sortOut(ctx context.Context, group []*write, m manner, waited *heldError) {
	switch {
	case waited.writing && len(group) == 1:
		group[0].obstacle = heldWrite
	case waited.writing:
		m.sorting = true
		s.halve(ctx, group, m)
	case m.create: // a lane of its own
		for _, w := range group {
			w.err = waited
		}
	case m.patient: // some counter is held for long: find out which
		s.write(ctx, group, manner{wait: s.waitAtMost(shortWait)})
		for _, w := range group {
			if w.obstacle == heldCounter {
				w.obstacle = stuckCounter
			}
		}
	default: // not a counter is held but a whole table, for all drafts
		for _, w := range group {
			w.err = waited.cause
		}
	}
}

// A heldError says that another transaction holds a lock that a draft needs.
type heldError struct {
	cause   error
	writing bool // all counters and ends were locked, and writing the rows had to wait
}

// asHeld turns a lock timeout into a [*heldError].
func asHeld(err error, writing bool) error {
	if isCode(err, "55P03") {
		return &heldError{cause: err, writing: writing}
	}
	return err
}

// held returns the error of a draft that isn't tried because of its obstacle.
func held(w *write) error {
	return &heldError{cause: fmt.Errorf("others wait for series %s, or for this transaction", w.draft.Slot.Series)}
}

func (e *heldError) Error() string {
	return "what the job needs is held by another session's open transaction: " + e.cause.Error()
}

func (e *heldError) Unwrap() error { return e.cause }

func (e *heldError) Is(target error) bool {
	return target == invoice.ErrUnavailable || target == invoice.ErrHeld
}
