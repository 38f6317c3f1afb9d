package health

import (
	"context"
	"slices"
	"strings"
	"time"
)

// stalledAfter is for how long the relay or the reconciler must have failed, each time it tried, before that is more than
// bad luck.
const stalledAfter = 30 * time.Second

// A stall is a part of the process that has only failed since a moment, for whatever reasons.
type stall struct {
	cause       cause // of the latest failure
	since       time.Time
	unexplained time.Time // since when no outage in the log is the reason
	told        bool
}

// fails notes that a part which works on its own has failed again.
func (o *outages) fails(part string, c cause) {
	o.meet(part, c, false)
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	s := o.stalls[part]
	if s == nil {
		s = &stall{since: now, unexplained: now}
		o.stalls[part] = s
	}
	s.cause = c
}

// works notes that a part which works on its own has had success.
func (o *outages) works(ctx context.Context, part string) {
	o.goesOn(part)
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.stalls[part]; s != nil {
		delete(o.stalls, part)
		if s.told {
			o.log.InfoContext(ctx, part+" works again", "after", time.Since(s.since).Round(time.Second).String())
		}
	}
}

// settleStalls logs one line for each part that has failed for long, unless the log names an outage as the reason. With
// the lock held.
func (o *outages) settleStalls(ctx context.Context, now time.Time) {
	for part, s := range o.stalls {
		if o.reason(s) != nil {
			s.unexplained = now
		}
		if !s.told && now.Sub(s.unexplained) >= stalledAfter {
			s.told = true
			o.log.WarnContext(ctx, part+" fails each time that it tries", "error", s.line(), "cause", s.cause.code, "for", now.Sub(s.since).Round(time.Second).String())
		}
	}
}

func (s *stall) line() string { return s.cause.server + ": " + s.cause.text }

// reason returns the outage in the log for which a part fails; nil, where there is none.
func (o *outages) reason(s *stall) *outage {
	for k, one := range o.known {
		same := k == s.cause.key() || s.cause.code == slow || s.cause.vague() && one.server == s.cause.server
		if same && one.told {
			return one
		}
	}
	return nil
}

// stalled lists the parts that have failed for long, each with its reason, where that isn't an obstacle for the whole
// process anyway. With the lock held.
func (o *outages) stalled() (lines []string) {
	for part, s := range o.stalls {
		if reason := o.reason(s); time.Since(s.since) >= stalledAfter && (reason == nil || reason.apart) {
			lines = append(lines, part+": "+s.line())
		}
	}
	return lines
}

// metBy names the parts that alone meet an outage; it is empty where jobs or probes do.
func (o *outages) metBy(one *outage) string {
	var parts []string
	for who := range one.met {
		parts = append(parts, who)
		if o.stalls[who] == nil {
			return ""
		}
	}
	if len(parts) == 0 || len(one.failing) > 0 {
		return ""
	}
	slices.Sort(parts)
	return " (met by " + strings.Join(parts, ", ") + ")"
}
