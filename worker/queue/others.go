package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// An opinion is what was found about a queue that isn't the keeper's to claim.
type opinion struct {
	refusal *TakenError // nil if the installation may put jobs there
	at      time.Time
}

// opinionHolds is for how long it isn't looked again.
const opinionHolds = time.Second

// mostOpinions bounds the queues that are remembered: a job may name any.
const mostOpinions = 1000

// Refuse returns those of the queues into which the installation may put nothing, with the [*TakenError] that says whose
// they are: another installation's, alive or not. A queue that is nobody's isn't refused.
func (k *Keeper) Refuse(ctx context.Context, queues []string) (map[string]error, error) {
	refused := make(map[string]error)
	for _, queue := range queues {
		if slices.ContainsFunc(k.claims, func(c *ownership) bool { return c.queue == queue }) {
			continue // Run ends when it is lost
		}
		o, err := k.opinionOf(ctx, queue)
		if err != nil {
			return nil, err
		}
		if o.refusal != nil {
			refused[queue] = o.refusal
		}
	}
	return refused, nil
}

func (k *Keeper) opinionOf(ctx context.Context, queue string) (opinion, error) {
	k.mu.Lock()
	o, ok := k.others[queue]
	k.mu.Unlock()
	if ok && time.Since(o.at) < opinionHolds {
		return o, nil
	}
	standing, err := k.look(ctx, queue)
	if err != nil {
		return opinion{}, err
	}
	refusal := standing.Refuse(k.knows().Nonces)
	if taken := new(TakenError); errors.As(refusal, &taken) && taken.Copy { // a sibling's nonce may be newer than what is known
		if err := k.ask(ctx, k.witness.Nonces); err != nil {
			return opinion{}, err
		}
		refusal = standing.Refuse(k.knows().Nonces)
	}
	o = opinion{at: time.Now()}
	_ = errors.As(refusal, &o.refusal) // it stays nil where there is none
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.others) >= mostOpinions {
		clear(k.others)
	}
	k.others[queue] = o
	return o, nil
}
