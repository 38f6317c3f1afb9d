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
	// beginAfter is how long jobs must report a cause before it is an outage: a shorter trouble isn't worth a line in the
	// log. A job that went back to its queue has waited longer than that.
	beginAfter = 4 * time.Second
	// successSilence is the time after which a report expires if its source has had a success since: a job that was put
	// back, and whose cause persists, reports it again within 5 s.
	successSilence = 8 * time.Second
	// recurrence is the time after its end during which an outage that comes back gets a longer hold-down. It is also the
	// longest hold-down.
	recurrence = time.Minute
	// firstHoldDown is the hold-down of an outage that came back once. It doubles with each recurrence.
	firstHoldDown = 4 * time.Second
)

// outages holds the causes that sources report at present, and logs which of them begin and end as outages. The package
// comment has the rules.
type outages struct {
	log     *slog.Logger
	silence time.Duration // Options.Silence
	gauge   *prometheus.GaugeVec

	mu          sync.Mutex
	known       map[key]*outage
	lastSuccess map[string]time.Time // by source: jobs, relay, reconciler
	stalls      map[string]*stall    // by part: relay, reconciler
}

type key struct{ server, code string }

// An outage is a cause that was reported, whether it has become an outage yet or not.
type outage struct {
	cause
	failing map[string]bool    // the probes that fail for it
	reports map[string]*report // by source
	since   time.Time          // of the first report
	active  bool               // it is an outage, and in the log

	quietSince time.Time     // when the last report expired; zero while there are reports
	holdDown   time.Duration // how long it must stay quiet before it ends
	endedAt    time.Time     // zero unless it has ended; it is remembered for a while, in case it comes back
}

// A report says when a source of work reported a cause.
type report struct {
	first, last time.Time
	certain     bool // a job has waited in vain already
}

func newOutages(log *slog.Logger, silence time.Duration, gauge *prometheus.GaugeVec) *outages {
	return &outages{log: log, silence: silence, gauge: gauge, known: make(map[key]*outage), lastSuccess: make(map[string]time.Time), stalls: make(map[string]*stall)}
}

// probed takes the result of a probe: the cause for which it fails, or nil if it succeeds.
func (o *outages) probed(ctx context.Context, probe string, found *cause) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, one := range o.known {
		if one.failing[probe] && (found == nil || k != found.key()) {
			delete(one.failing, probe)
			o.dropReports(one)
		}
	}
	if found != nil {
		one := o.outage(*found)
		one.cause = *found // a probe's text is more precise than a job's
		one.failing[probe] = true
	}
	o.update(ctx)
}

// dropReports drops the reports of an outage for which a probe doesn't fail any more, and of the causes that may have been its
// symptoms. Sources whose cause persists report it again. The caller holds o.mu.
func (o *outages) dropReports(over *outage) {
	for _, one := range o.known {
		if one == over || one.server == over.server && one.unspecific() || one.code == slow {
			clear(one.reports)
		}
	}
}

// report takes a report of a cause by a source. It is certain if a job has waited for the cause in vain already.
func (o *outages) report(source string, c cause, certain bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.outage(c)
	now := time.Now()
	r := one.reports[source]
	if r == nil {
		r = &report{first: now}
		one.reports[source] = r
	}
	r.last, r.certain = now, r.certain || certain
}

// succeeded takes note that a source of work has had a success.
func (o *outages) succeeded(source string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lastSuccess[source] = time.Now()
}

func (c cause) key() key { return key{c.server, c.code} }

// outage returns the outage with that cause, and adds it if it is new. The caller holds o.mu.
func (o *outages) outage(c cause) *outage {
	one := o.known[c.key()]
	if one == nil {
		one = &outage{cause: c, failing: make(map[string]bool), reports: make(map[string]*report), since: time.Now()}
		o.known[c.key()] = one
	}
	if !one.endedAt.IsZero() { // it is back
		one.holdDown = min(max(2*one.holdDown, firstHoldDown), recurrence)
		one.cause, one.since, one.endedAt = c, time.Now(), time.Time{}
	}
	return one
}

// update drops expired reports, and logs the outages and stalls that have begun or ended. The caller holds o.mu.
func (o *outages) update(ctx context.Context) {
	now := time.Now()
	for k, one := range o.known {
		for source, r := range one.reports {
			if quiet := now.Sub(r.last); quiet >= o.silence || quiet >= successSilence && o.lastSuccess[source].After(r.last) {
				delete(one.reports, source)
			}
		}
		switch {
		case !one.endedAt.IsZero():
			if now.Sub(one.endedAt) >= recurrence {
				delete(o.known, k)
			}
		case len(one.failing)+len(one.reports) > 0:
			one.quietSince = time.Time{}
			if !one.active && one.confirmed() && !o.explained(one) {
				o.begin(ctx, one)
			}
		case !one.active:
			delete(o.known, k)
		default:
			if one.quietSince.IsZero() {
				one.quietSince = now
			}
			if now.Sub(one.quietSince) >= one.holdDown {
				o.end(ctx, one, now)
			}
		}
	}
	o.updateStalls(ctx, now)
}

// confirmed reports whether the cause is more than a short trouble.
func (one *outage) confirmed() bool {
	if len(one.failing) > 0 {
		return true
	}
	for _, r := range one.reports {
		// A certain report isn't enough for an outage that ended a moment ago: the job may have waited before that end.
		if r.certain && one.holdDown == 0 && one.code != slow || r.last.Sub(r.first) >= beginAfter {
			return true
		}
	}
	return false
}

// explained reports whether an unspecific cause is a symptom of one for which a probe fails. That may be the other server's: the
// deadline of a job that waits for one server may pass while it asks the other.
func (o *outages) explained(symptom *outage) bool {
	if !symptom.unspecific() || len(symptom.failing) > 0 {
		return false
	}
	for _, one := range o.known {
		if one != symptom && (one.server == symptom.server || symptom.code == slow) && len(one.failing) > 0 {
			return true
		}
	}
	return false
}

func (o *outages) begin(ctx context.Context, one *outage) {
	one.active = true
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
	one.active, one.endedAt, one.quietSince = false, now, time.Time{}
	o.gauge.WithLabelValues(one.kind(), one.code).Set(0)
	after := now.Sub(one.since).Round(time.Second).String()
	if one.code == away {
		o.log.InfoContext(ctx, one.server+" is back", "after", after)
		return
	}
	o.log.InfoContext(ctx, "jobs go on: "+one.server+": resolved: "+one.text, "cause", one.code, "after", after)
}

// obstacles returns the outages that concern all jobs, and the stalled parts, one line for each, sorted.
func (o *outages) obstacles() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := make(map[string]bool)
	for _, one := range o.known {
		switch {
		case !one.active || one.partial:
		case one.code == away:
			lines[one.server+" is away"+o.reportedBy(one)] = true
		default:
			lines[one.server+": "+one.text+o.reportedBy(one)] = true
		}
	}
	for _, line := range o.stalled() {
		lines[line] = true
	}
	return slices.SortedFunc(maps.Keys(lines), cmp.Compare)
}
