package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Somebody deletes keys of the queue in Redis at random, or parts of them, or makes some up.
const (
	KeysDeleted = "keys deleted at random"
	KeysMadeUp  = "keys made up"
)

// newKeyMishap draws what happens to the queue's keys in a seed; in every third, nothing. It has a source of its own, so
// that the rest of a seed is as it would be without it.
func newKeyMishap(seed uint64) (Mishap, bool) {
	r := rand.New(rand.NewPCG(seed, 0x6b657973)) //nolint:gosec // a seed is to be played again
	what := []string{KeysDeleted, KeysMadeUp, ""}[r.IntN(3)]
	return Mishap{What: what, At: 0.9 * r.Float64(), Draw: r.Uint64()}, what != ""
}

// A raid is what is done to the keys of a queue, a few times within a second or two.
type raid struct {
	*rand.Rand
	rdb           redis.UniversalClient
	queue, marker string
	kinds         map[string]bool // of keys that are deleted: list, zset, hash, string (which is the mark)
	share         float64         // of these
}

// newRaid draws what a mishap does to the keys of a queue. The marker is the ledger's mark in Redis.
func newRaid(m Mishap, rdb redis.UniversalClient, queue, marker string) *raid {
	drawn := rand.New(rand.NewPCG(m.Draw, 1)) //nolint:gosec // a seed is to be played again
	r := &raid{Rand: drawn, rdb: rdb, queue: "asynq:{" + queue + "}:", marker: marker, kinds: map[string]bool{}}
	all := []string{"list", "zset", "hash", "string"}
	for some := 1 + r.IntN(15); some > 0; some >>= 1 {
		if some&1 == 1 {
			r.kinds[all[len(all)-1]] = true
		}
		all = all[:len(all)-1]
	}
	r.share = []float64{0, r.Float64(), 1}[r.IntN(3)]
	return r
}

// RaidKeys deletes or makes up keys of a queue, as the mishap says, a few times within a second or two. The marker is the
// ledger's mark of the queue. Redis may be away meanwhile: then it has done worse.
func RaidKeys(ctx context.Context, m Mishap, rdb redis.UniversalClient, queue, marker string) {
	r := newRaid(m, rdb, queue, marker)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for range 1 + r.IntN(6) {
		if m.What == KeysDeleted {
			r.deleteSome(ctx)
		} else {
			r.makeUp(ctx)
		}
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond) // jobs go on meanwhile
	}
}

// deleteSome deletes keys of some kinds, and of lists and sets perhaps only members. A share of none means one key.
func (r *raid) deleteSome(ctx context.Context) {
	keys, _ := r.rdb.Keys(ctx, r.queue+"*").Result()
	keys = append(keys, r.marker)
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys {
		kind, _ := r.rdb.Type(ctx, key).Result()
		if !r.kinds[kind] || r.share > 0 && r.Float64() >= r.share {
			continue
		}
		switch {
		case r.IntN(2) == 0 || kind != "list" && kind != "zset":
			r.rdb.Del(ctx, key)
		case kind == "list":
			r.rdb.LTrim(ctx, key, int64(r.IntN(20)), int64(-1-r.IntN(20)))
		case kind == "zset":
			r.rdb.ZRemRangeByRank(ctx, key, 0, int64(r.IntN(20)))
		}
		if r.share == 0 {
			return
		}
	}
}

// makeUp plants what none of us would write. What says that it is archived is an operator's word, and stays out.
func (r *raid) makeUp(ctx context.Context) {
	far := float64(time.Now().Add(1000 * time.Hour).Unix())
	tasks, _ := r.rdb.Keys(ctx, r.queue+"t:*").Result()
	some := func() string { // a task's id, or one that isn't there
		if len(tasks) == 0 || r.IntN(3) == 0 {
			return fmt.Sprint("ghost-", r.IntN(1000))
		}
		return strings.TrimPrefix(tasks[r.IntN(len(tasks))], r.queue+"t:")
	}
	_, _ = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for range 30 {
			id := some()
			key := r.queue + "t:" + id
			switch r.IntN(11) {
			case 0:
				p.RPush(ctx, r.queue+"pending", id)
			case 1:
				p.LPush(ctx, r.queue+"pending", id)
			case 2:
				p.LPush(ctx, r.queue+"active", id)
			case 3:
				p.ZAdd(ctx, r.queue+"lease", redis.Z{Score: far, Member: id})
			case 4:
				p.ZAdd(ctx, r.queue+"retry", redis.Z{Score: far * float64(r.IntN(2)), Member: id})
			case 5:
				p.HSet(ctx, key, "state", []string{"pending", "active", "retry", "scheduled", "completed", "nonsense"}[r.IntN(6)])
			case 6:
				p.HSet(ctx, key, "msg", []string{"", "\xff\xfe", "\x1a\x05other"}[r.IntN(3)])
				p.RPush(ctx, r.queue+"pending", id)
			case 7:
				p.HDel(ctx, key, []string{"msg", "state", "pending_since"}[r.IntN(3)])
			case 8:
				p.Del(ctx, key)
				p.Set(ctx, key, "a string", 0)
			case 9:
				p.Set(ctx, r.marker, []string{"7", "9223372036854775807", "nonsense"}[r.IntN(3)], 0)
			case 10:
				if wrong := r.queue + []string{"pending", "active", "lease", "retry", "scheduled", "completed", "paused"}[r.IntN(7)]; r.IntN(5) == 0 {
					p.Del(ctx, wrong)
					p.SAdd(ctx, wrong, "a set")
				}
			}
		}
		return nil
	})
}
