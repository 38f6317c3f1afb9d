package queue

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
)

// Watch looks at a queue until it is clear whether its owner lives, which takes three seconds at most.
func Watch(ctx context.Context, rdb redis.UniversalClient, queue string) (s Standing, alive bool, err error) {
	v := &vigil{}
	for {
		asked := time.Now()
		if s, err = Look(ctx, rdb, queue); err != nil {
			return s, false, err
		}
		v.watch(s, asked)
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

// ErrChanged says that somebody else has claimed the queue meanwhile.
var ErrChanged = errors.New("somebody has claimed the queue meanwhile")

// Take makes an installation the owner of a queue whose owner is the one that was seen. Its workers find the queue given
// up to them, and nobody else's do.
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

// A Ledger knows which jobs are open. It is asked about tasks of an earlier release, which don't name their installation.
type Ledger interface {
	// Open returns, of jobs by their ids, the latest dispatch of those that have no end yet; 0 for one that isn't known.
	Open(ctx context.Context, jobIDs []string) (map[string]int, error)
}

// A Census is whose the tasks of a queue are, as far as they aren't done.
type Census struct {
	Own     int `json:"own_ledger"`      // of this installation's ledger
	Foreign int `json:"other_ledgers"`   // of other installations' ledgers, where their jobs are safe
	Direct  int `json:"direct"`          // enqueued straight into Redis
	Settled int `json:"direct_archived"` // likewise, and archived: the former owner has recorded their end
	Unknown int `json:"unreadable"`      // can't be read
}

// A Sweeper goes through the tasks of a queue and counts them.
type Sweeper struct {
	Redis        redis.UniversalClient
	Ledger       Ledger
	Installation string // whose the queue is
	// Remove takes out what isn't this installation's to work on: the tasks of other installations' ledgers, and what was
	// archived under a former owner.
	Remove bool
	// RemoveDirect also takes out what was enqueued straight into Redis.
	RemoveDirect bool
}

// sweepPage is how many tasks are read at once.
const sweepPage = 500

// Sweep goes through a queue. While tasks are removed, nobody may be consuming it.
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

// sweepList goes through a list from its end, which is where its next task is: what comes meanwhile comes at its beginning.
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
	if err != nil && !errors.As(err, &reply) { // each has its own: a task may be gone, or no hash
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

// unreadable stands in the place of an installation's identity.
const unreadable = "?"

// file counts one task, and adds it to those that are to be removed.
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

// drop takes tasks out of a queue.
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

// remove takes tasks out. Each key is named, as a cluster insists.
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
