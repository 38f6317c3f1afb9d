package doctor

import (
	"context"
	"fmt"
	"time"

	"invoicer/invoice/outbox"
)

// neglectedAfter is for how long events may be due, and none posted, until nobody seems to post them: a deliverer claims what is due within a second.
const neglectedAfter = time.Minute

// examineEvents looks for endpoints that are told nothing.
func examineEvents(ctx context.Context, o Options, r *Report) {
	if r.has("schema") {
		return
	}
	var endpoints []outbox.Endpoint
	neglected := make(map[int64]time.Time)
	err := o.within(ctx, func(ctx context.Context) (err error) {
		if endpoints, err = o.Store.Outbox.Endpoints(ctx, true); err == nil {
			neglected, err = o.Store.Outbox.Neglected(ctx, neglectedAfter)
		}
		return err
	})
	if err != nil {
		if !r.has("rights") || !forbidden(err) {
			r.miss("events", err)
		}
		return
	}
	for i := range endpoints {
		judgeEndpoint(o, r, &endpoints[i], neglected)
	}
}

func judgeEndpoint(o Options, r *Report, e *outbox.Endpoint, neglected map[int64]time.Time) {
	warn := func(check, what, remedy string) {
		r.find(Finding{Check: check, Level: Warning, Server: o.PostgresName, Setting: e.Name, What: what, Remedy: remedy})
	}
	if e.State == outbox.Disabled {
		what := fmt.Sprintf("endpoint %s is disabled since %s: %s", e.Name, e.ChangedAt.UTC().Format(time.RFC3339), e.Reason)
		if e.Pending > 0 {
			what += "; " + forIt(e.Pending)
		}
		warn("endpoints", what, "mend the receiver, then invoicer events endpoint test "+e.Name+" and invoicer events endpoint enable "+e.Name+"; one that nobody needs: invoicer events endpoint remove "+e.Name)
	}
	since, waits := neglected[e.ID]
	// One that takes nothing is tried less and less often: that nobody does is certain only where no worker is.
	if idle := r.Workers != nil && r.Workers.Workers == 0; waits && (e.FailingSince.IsZero() || idle) {
		remedy := "start a worker"
		if e.Origin == outbox.OfConfiguration {
			remedy += " that has " + e.Name + " in events.endpoints; if nobody needs it any more: invoicer events endpoint remove " + e.Name
		}
		warn("events", fmt.Sprintf("nobody posts to endpoint %s: %s, and one is due since %s", e.Name, forIt(e.Pending), since.UTC().Format(time.RFC3339)), remedy)
	}
	if e.Dead > 0 {
		warn("dead_events", fmt.Sprintf("endpoint %s took %s at no attempt", e.Name, several(e.Dead, "event")),
			"invoicer events list --endpoint "+e.Name+" --state dead shows what it answered; once its receiver is mended, invoicer events replay --endpoint "+e.Name)
	}
}

func forIt(events int) string {
	if events == 1 {
		return "1 event waits for it"
	}
	return several(events, "event") + " wait for it"
}
