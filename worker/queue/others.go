package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A cachedRefusal is the cached result of the check whether the installation may use a queue that the keeper doesn't claim.
type cachedRefusal struct {
	refusal *TakenError // nil if the installation may put jobs there
	at      time.Time
}

// refusalTTL is how long a cached result is used.
const refusalTTL = time.Second

// mostRefusals bounds the cache: a job may name any queue.
const mostRefusals = 1000

// Refuse returns those of the queues into which the installation may not put jobs, each with the [*TakenError] that names its
// owner: another installation, alive or dead. A queue without an owner isn't refused.
func (k *Keeper) Refuse(ctx context.Context, queues []string) (map[string]error, error) {
	refused := make(map[string]error)
	for _, queue := range queues {
		if slices.ContainsFunc(k.claims, func(c *ownership) bool { return c.queue == queue }) {
			continue // Run ends when the queue is lost
		}
		o, err := k.refusalOf(ctx, queue)
		if err != nil {
			return nil, err
		}
		if o.refusal != nil {
			refused[queue] = o.refusal
		}
	}
	return refused, nil
}

func (k *Keeper) refusalOf(ctx context.Context, queue string) (cachedRefusal, error) {
	k.mu.Lock()
	o, ok := k.others[queue]
	k.mu.Unlock()
	if ok && time.Since(o.at) < refusalTTL {
		return o, nil
	}
	standing, err := k.look(ctx, queue)
	if err != nil {
		return cachedRefusal{}, err
	}
	refusal := standing.Refuse(k.knows().Nonces)
	if taken := new(TakenError); errors.As(refusal, &taken) && taken.Copy { // another worker of the installation may have written the nonce since
		if err := k.ask(ctx, k.witness.Nonces); err != nil {
			return cachedRefusal{}, err
		}
		refusal = standing.Refuse(k.knows().Nonces)
	}
	o = cachedRefusal{at: time.Now()}
	_ = errors.As(refusal, &o.refusal) // it stays nil if there is no refusal
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.others) >= mostRefusals {
		clear(k.others)
	}
	k.others[queue] = o
	return o, nil
}
