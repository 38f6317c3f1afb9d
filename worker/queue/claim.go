package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// An ownerWatch is what a process that wants a queue has observed of the queue's owner.
type ownerWatch struct {
	standing Standing
	begun    time.Time
	looked   time.Time // the last observation
	same     time.Time // since when the owner's signature is unchanged
	renewed  bool      // the owner has renewed its claim since the watch began
	consumed bool      // a worker may have been consuming the queue when the watch began
}

// observe adds an observation. A gap between observations starts the watch anew: while Redis doesn't answer, an owner can't
// renew its claim either.
func (v *ownerWatch) observe(s Standing, asked time.Time) {
	now := time.Now()
	if now.Sub(asked) > slowAnswer || now.Sub(v.looked) > longestBreak {
		*v = ownerWatch{standing: s, begun: asked, same: asked, consumed: v.consumed}
	} else if s.Owner.signature != v.standing.Owner.signature {
		v.renewed = v.renewed || s.Owner.Exists()
		v.same = now
	}
	v.standing, v.looked = s, now
}

// silent reports whether the claim has gone without a renewal for so long that its owner counts as dead.
func (v *ownerWatch) silent() bool { return v.looked.Sub(v.same) >= deadAfter }

// over reports whether the watch has lasted as long as it has to.
func (v *ownerWatch) over() bool { return v.looked.Sub(v.begun) >= deadAfter }

// A verdict is how a claim proceeds with a queue.
type verdict int

const (
	wait      verdict = iota
	join              // the queue is the installation's already
	take              // the queue has no owner, or a dead one
	takeEmpty         // as take, if the queue has no tasks
)

// judge decides whether the installation may own the queue. An error refuses the claim.
func (v *ownerWatch) judge(known knowledge) (verdict, error) {
	o, mine := v.standing.Owner, v.standing.Owner.ID == known.DatabaseID
	refusal := &TakenError{Queues: []string{v.standing.Queue}, Owner: o, Copy: mine, Tasks: v.standing.Tasks}
	switch {
	case !o.Exists() && v.standing.Tasks.None() && !v.consumed:
		return takeEmpty, nil // a first start
	case !o.Exists() && v.silent(), mine && o.GivenUp:
		return take, nil
	case !o.Exists():
		return wait, nil

	// The living owner shows a nonce that this database has, and this database was given a nonce lately: the owner is this
	// installation. A copy that was made while the database stood still has the nonce, but is given no new ones.
	case mine && knows(known.Nonces, o.Nonce) && (known.Age < deadAfter || !o.Alive()):
		return join, nil
	case mine && v.over() && v.renewed:
		return wait, refusal
	case mine && v.silent():
		return take, nil
	case mine:
		return wait, nil

	case v.renewed && !o.GivenUp:
		return wait, refusal
	case !o.GivenUp && !v.silent():
		return wait, nil
	case !v.standing.Tasks.None():
		return wait, refusal
	}
	return takeEmpty, nil
}

// Claim makes the installation the owner of the queues, and returns once it is. It returns a [*TakenError], and claims
// nothing, if queues belong to another installation that lives or has left tasks there. It returns at once if the
// installation owns the queues already, or if they have no owner and no tasks; otherwise it watches them for three seconds.
func (k *Keeper) Claim(ctx context.Context) error {
	watches := make([]*ownerWatch, len(k.claims))
	for i, c := range k.claims {
		watches[i] = &ownerWatch{consumed: k.consumed(ctx, c.queue)}
	}
	for begun := time.Now(); ; {
		done, err := k.tryClaim(ctx, watches)
		late := time.Since(begun) > claimTimeout
		switch {
		case done:
			return nil
		case late && err == nil:
			return errors.New("redis and the database answer too slowly to determine the queues' owner")
		case err != nil && (late || !isUnanswered(err)):
			return err
		}
		if !pause(ctx, lookInterval) {
			return fmt.Errorf("stopped while claiming queues: %w", context.Cause(ctx))
		}
	}
}

// tryClaim claims all queues if all may be claimed now.
func (k *Keeper) tryClaim(ctx context.Context, watches []*ownerWatch) (done bool, err error) {
	for i, c := range k.claims {
		asked := time.Now()
		s, err := k.look(ctx, c.queue)
		if err != nil {
			return false, err
		}
		watches[i].observe(s, asked)
	}
	mine := slices.ContainsFunc(watches, func(v *ownerWatch) bool { return v.standing.Owner.ID == k.options.Installation.ID })
	if mine { // the database is read after Redis: an owner writes its nonce to the database before it shows it in Redis
		if err := k.ask(ctx, k.witness.Nonces); err != nil {
			return false, err
		}
	}
	known := k.knows()
	verdicts, ready := make([]verdict, len(watches)), true
	var refusals []*TakenError
	for i, v := range watches {
		var refusal error
		verdicts[i], refusal = v.judge(known)
		if taken := new(TakenError); errors.As(refusal, &taken) {
			refusals = append(refusals, taken)
		}
		ready = ready && verdicts[i] != wait
	}
	if len(refusals) > 0 {
		for i, v := range watches { // queues of the same owner that it hasn't renewed yet
			if o := v.standing.Owner; verdicts[i] == wait && o.Exists() {
				refusals = append(refusals, &TakenError{Queues: []string{v.standing.Queue}, Owner: o, Copy: o.ID == known.DatabaseID})
			}
		}
		return false, together(refusals)
	}
	if !ready {
		return false, nil
	}
	if err := k.ask(ctx, k.witness.RenewNonce); err != nil {
		return false, err
	}
	if len(k.knows().Latest) == 0 {
		return false, &unansweredError{errors.New("the database keeps no nonce: its table queue_nonces is empty")}
	}
	for i, c := range k.claims {
		if !c.claimed.IsZero() {
			continue // an earlier try got as far as this
		}
		ok, err := k.execute(ctx, c, verdicts[i], watches[i])
		if err != nil || !ok {
			return false, err
		}
	}
	k.refresh()
	return true, nil
}

// execute carries out a verdict. It returns false if the queue has changed since the verdict.
func (k *Keeper) execute(ctx context.Context, c *ownership, what verdict, v *ownerWatch) (bool, error) {
	asked := time.Now()
	if what == join {
		answer, err := k.renewOne(ctx, c)
		if err != nil || answer.what != answerRenewed {
			return false, err
		}
		c.since = answer.since
	} else {
		c.newcomer = what == takeEmpty && !v.standing.Owner.Exists() && !v.silent()
		since, err := k.assert(ctx, c.queue, claimant{signature: v.standing.Owner.signature, onlyEmpty: what == takeEmpty, newcomer: c.newcomer})
		if err != nil || since == "" {
			return false, err
		}
		c.since = since
	}
	c.claimed, c.renewed = asked, asked
	return true, nil
}

// consumed reports whether a worker may be consuming a queue; it returns true if that can't be read.
func (k *Keeper) consumed(ctx context.Context, queue string) bool {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	found, err := consumed(ctx, k.rdb, queue)
	return found || err != nil
}

func (k *Keeper) look(ctx context.Context, queue string) (Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	s, err := Look(ctx, k.rdb, queue)
	if err != nil {
		return s, &unansweredError{err}
	}
	return s, nil
}

// A claimant has the conditions on which an installation becomes a queue's owner, and the properties of its claim.
type claimant struct {
	signature string // the signature of the owner that is replaced; the claim fails if Redis has another one
	since     string // the claim's start, in milliseconds by Redis's clock; "" for now
	onlyEmpty bool   // the claim fails if the queue has tasks
	newcomer  bool   // the installation hasn't watched the queue before it claims it
	released  bool   // the claim is given up at once
}

// assert makes the keeper's installation the owner. It returns the claim's start, "" if the owner or the queue has changed.
func (k *Keeper) assert(ctx context.Context, queue string, c claimant) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	since, err := c.install(ctx, k.rdb, queue, k.options.Installation, k.knows().Latest[0], k.options.Worker)
	if err != nil {
		return "", &unansweredError{err}
	}
	return since, nil
}

func (c claimant) install(ctx context.Context, rdb redis.UniversalClient, queue string, i Installation, nonce, worker string) (string, error) {
	flag := func(set bool, text string) string {
		if set {
			return text
		}
		return ""
	}
	return claim.Run(ctx, rdb, keys(queue), c.signature, flag(c.onlyEmpty, "empty"), c.since, i.ID, nonce, worker, i.Database, i.Schema,
		flag(c.released, "released"), flag(c.newcomer, "1")).Text()
}

// together merges the refusals that name the same owner as the first one into one error.
func together(refusals []*TakenError) *TakenError {
	all := *refusals[0]
	for _, r := range refusals[1:] {
		if r.Owner.ID == all.Owner.ID && r.Copy == all.Copy {
			all.Queues = append(all.Queues, r.Queues...)
		}
	}
	slices.Sort(all.Queues)
	all.Queues = slices.Compact(all.Queues)
	return &all
}
