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

// An obstacle is what somebody else holds, so that a draft can't be written now.
type obstacle int

const (
	none         obstacle = iota
	heldJob               // somebody is writing down how the job ended
	heldCounter           // its slot's counter is held, as it is for a moment by every other writer
	stuckCounter          // it is held for long
	noCounter             // its slot's counter has to be created
	heldWrite             // a row has to wait, most likely for another one of the same transaction or key
)

const (
	// shortWait bounds each wait in the group of the free: while it waits, it holds counters.
	shortWait = 200 * time.Millisecond
	// contendedWait is for how long a counter may be held and count as contended.
	contendedWait = time.Second
	// sortingWait is for how long a part of a group waits, when it is known that one of its members has to.
	sortingWait = 10 * time.Millisecond
	// turnWait bounds the waits of lanes where there are more than may wait at once.
	turnWait = 250 * time.Millisecond
	// blockedWait and blockedPause: those whose rows have to wait try it one at a time, and most of the time nobody does, as
	// they hold a counter meanwhile.
	blockedWait  = 20 * time.Millisecond
	blockedPause = 200 * time.Millisecond
	// contendedDetour is for how long a counter counts as contended after it was. Once in that time, it is tried with the free.
	contendedDetour = time.Second
	// ownDetour is for how long after it was last asked for anything else counts as held. Jobs that were put back come again
	// within that time.
	ownDetour = 10 * time.Second
)

// lanes are the ways to the database. A draft takes the one of the free, unless something that it needs is known to be held
// by somebody else. Whoever meets such an obstacle goes on in another lane, and those who come after it go there directly.
//
// In the lane of the free nobody waits for a counter. Counters that are held for a moment, which is normal where several
// processes write to a series, are waited for in one lane together; each that is held for longer has a lane of its own.
type lanes struct {
	store     *Invoices
	free      group[*write]
	contended lane
	blocked   lane
	waiting   chan struct{} // permits to wait for what is held for long, each for one connection
	creating  chan struct{} // permits to create counters
	most      int           // drafts that may wait for what is held for long

	mu     sync.Mutex
	routes map[string]*route // by what is held
	swept  time.Time
	inside int // of lanes of their own
}

// A route leads drafts that need something into a lane.
type route struct {
	lane  *lane
	until time.Time // unless somebody is still in it
}

// A lane is a group apart.
type lane struct {
	group[*write]

	own       bool // one of many
	inside    int
	stuck     time.Time // since when nobody has got through it; zero: somebody did
	notBefore time.Time // its next try
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

// pass brings a draft to its end, by way of as many lanes as it meets obstacles.
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

// enter returns the lane that a draft has to take, nil for that of the free. Where too many wait already, it fails at once,
// so that they don't keep others from being worked on.
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

// divert remembers what kept a draft from being written.
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

// laneOf returns the lane of what is held, in which its drafts wait for as long as they may for any lock.
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
		permits <- struct{}{} // whoever has one gives it back after the wait at the latest
		defer func() { <-permits }()
		group = present(group)
		l.note(key, apart, false)
		l.store.write(ctx, group, manner{wait: wait, patient: true, jobs: jobs, create: true})
		l.note(key, apart, slices.ContainsFunc(group, func(w *write) bool { return !errors.Is(w.err, invoice.ErrHeld) }))
	})
	l.routes[key] = &route{lane: apart, until: time.Now().Add(ownDetour)}
	return apart
}

// note keeps whether somebody got through a lane. If so, those who come from now on are free to take the common one.
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

// tryBlocked tries to write the one draft. As it holds its counter while it waits, it doesn't wait long, and after a try in
// vain nobody tries again for a while.
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

// present leaves those out for whom nobody waits any more.
func present(group []*write) []*write {
	return slices.DeleteFunc(slices.Clone(group), func(w *write) bool {
		w.err = w.ctx.Err()
		return w.err != nil
	})
}

// sortOut deals with a group of which a member waited for too long.
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
	case m.patient: // some counter is held for long: which is it?
		s.write(ctx, group, manner{wait: s.waitAtMost(shortWait)})
		for _, w := range group {
			if w.obstacle == heldCounter {
				w.obstacle = stuckCounter
			}
		}
	default: // it's no counter that is held, but a whole table, for everybody
		for _, w := range group {
			w.err = waited.cause
		}
	}
}

// A heldError says that somebody else's transaction holds what a draft needs.
type heldError struct {
	cause   error
	writing bool // everything was locked that can be
}

// asHeld makes a [*heldError] of a lock timeout.
func asHeld(err error, writing bool) error {
	if isCode(err, "55P03") {
		return &heldError{cause: err, writing: writing}
	}
	return err
}

// held is the error of a draft that isn't even tried.
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
