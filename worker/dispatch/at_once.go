package dispatch

import (
	"context"
	"time"

	"invoicer/invoice/ledger"
)

// A Claimer claims single jobs, as [Outbox] claims the oldest.
type Claimer interface {
	ClaimJobs(ctx context.Context, jobIDs []string, except ...string) ([]ledger.Dispatch, error)
}

// An Express sends jobs right after they were accepted, so that they needn't wait until a relay looks for them. Whatever it doesn't send a
// relay does: while Redis is away, it leaves all jobs to that.
type Express struct {
	relay   *Relay
	claimer Claimer
	next    chan string
	idle    time.Time // until when jobs are left to the relays
}

// mostNext is how many jobs wait at most to be sent by an [Express].
const mostNext = 4096

// NewExpress returns an Express that sends jobs as the relay does, whose Run must not be called.
func NewExpress(relay *Relay, claimer Claimer) *Express {
	return &Express{relay: relay, claimer: claimer, next: make(chan string, mostNext)}
}

// Send has jobs sent that were committed. It doesn't wait.
func (e *Express) Send(jobIDs ...string) {
	for _, id := range jobIDs {
		select {
		case e.next <- id:
		default:
			return // a relay does it
		}
	}
}

// Run sends jobs until ctx ends.
func (e *Express) Run(ctx context.Context) {
	for {
		var jobIDs []string
		select {
		case <-ctx.Done():
			return
		case id := <-e.next:
			jobIDs = append(jobIDs, id)
		}
		for more := true; more && len(jobIDs) < e.relay.options.Batch; {
			select {
			case id := <-e.next:
				jobIDs = append(jobIDs, id)
			default:
				more = false
			}
		}
		if time.Now().Before(e.idle) {
			continue
		}
		if err := e.send(ctx, jobIDs); err != nil {
			e.idle = time.Now().Add(longestBackoff)
			e.relay.options.Logger.DebugContext(ctx, "accepted jobs are left to the relays", "error", err)
		}
	}
}

func (e *Express) send(ctx context.Context, jobIDs []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	except, err := e.relay.foreign.names(ctx)
	if err != nil {
		return err
	}
	claimed, err := e.claimer.ClaimJobs(ctx, jobIDs, except...)
	if err != nil || len(claimed) == 0 {
		return err
	}
	_, err = e.relay.forward(ctx, claimed)
	return err
}
