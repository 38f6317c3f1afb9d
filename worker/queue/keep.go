package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// An ownership is what a keeper knows of one of its queues.
type ownership struct {
	queue    string
	since    string    // when it was claimed, in milliseconds by Redis's clock
	claimed  time.Time // by this process
	renewed  time.Time // when the last renewal began that was answered
	newcomer bool      // it was claimed without watching it first

	stranger stranger
}

// A stranger is somebody else whose claim stands in Redis where the keeper's own should.
type stranger struct {
	seen      time.Time // last
	signature string    // of another installation, the latest
	nonce     string    // of our own installation, the latest that wasn't known
	same      time.Time // since when it is that
	said      int       // of another installation, how often it has said something new
	strange   int       // how many nonces the database didn't know even when asked afterwards
}

// enoughSaid is how often another installation must have said something new to be believed that it lives. Some garbage in
// Redis ends no worker.
const enoughSaid = 3

// strangersStay is for how long somebody else's claim that was overwritten is remembered.
const strangersStay = 10 * time.Second

// What renew answers.
const (
	answerRenewed = "renewed"
	answerUnknown = "unknown"
	answerOther   = "other"
)

type answer struct {
	what, signature, since, nonce string
	newcomer                      bool
}

// Run keeps the queues that were claimed until ctx ends, and gives them up then. It returns early with a [*TakenError] when
// it has lost one to another living owner: then no more jobs may be taken. An outage of Redis or the database ends nothing.
func (k *Keeper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loops sync.WaitGroup
	var databaseErr, redisErr error
	// Two loops: neither server's outage may look like the other's.
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

// repeat does something every second until ctx ends or it fails for another reason than that a server doesn't answer.
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

// leave gives the queues up, unless they aren't ours any more or workers of the installation are left.
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
			k.options.Logger.DebugContext(ctx, "a queue isn't given up: its owner counts as dead soon", "queue", c.queue, "error", err)
		}
	}
}

// refresh reckons until when all queues are known to be ours.
func (k *Keeper) refresh() {
	oldest := time.Now()
	for _, c := range k.claims {
		if c.renewed.Before(oldest) {
			oldest = c.renewed
		}
	}
	k.fresh.Store(int64(oldest.Add(deadAfter).Sub(k.began)))
}

// renew says once of every queue that it is ours.
func (k *Keeper) renew(ctx context.Context) error {
	var problems []error
	var lost []*TakenError
	if err := k.rdb.SAdd(ctx, ownedQueues, k.names()...).Err(); err != nil {
		problems = append(problems, err) // somebody has made something else of it: only lists suffer
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
		return answer{}, &unansweredError{fmt.Errorf("redis answers a renewal with %d values", len(all))}
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
	if asked.Sub(c.stranger.seen) > strangersStay {
		c.stranger = stranger{}
	}
	switch a.what {
	case answerRenewed:
		c.renewed, c.since = asked, a.since
		c.stranger.nonce, c.stranger.strange = "", 0 // what another installation has said is kept for a while
		return nil
	case answerUnknown:
		return k.facePossibleCopy(ctx, c, a, asked)
	default:
		return k.faceOther(ctx, c, a, asked)
	}
}

// faceOther is about another installation's claim. Who has renewed without a break can't have lost the queue rightly, since
// others wait for three seconds. So what stands there was made up, or is from before Redis failed over, or is of somebody
// who came when Redis had just forgotten everything; it is overwritten. Only where it comes again and again, and says
// something new each time, somebody lives there who believes the same of itself: then the one with the older claim stays.
// Who had a break watches as a newcomer does.
func (k *Keeper) faceOther(ctx context.Context, c *ownership, a answer, asked time.Time) error {
	s := &c.stranger
	if s.signature != a.signature {
		s.signature, s.same = a.signature, asked
		s.said++
	}
	s.seen = asked
	if c.newcomer { // it was to watch while it worked already, and takes no more jobs while it does
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
	k.options.Logger.WarnContext(ctx, "somebody else's claim of a queue is overwritten: it isn't renewed, or is younger than ours", "queue", c.queue)
	return k.reassert(ctx, c, a.signature, asked)
}

// facePossibleCopy is about a nonce that isn't known here. If a sibling has just written it, the database has it by the next
// look. If the database lost it in a failover, or somebody made it up, no others follow. But where unknown nonces follow
// each other, somebody writes them to another database.
func (k *Keeper) facePossibleCopy(ctx context.Context, c *ownership, a answer, asked time.Time) error {
	s, known := &c.stranger, k.knows()
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
		return nil // not long enough, or the database is away
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

// lost is the error of a queue that another owner has now.
func (k *Keeper) lost(ctx context.Context, queue string, isCopy bool) error {
	s, err := k.look(ctx, queue)
	if err != nil {
		return err
	}
	return &TakenError{Queues: []string{queue}, Owner: s.Owner, Copy: isCopy, Tasks: s.Tasks}
}
