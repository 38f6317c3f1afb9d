package queue

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
)

// Watch looks at a queue until it has found out whether its owner lives, which takes three seconds at most.
func Watch(ctx context.Context, rdb redis.UniversalClient, queue string) (s Standing, alive bool, err error) {
	v := &ownerWatch{}
	for {
		asked := time.Now()
		if s, err = Look(ctx, rdb, queue); err != nil {
			return s, false, err
		}
		v.observe(s, asked)
		switch {
		case !s.Owner.Exists(), s.Owner.GivenUp, v.silent():
			return s, false, nil
		case v.renewed:
			return s, true, nil
		}
		if !pause(ctx, lookInterval) {
			return s, false, ctx.Err()
		}
	}
}

// ErrChanged means that the queue's owner has renewed its claim, or another installation has claimed the queue, meanwhile.
var ErrChanged = errors.New("the queue was claimed, or its claim renewed, meanwhile")

// Take makes an installation the owner of a queue, in a claim that is given up at once: only the installation's own workers
// can join it. It returns [ErrChanged] if the queue's owner isn't the one that was seen any more.
func Take(ctx context.Context, rdb redis.UniversalClient, seen Standing, i Installation, mine ledger.Nonces, worker string) error {
	c := claimant{signature: seen.Owner.signature, released: true}
	if len(mine.Latest) == 0 {
		return errors.New("queue: no nonce was written to the database")
	}
	if err := rdb.SAdd(ctx, ownedQueues, seen.Queue).Err(); err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return err
	}
	since, err := c.install(ctx, rdb, seen.Queue, i, mine.Latest[0], worker)
	if err == nil && since == "" {
		err = ErrChanged
	}
	return err
}

// A Ledger knows which jobs are open. It decides whose the tasks of an earlier release are, which don't name their
// installation.
type Ledger interface {
	// Open returns, by id, the latest dispatch of those of the jobs that have no end yet; 0 for a job that it doesn't know.
	Open(ctx context.Context, jobIDs []string) (map[string]int, error)
}

// A Census counts a queue's tasks that aren't done by the ledger that they belong to.
type Census struct {
	Own     int `json:"own_ledger"`      // of this installation's ledger
	Foreign int `json:"other_ledgers"`   // of other installations' ledgers, where their jobs are safe
	Direct  int `json:"direct"`          // enqueued straight into Redis
	Settled int `json:"direct_archived"` // enqueued straight into Redis, and archived: the former owner has recorded their end
	Unknown int `json:"unreadable"`      // can't be read
}

// A Sweeper goes through the tasks of a queue and counts them.
type Sweeper struct {
	Redis        redis.UniversalClient
	Ledger       Ledger
	Installation string // the queue's owner
	// Remove makes Sweep delete tasks that aren't for this installation: those of other installations' ledgers, and direct
	// tasks that were archived under a former owner.
	Remove bool
	// RemoveDirect makes Sweep also delete the other direct tasks: those that were enqueued straight into Redis.
	RemoveDirect bool
}

// sweepPage is how many tasks are read at once.
const sweepPage = 500

// Sweep counts a queue's tasks, and deletes some if Remove is set. While it deletes tasks, no worker may consume the queue.
func (s Sweeper) Sweep(ctx context.Context, queue string) (Census, error) {
	var c Census
	k := KeysOf(queue)
	for _, list := range []string{k.Pending(), k.Active()} {
		if err := s.sweepList(ctx, k, list, &c); err != nil {
			return c, err
		}
	}
	for _, set := range []string{k.Scheduled(), k.Retry(), k.Archived()} {
		if err := s.sweepSet(ctx, k, set, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// sweepList goes through a list from its end, where the next task is: new tasks are added at its beginning.
func (s Sweeper) sweepList(ctx context.Context, k Keys, list string, c *Census) error {
	left, err := s.Redis.LLen(ctx, list).Result()
	for kept := int64(0); err == nil && left > 0; {
		page := min(left, sweepPage)
		var ids, removed []string
		if ids, err = s.Redis.LRange(ctx, list, -kept-page, -kept-1).Result(); err != nil || len(ids) == 0 {
			break
		}
		if removed, err = s.count(ctx, k, ids, false, c); err != nil {
			break
		}
		err = s.remove(ctx, k, list, removed)
		kept += int64(len(ids) - len(removed))
		left -= page
	}
	return err
}

func (s Sweeper) sweepSet(ctx context.Context, k Keys, set string, c *Census) error {
	for kept := int64(0); ; {
		ids, err := s.Redis.ZRange(ctx, set, kept, kept+sweepPage-1).Result()
		if err != nil || len(ids) == 0 {
			return err
		}
		removed, err := s.count(ctx, k, ids, set == k.Archived(), c)
		if err != nil {
			return err
		}
		if err := s.remove(ctx, k, set, removed); err != nil {
			return err
		}
		kept += int64(len(ids) - len(removed))
	}
}

// count counts tasks, and returns those that are to be removed.
func (s Sweeper) count(ctx context.Context, k Keys, ids []string, archived bool, c *Census) (remove []string, err error) {
	raw := make([]*redis.StringCmd, len(ids))
	_, err = s.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			raw[i] = p.HGet(ctx, k.Task(id), messageField)
		}
		return nil
	})
	var reply redis.Error
	if err != nil && !errors.As(err, &reply) { // each reply has its own error: a task may be gone, or its key no hash
		return nil, err
	}
	messages, unnamed := make([]origin, len(ids)), []string{}
	for i := range ids {
		body, readErr := raw[i].Result()
		if readErr == nil {
			messages[i], readErr = readOrigin(body)
		}
		if readErr != nil {
			messages[i].installation = unreadable
		} else if m := messages[i]; m.jobID != "" && m.installation == "" {
			unnamed = append(unnamed, m.jobID)
		}
	}
	var ours map[string]int
	if len(unnamed) > 0 {
		if ours, err = s.Ledger.Open(ctx, unnamed); err != nil {
			return nil, err
		}
	}
	for i, m := range messages {
		dispatch, open := ours[m.jobID]
		remove = s.file(m, ids[i], archived, open && dispatch == 0, c, remove)
	}
	return remove, nil
}

// unreadable stands for the installation of a task whose message can't be read.
const unreadable = "?"

// file counts one task, and appends its id to remove if the task is to be deleted.
func (s Sweeper) file(m origin, id string, archived, unknown bool, c *Census, remove []string) []string {
	gone := s.Remove
	switch {
	case m.installation == unreadable:
		c.Unknown++
		gone = false
	case m.installation == s.Installation, m.jobID != "" && m.installation == "" && !unknown:
		c.Own++
		gone = false
	case m.installation != "", m.jobID != "":
		c.Foreign++
	case archived:
		c.Settled++
	default:
		c.Direct++
		gone = s.Remove && s.RemoveDirect
	}
	if gone {
		remove = append(remove, id)
	}
	return remove
}

// drop deletes tasks of a queue.
var drop = redis.NewScript(`
for i = 1, #ARGV do
	if redis.call("TYPE", KEYS[1]).ok == "list" then
		redis.call("LREM", KEYS[1], -1, ARGV[i])
	else
		redis.call("ZREM", KEYS[1], ARGV[i])
	end
	redis.call("ZREM", KEYS[2], ARGV[i])
	redis.call("DEL", KEYS[2 + i])
end
return #ARGV`)

// remove deletes tasks. It passes each key to the script, as a cluster requires.
func (s Sweeper) remove(ctx context.Context, k Keys, from string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	keys, args := []string{from, k.Lease()}, make([]any, len(ids))
	for i, id := range ids {
		keys, args[i] = append(keys, k.Task(id)), id
	}
	return drop.Run(ctx, s.Redis, keys, args...).Err()
}
