package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// A vigil is what somebody who wants a queue has seen of its owner.
type vigil struct {
	standing Standing
	begun    time.Time
	looked   time.Time // last
	same     time.Time // since when it says the same
	renewed  bool      // it has said something meanwhile
	consumed bool      // some worker gave signs of life when the vigil began
}

// watch takes in a look. Only what is seen without a break counts: an owner can't say anything either while Redis doesn't
// answer.
func (v *vigil) watch(s Standing, asked time.Time) {
	now := time.Now()
	if now.Sub(asked) > slowAnswer || now.Sub(v.looked) > longestBreak {
		*v = vigil{standing: s, begun: asked, same: asked, consumed: v.consumed}
	} else if s.Owner.signature != v.standing.Owner.signature {
		v.renewed = v.renewed || s.Owner.Exists()
		v.same = now
	}
	v.standing, v.looked = s, now
}

// silent tells whether nobody has said anything for as long as makes an owner dead.
func (v *vigil) silent() bool { return v.looked.Sub(v.same) >= deadAfter }

func (v *vigil) over() bool { return v.looked.Sub(v.begun) >= deadAfter }

// A verdict is what is to be done about a queue.
type verdict int

const (
	wait      verdict = iota
	join              // it is the installation's already
	take              // it is nobody's, or its owner is dead
	takeEmpty         // as take, as long as there are no tasks in it
)

// judge says whether a worker may have the queue.
func (v *vigil) judge(known knowledge) (verdict, error) {
	o, mine := v.standing.Owner, v.standing.Owner.ID == known.DatabaseID
	refusal := &TakenError{Queues: []string{v.standing.Queue}, Owner: o, Copy: mine, Tasks: v.standing.Tasks}
	switch {
	case !o.Exists() && v.standing.Tasks.None() && !v.consumed:
		return takeEmpty, nil // a first start
	case !o.Exists() && v.silent(), mine && o.GivenUp:
		return take, nil
	case !o.Exists():
		return wait, nil

	// A living owner shows nonces that this database has, and this database has been given one lately: its workers are
	// ours. A copy that was made while the database stood still has the nonce, but isn't given any.
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

// Claim makes the queues the installation's, and returns once they are. A [*TakenError] says that some belong to another
// one that lives, or that has left tasks there; then nothing is claimed. It returns at once where the installation owns
// the queues already, or nobody does and there is nothing in them, and otherwise when it has watched them for three
// seconds.
func (k *Keeper) Claim(ctx context.Context) error {
	vigils := make([]*vigil, len(k.claims))
	for i, c := range k.claims {
		vigils[i] = &vigil{consumed: k.consumed(ctx, c.queue)}
	}
	for begun := time.Now(); ; {
		done, err := k.tryClaim(ctx, vigils)
		late := time.Since(begun) > claimPatience
		switch {
		case done:
			return nil
		case late && err == nil:
			return errors.New("redis and the database answer too slowly to tell whose the queues are")
		case err != nil && (late || !isUnanswered(err)):
			return err
		}
		if !pause(ctx, lookInterval) {
			return fmt.Errorf("stopped while claiming queues: %w", context.Cause(ctx))
		}
	}
}

// tryClaim claims all queues if all may be claimed now.
func (k *Keeper) tryClaim(ctx context.Context, vigils []*vigil) (done bool, err error) {
	for i, c := range k.claims {
		asked := time.Now()
		s, err := k.look(ctx, c.queue)
		if err != nil {
			return false, err
		}
		vigils[i].watch(s, asked)
	}
	mine := slices.ContainsFunc(vigils, func(v *vigil) bool { return v.standing.Owner.ID == k.options.Installation.ID })
	if mine { // the database is asked after Redis: what stands there, it knows if it is the owner's
		if err := k.ask(ctx, k.witness.Nonces); err != nil {
			return false, err
		}
	}
	known := k.knows()
	verdicts, ready := make([]verdict, len(vigils)), true
	var refusals []*TakenError
	for i, v := range vigils {
		var refusal error
		verdicts[i], refusal = v.judge(known)
		if taken := new(TakenError); errors.As(refusal, &taken) {
			refusals = append(refusals, taken)
		}
		ready = ready && verdicts[i] != wait
	}
	if len(refusals) > 0 {
		for i, v := range vigils { // the same owner's, of which nothing has been heard yet
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
		ok, err := k.execute(ctx, c, verdicts[i], vigils[i])
		if err != nil || !ok {
			return false, err
		}
	}
	k.refresh()
	return true, nil
}

// execute does as was judged, and tells whether things were still as they were judged.
func (k *Keeper) execute(ctx context.Context, c *ownership, what verdict, v *vigil) (bool, error) {
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

// consumed tells whether somebody may be consuming a queue. What can't be read counts as such.
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

// A claimant is on which conditions, and how, an installation becomes a queue's owner.
type claimant struct {
	signature string // the owner's that is to be followed
	since     string // since when the queue is to be claimed; "" for now
	onlyEmpty bool   // only if there are no tasks in the queue
	newcomer  bool   // without having watched it first
	released  bool   // to be given up at once
}

// assert makes the keeper's installation the owner. It returns since when it is; "" if things have changed.
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

// together makes one refusal of those that name the same owner, the first of them.
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
