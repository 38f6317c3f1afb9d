package queue

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// asynq's scripts take a task out of the list of active ones with an LREM that reads the whole list. Redis does nothing else
// meanwhile, and with several workers the list holds all that they have in hand: with 8 of them it took longer than all the
// rest of a job in Redis. What ends has mostly been in hand for longest, and a fetch adds at the beginning: so the list is
// read from its end, up to the task. No id is in it twice: the fetch skips one that is in hand.
const (
	readsAll  = `redis.call("LREM", KEYS[1], 0, ARGV[1])`
	fromEnd   = `redis.call("LREM", KEYS[1], -1, ARGV[1])`
	readsAll2 = `redis.call("LREM", KEYS[2], 0, ARGV[1])`
	fromEnd2  = `redis.call("LREM", KEYS[2], -1, ARGV[1])`
)

// oldestFirst runs asynq's scripts, which it learns as asynq sends their text, with the list of active tasks read from its end.
type oldestFirst struct {
	mu      sync.RWMutex
	scripts map[string]*redis.Script // by the hash of asynq's text
}

// known returns what runs instead of asynq's script with that hash, nil if asynq hasn't sent its text yet.
func (o *oldestFirst) known(sha1 string) *redis.Script {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.scripts[sha1]
}

// learn returns what runs instead of a script of asynq's. A text that doesn't have the LREM runs as it is.
func (o *oldestFirst) learn(text string) *redis.Script {
	o.mu.Lock()
	defer o.mu.Unlock()
	hash := redis.NewScript(text).Hash()
	if s := o.scripts[hash]; s != nil {
		return s
	}
	s := redis.NewScript(strings.NewReplacer(readsAll, fromEnd, readsAll2, fromEnd2).Replace(text))
	if o.scripts == nil {
		o.scripts = make(map[string]*redis.Script)
	}
	o.scripts[hash] = s
	return s
}

// noScript is Redis's answer to the hash of a script that it doesn't know, upon which asynq sends the text.
func noScript(ctx context.Context) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(redis.ErrNoScript)
	return cmd
}
