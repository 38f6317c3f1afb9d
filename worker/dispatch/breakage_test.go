package dispatch_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A breakage does something to a queue's keys that none of us would do. It gets the tasks that wait there.
type breakage func(ctx context.Context, b *site, p redis.Pipeliner, ids []string)

// each does the same to every second task.
func each(do func(ctx context.Context, b *site, p redis.Pipeliner, id string)) breakage {
	return func(ctx context.Context, b *site, p redis.Pipeliner, ids []string) {
		for i, id := range ids {
			if i%2 == 0 {
				do(ctx, b, p, id)
			}
		}
	}
}

// says has every second task say that it is in a state, and takes it out of the list.
func says(state string, and ...func(ctx context.Context, b *site, p redis.Pipeliner, id string)) breakage {
	return each(func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.LRem(ctx, b.Key("pending"), 0, id)
		p.HSet(ctx, b.Key("t:")+id, "state", state)
		for _, do := range and {
			do(ctx, b, p, id)
		}
	})
}

func inSet(name string, ahead time.Duration) func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
	return func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.ZAdd(ctx, b.Key(name), redis.Z{Score: float64(time.Now().Add(ahead).Unix()), Member: id})
	}
}

func wrongType(keys ...string) breakage {
	return func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) {
		for _, key := range keys {
			p.Del(ctx, b.Key(key))
			p.SAdd(ctx, b.Key(key), "a set")
		}
	}
}

func message(text string) func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
	return func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.HSet(ctx, b.Key("t:")+id, "msg", text)
	}
}

const year = 365 * 24 * time.Hour

var breakages = map[string]breakage{
	"the list is gone": func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) { p.Del(ctx, b.Key("pending")) },
	"half of the list": func(ctx context.Context, b *site, p redis.Pipeliner, ids []string) {
		p.LTrim(ctx, b.Key("pending"), 0, int64(len(ids)/2))
	},
	"one id in the middle": func(ctx context.Context, b *site, p redis.Pipeliner, ids []string) {
		p.LRem(ctx, b.Key("pending"), 0, ids[len(ids)/2])
	},
	"tasks, and not the list": each(func(ctx context.Context, b *site, p redis.Pipeliner, id string) { p.Del(ctx, b.Key("t:")+id) }),
	"tasks keep their state only": each(func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.HDel(ctx, b.Key("t:")+id, "msg", "pending_since")
	}),
	"tasks lose their state": says("", func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.HDel(ctx, b.Key("t:")+id, "state")
	}),
	"messages are garbage":   each(message("\xff\xfe")),
	"messages are another's": each(message("\x1a\x05other")),
	"tasks are strings": each(func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.Del(ctx, b.Key("t:")+id)
		p.Set(ctx, b.Key("t:")+id, "a string", 0)
	}),
	"retry, in no set":  says("retry"),
	"retry in a year":   says("retry", inSet("retry", year)),
	"retry, of garbage": says("retry", inSet("retry", 0), message("\xff")),
	"retry, without a message": says("retry", inSet("retry", 9*time.Minute), func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.HDel(ctx, b.Key("t:")+id, "msg")
	}),
	"scheduled":                    says("scheduled", inSet("scheduled", year)),
	"scheduled, in no set":         says("scheduled"),
	"active, in no list":           says("active"),
	"completed, in no set":         says("completed"),
	"completed":                    says("completed", inSet("completed", year)),
	"archived, in no set":          says("archived"),
	"archived, of garbage":         says("archived", inSet("archived", 0), message("\xff")),
	"aggregating":                  says("aggregating"),
	"a state that isn't one":       says("nonsense"),
	"pending, in the wrong set":    says("pending", inSet("completed", year)),
	"the list is of another type":  wrongType("pending"),
	"all lists and sets are":       wrongType("pending", "active", "lease", "retry", "scheduled", "archived", "completed", "paused"),
	"tasks are in the list twice":  each(func(ctx context.Context, b *site, p redis.Pipeliner, id string) { p.LPush(ctx, b.Key("pending"), id) }),
	"tasks are to be retried, too": each(inSet("retry", 0)),
	"a thousand ids without tasks": func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) {
		for i := range 1000 {
			p.RPush(ctx, b.Key("pending"), fmt.Sprint("ghost", i))
			p.ZAdd(ctx, b.Key("retry"), redis.Z{Score: 1, Member: fmt.Sprint("late", i)})
		}
	},
	"no task behind a result": func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) {
		inSet("completed", -year)(ctx, b, p, "ghost")
		inSet("archived", -year)(ctx, b, p, "ghost2")
		inSet("scheduled", year)(ctx, b, p, "ghost3")
	},
	"a retry of another type before all others": func(ctx context.Context, b *site, p redis.Pipeliner, ids []string) {
		for i := range 300 {
			id := fmt.Sprint("string", i)
			p.Set(ctx, b.Key("t:")+id, "a string", 0)
			inSet("retry", -time.Hour)(ctx, b, p, id)
		}
		says("retry", inSet("retry", 0))(ctx, b, p, ids)
	},
	"in hand, by nobody": says("active", func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.LPush(ctx, b.Key("active"), id)
	}, inSet("lease", year)),
	"leased to nobody, in no list": says("active", inSet("lease", 0)),
	"in hand, and garbage": says("active", func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.LPush(ctx, b.Key("active"), id)
	}, message("\xff")),
	"in hand, and gone": each(func(ctx context.Context, b *site, p redis.Pipeliner, id string) {
		p.LRem(ctx, b.Key("pending"), 0, id)
		p.LPush(ctx, b.Key("active"), id)
		p.Del(ctx, b.Key("t:")+id)
	}),
	"the mark is of another type": func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) {
		p.Del(ctx, b.Key("pending"), b.mark())
		p.SAdd(ctx, b.mark(), "a set")
	},
	"the mark can't be counted up": func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) {
		p.Del(ctx, b.Key("pending"))
		p.Set(ctx, b.mark(), "9223372036854775807", 0)
	},
	"the mark is no number": func(ctx context.Context, b *site, p redis.Pipeliner, _ []string) {
		p.Del(ctx, b.Key("pending"))
		p.Set(ctx, b.mark(), "1e2", 0)
	},
}
