package health

import (
	"context"
	"slices"
	"strings"
	"time"
)

// stalledAfter is how long every attempt of the relay or the reconciler must have failed before the part counts as stalled.
const stalledAfter = 30 * time.Second

// A stall is a series of failed attempts of a part, for whatever causes, without a success in between.
type stall struct {
	cause       cause     // of the latest failure
	since       time.Time // of the first failure
	unexplained time.Time // since when no outage in the log is the reason
	logged      bool
}

// partFailed takes note that an attempt of the relay or the reconciler has failed.
func (o *outages) partFailed(part string, c cause) {
	o.report(part, c, false)
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

// partSucceeded takes note that an attempt of the relay or the reconciler has succeeded.
func (o *outages) partSucceeded(ctx context.Context, part string) {
	o.succeeded(part)
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.stalls[part]; s != nil {
		delete(o.stalls, part)
		if s.logged {
			o.log.InfoContext(ctx, part+" works again", "after", time.Since(s.since).Round(time.Second).String())
		}
	}
}

// updateStalls logs one line for each part that has become stalled while no outage in the log is the reason. The caller holds
// o.mu.
func (o *outages) updateStalls(ctx context.Context, now time.Time) {
	for part, s := range o.stalls {
		if o.reason(s) != nil {
			s.unexplained = now
		}
		if !s.logged && now.Sub(s.unexplained) >= stalledAfter {
			s.logged = true
			o.log.WarnContext(ctx, part+" fails each time that it tries", "error", s.line(), "cause", s.cause.code, "for", now.Sub(s.since).Round(time.Second).String())
		}
	}
}

// line returns the server and the text of the latest failure.
func (s *stall) line() string { return s.cause.server + ": " + s.cause.text }

// reason returns the outage in the log that explains the latest failure of a part, or nil if there is none. The caller holds
// o.mu.
func (o *outages) reason(s *stall) *outage {
	for k, one := range o.known {
		same := k == s.cause.key() || s.cause.code == slow || s.cause.unspecific() && one.server == s.cause.server
		if same && one.active {
			return one
		}
	}
	return nil
}

// stalled returns one line for each stalled part, with its latest failure. It leaves out a part whose reason is an outage for
// all jobs, which obstacles names already. The caller holds o.mu.
func (o *outages) stalled() (lines []string) {
	for part, s := range o.stalls {
		if reason := o.reason(s); time.Since(s.since) >= stalledAfter && (reason == nil || reason.partial) {
			lines = append(lines, part+": "+s.line())
		}
	}
	return lines
}

// reportedBy returns the parts that report an outage, as a suffix for its line, or "" if jobs or probes report it too. The caller
// holds o.mu.
func (o *outages) reportedBy(one *outage) string {
	var parts []string
	for source := range one.reports {
		parts = append(parts, source)
		if o.stalls[source] == nil {
			return ""
		}
	}
	if len(parts) == 0 || len(one.failing) > 0 {
		return ""
	}
	slices.Sort(parts)
	return " (reported by " + strings.Join(parts, ", ") + ")"
}
