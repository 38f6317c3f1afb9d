package health

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/worker"
)

const (
	// persistence is how long jobs must meet a cause before it is an outage: what is over at once is told of by nobody. A
	// job that went back to its queue has waited for longer than that.
	persistence = 4 * time.Second
	// stillness is how long nobody may have met a cause when work of the same kind goes on. A job that was put back asks
	// again within 5 s.
	stillness = 8 * time.Second
	// relapse is within what time an outage that comes back is believed over only after a longer while, up to this.
	relapse = time.Minute
	// firstRelapse is how long that while is at first.
	firstRelapse = 4 * time.Second
)

// outages are the causes for which jobs wait at present. They learn of them from probes and from who works, and log one
// line when one begins and one when it ends, however many parts of the worker notice it and however many jobs it concerns.
type outages struct {
	log     *slog.Logger
	silence time.Duration // how long nobody may have met a cause when nothing goes on at all
	gauge   *prometheus.GaugeVec

	mu    sync.Mutex
	known map[key]*outage
	went  map[string]time.Time // by who works: when it last went on

	stalls map[string]*stall // by part
}

type key struct{ server, code string }

// An outage is a cause that something has met.
type outage struct {
	cause
	failing map[string]bool // the probes that fail for it
	met     map[string]met  // by who works
	since   time.Time
	told    bool // it is an outage now

	calm time.Time     // since when nothing has met it
	hold time.Duration // how long that must last
	over time.Time     // when it ended; the cause is remembered for a while
}

// met is when work met a cause.
type met struct {
	first, last time.Time
	certain     bool
}

func newOutages(log *slog.Logger, silence time.Duration, gauge *prometheus.GaugeVec) *outages {
	return &outages{log: log, silence: silence, gauge: gauge, known: make(map[key]*outage), went: make(map[string]time.Time), stalls: make(map[string]*stall)}
}

// probed tells what a probe has found; nil is nothing.
func (o *outages) probed(ctx context.Context, probe string, found *cause) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, one := range o.known {
		if one.failing[probe] && (found == nil || k != found.key()) {
			delete(one.failing, probe)
			o.forget(one)
		}
	}
	if found != nil {
		one := o.outage(*found)
		one.cause = *found // a probe knows best
		one.failing[probe] = true
	}
	o.settle(ctx)
}

// forget has an outage, and whatever may have come from it, be met anew: who still meets it will say so. With the lock held.
func (o *outages) forget(over *outage) {
	for _, one := range o.known {
		if one == over || one.server == over.server && one.vague() || one.code == slow {
			clear(one.met)
		}
	}
}

// meet tells that work has met a cause; for certain, if it has waited in vain already.
func (o *outages) meet(who string, c cause, certain bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.outage(c)
	m, before := one.met[who]
	now := time.Now()
	if !before {
		m.first = now
	}
	m.last, m.certain = now, m.certain || certain
	one.met[who] = m
}

// goesOn tells that work of a kind goes on.
func (o *outages) goesOn(who string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.went[who] = time.Now()
}

func (c cause) key() key { return key{c.server, c.code} }

// outage returns the one with that cause. With the lock held.
func (o *outages) outage(c cause) *outage {
	one := o.known[c.key()]
	if one == nil {
		one = &outage{cause: c, failing: make(map[string]bool), met: make(map[string]met), since: time.Now()}
		o.known[c.key()] = one
	}
	if !one.over.IsZero() { // it is back
		if one.hold = max(2*one.hold, firstRelapse); one.hold > relapse {
			one.hold = relapse
		}
		one.cause, one.since, one.over = c, time.Now(), time.Time{}
	}
	return one
}

// settle tells of the outages that have begun or ended. With the lock held.
func (o *outages) settle(ctx context.Context) {
	now := time.Now()
	for k, one := range o.known {
		for who, m := range one.met {
			if quiet := now.Sub(m.last); quiet >= o.silence || quiet >= stillness && o.went[who].After(m.last) {
				delete(one.met, who)
			}
		}
		switch {
		case !one.over.IsZero():
			if now.Sub(one.over) >= relapse {
				delete(o.known, k)
			}
		case len(one.failing)+len(one.met) > 0:
			one.calm = time.Time{}
			if !one.told && one.persists() && !o.explained(one) {
				o.begin(ctx, one)
			}
		case !one.told:
			delete(o.known, k)
		default:
			if one.calm.IsZero() {
				one.calm = now
			}
			if now.Sub(one.calm) >= one.hold {
				o.end(ctx, one, now)
			}
		}
	}
	o.settleStalls(ctx, now)
}

// persists tells whether what was met is more than a moment's.
func (one *outage) persists() bool {
	if len(one.failing) > 0 {
		return true
	}
	for _, m := range one.met {
		// What was met at an outage's end may be told of after it.
		if m.certain && one.hold == 0 && one.code != slow || m.last.Sub(m.first) >= persistence {
			return true
		}
	}
	return false
}

// explained tells whether a probe has found what a vague cause comes from. The time of a job that waits for one server may
// end while it asks the other.
func (o *outages) explained(vague *outage) bool {
	if !vague.vague() || len(vague.failing) > 0 {
		return false
	}
	for _, one := range o.known {
		if one != vague && (one.server == vague.server || vague.code == slow) && len(one.failing) > 0 {
			return true
		}
	}
	return false
}

func (o *outages) begin(ctx context.Context, one *outage) {
	one.told = true
	o.gauge.WithLabelValues(one.kind(), one.code).Set(1)
	if one.code == away {
		o.log.ErrorContext(ctx, one.server+" is away: jobs wait until it is back", "error", one.text)
		return
	}
	effect := "jobs wait, or are put back: "
	switch {
	case one.code == worker.Evicts:
		effect = "queued jobs may vanish: "
	case one.lasting:
		effect = "jobs are put back until somebody acts: "
	}
	o.log.ErrorContext(ctx, effect+one.server+": "+one.text, "cause", one.code)
}

func (o *outages) end(ctx context.Context, one *outage, now time.Time) {
	one.told, one.over, one.calm = false, now, time.Time{}
	o.gauge.WithLabelValues(one.kind(), one.code).Set(0)
	after := now.Sub(one.since).Round(time.Second).String()
	if one.code == away {
		o.log.InfoContext(ctx, one.server+" is back", "after", after)
		return
	}
	o.log.InfoContext(ctx, "jobs go on: "+one.server+": it is over that "+one.text, "cause", one.code, "after", after)
}

// obstacles lists why no job can be worked on, or a part of the process does nothing, a line for each cause.
func (o *outages) obstacles() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := make(map[string]bool)
	for _, one := range o.known {
		switch {
		case !one.told || one.apart:
		case one.code == away:
			lines[one.server+" is away"+o.metBy(one)] = true
		default:
			lines[one.server+": "+one.text+o.metBy(one)] = true
		}
	}
	for _, line := range o.stalled() {
		lines[line] = true
	}
	return slices.SortedFunc(maps.Keys(lines), cmp.Compare)
}
