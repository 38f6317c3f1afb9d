package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// An ownership is the state of a keeper's claim on one queue.
type ownership struct {
	queue    string
	since    string    // when it was claimed, in milliseconds by Redis's clock
	claimed  time.Time // when this process claimed it
	renewed  time.Time // when the last renewal that was answered began
	newcomer bool      // the queue was claimed without watching it first

	foreign foreignClaim
}

// A foreignClaim is the claim of another installation, or of a copy of the database, that Redis has in place of the keeper's.
type foreignClaim struct {
	seen      time.Time // when it was seen last
	signature string    // another installation's latest signature
	nonce     string    // this installation's latest nonce that the keeper didn't know
	same      time.Time // since when that signature or nonce is unchanged
	said      int       // how many different signatures of other installations were seen
	strange   int       // how many nonces the database didn't have even when it was read afterwards
}

// enoughSaid is how many different signatures prove that another installation lives. A few stray values in Redis must not
// end a worker.
const enoughSaid = 3

// foreignClaimTTL is how long a foreign claim is remembered after it was overwritten.
const foreignClaimTTL = 10 * time.Second

// The results of the script renew.
const (
	answerRenewed = "renewed"
	answerUnknown = "unknown"
	answerOther   = "other"
)

type answer struct {
	what, signature, since, nonce string
	newcomer                      bool
}

// Run keeps the claimed queues until ctx ends, and then gives them up. It returns early with a [*TakenError] when it has lost
// a queue to another living owner, and with [ErrAnotherDatabase] when the database was replaced: then no more jobs may be
// taken. It outlasts outages of Redis and of the database.
func (k *Keeper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loops sync.WaitGroup
	var databaseErr, redisErr error
	// Two loops, so that an outage of one server doesn't stop the renewals on the other.
	loops.Go(func() {
		if databaseErr = k.repeat(ctx, func(ctx context.Context) error { return k.ask(ctx, k.witness.RenewNonce) }); databaseErr != nil {
			cancel()
		}
	})
	loops.Go(func() {
		if redisErr = k.repeat(ctx, k.renew); redisErr != nil {
			cancel()
		}
	})
	loops.Wait()
	k.leave(context.WithoutCancel(ctx), databaseErr == nil && redisErr == nil)
	return errors.Join(databaseErr, redisErr)
}

// repeat calls do every second until ctx ends or do fails. It retries sooner, and doesn't fail, if a server doesn't answer.
func (k *Keeper) repeat(ctx context.Context, do func(context.Context) error) error {
	for {
		err := do(ctx)
		next := renewInterval
		if isUnanswered(err) {
			next, err = retryInterval, nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		if !pause(ctx, next) {
			return nil
		}
	}
}

// leave ends this worker's claims. It gives the queues up if the installation still owns them and has no other workers.
func (k *Keeper) leave(ctx context.Context, giveUp bool) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	k.fresh.Store(0)
	state := ""
	if giveUp {
		state = "released"
	}
	for _, c := range k.claims {
		err := leave.Run(ctx, k.rdb, keys(c.queue), k.options.Installation.ID, k.options.Worker, milliseconds(deadAfter), state).Err()
		if err != nil {
			k.options.Logger.DebugContext(ctx, "a queue couldn't be given up: its owner will soon count as dead", "queue", c.queue, "error", err)
		}
	}
}

// refresh computes until when all queues are known to be the installation's.
func (k *Keeper) refresh() {
	oldest := time.Now()
	for _, c := range k.claims {
		if c.renewed.Before(oldest) {
			oldest = c.renewed
		}
	}
	k.fresh.Store(int64(oldest.Add(deadAfter).Sub(k.began)))
}

// renew renews the claim of each queue once.
func (k *Keeper) renew(ctx context.Context) error {
	var problems []error
	var lost []*TakenError
	if err := k.rdb.SAdd(ctx, ownedQueues, k.names()...).Err(); err != nil {
		problems = append(problems, err) // as when the key is of another type; only lists of queues need it
	}
	for _, c := range k.claims {
		err := k.renewClaim(ctx, c)
		if taken := new(TakenError); errors.As(err, &taken) {
			lost = append(lost, taken)
		} else if err != nil {
			problems = append(problems, err)
		}
	}
	k.refresh()
	if len(lost) > 0 {
		return together(lost)
	}
	if len(problems) > 0 {
		return &unansweredError{errors.Join(problems...)}
	}
	return nil
}

func (k *Keeper) names() []any {
	names := make([]any, len(k.claims))
	for i, c := range k.claims {
		names[i] = c.queue
	}
	return names
}

func (k *Keeper) renewOne(ctx context.Context, c *ownership) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	i, newcomer := k.options.Installation, ""
	if c.newcomer {
		newcomer = "1"
	}
	reply, err := renew.Run(ctx, k.rdb, keys(c.queue),
		strings.Join(k.knows().Latest, ","), c.since, i.ID, k.options.Worker, i.Database, i.Schema, newcomer).Slice()
	if err != nil {
		return answer{}, &unansweredError{err}
	}
	all := texts(reply)
	if len(all) != 5 {
		return answer{}, &unansweredError{fmt.Errorf("redis answered a renewal with %d values", len(all))}
	}
	return answer{all[0], all[1], all[2], all[3], all[4] != ""}, nil
}

func (k *Keeper) renewClaim(ctx context.Context, c *ownership) error {
	asked := time.Now()
	a, err := k.renewOne(ctx, c)
	if err != nil {
		return err
	}
	c.newcomer = c.newcomer && asked.Sub(c.claimed) < deadAfter
	if asked.Sub(c.foreign.seen) > foreignClaimTTL {
		c.foreign = foreignClaim{}
	}
	switch a.what {
	case answerRenewed:
		c.renewed, c.since = asked, a.since
		c.foreign.nonce, c.foreign.strange = "", 0 // another installation's signatures are remembered for foreignClaimTTL
		return nil
	case answerUnknown:
		return k.handlePossibleCopy(ctx, c, a, asked)
	default:
		return k.handleForeignClaim(ctx, c, a, asked)
	}
}

// handleForeignClaim handles another installation's claim. A keeper that has renewed without a break can't have lost the
// queue by the rules, because other installations wait for three seconds. So the foreign claim was forged, or is from before
// a failover of Redis, or was made when Redis had just lost its data: the keeper overwrites it. Only if the claim returns
// again and again, renewed each time, another installation lives that considers itself the owner: then the older claim wins.
// A keeper whose renewals had a break first watches, like a newcomer.
func (k *Keeper) handleForeignClaim(ctx context.Context, c *ownership, a answer, asked time.Time) error {
	s := &c.foreign
	if s.signature != a.signature {
		s.signature, s.same = a.signature, asked
		s.said++
	}
	s.seen = asked
	if c.newcomer { // it claimed without watching: it takes no more jobs while it watches now
		c.renewed = time.Time{}
	}
	broken := asked.Sub(c.renewed) >= deadAfter
	theirs, mine := number(a.since), number(c.since)
	switch {
	case a.newcomer && !c.newcomer:
	case s.said >= enoughSaid && (broken || theirs > 0 && theirs < mine):
		return k.lost(ctx, c.queue, false)
	case broken && asked.Sub(s.same) < deadAfter:
		return nil
	}
	k.options.Logger.WarnContext(ctx, "another installation's claim of a queue is overwritten: it isn't renewed, or is younger than ours", "queue", c.queue)
	return k.reassert(ctx, c, a.signature, asked)
}

// handlePossibleCopy handles a claim of this installation with a nonce that the keeper doesn't know. If another worker of the
// installation has just written the nonce, the next read of the database returns it. If the database lost it in a failover,
// or it was forged, no other unknown nonce follows. A sequence of unknown nonces is being written to another database.
func (k *Keeper) handlePossibleCopy(ctx context.Context, c *ownership, a answer, asked time.Time) error {
	s, known := &c.foreign, k.knows()
	s.seen = asked
	if s.nonce != a.nonce {
		if s.nonce != "" && known.asked.After(s.same) && !knows(known.Nonces, s.nonce) {
			s.strange++
		}
		s.nonce, s.same = a.nonce, asked
		if s.strange >= 2 {
			return k.lost(ctx, c.queue, true)
		}
		return nil
	}
	if asked.Sub(s.same) < deadAfter || known.asked.Before(s.same) || asked.Sub(known.asked) > deadAfter {
		return nil // not watched long enough, or the database doesn't answer
	}
	return k.reassert(ctx, c, a.signature, asked)
}

func (k *Keeper) reassert(ctx context.Context, c *ownership, signature string, asked time.Time) error {
	since, err := k.assert(ctx, c.queue, claimant{signature: signature, since: c.since})
	if err == nil && since != "" {
		c.renewed, c.newcomer = asked, false
	}
	return err
}

// lost returns the error for a queue that another owner has now.
func (k *Keeper) lost(ctx context.Context, queue string, isCopy bool) error {
	s, err := k.look(ctx, queue)
	if err != nil {
		return err
	}
	return &TakenError{Queues: []string{queue}, Owner: s.Owner, Copy: isCopy, Tasks: s.Tasks}
}
