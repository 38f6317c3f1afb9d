package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// roundsOfKinds is in how many rounds the kinds of the queue's keys are looked at once, unless a look fails for them.
const roundsOfKinds = 5

// misfits deletes those keys that are of another type than asynq and we use: every command on such a key fails, and the
// queue stands still. A count that can't be counted up is one as well. It returns the keys.
var misfits = redis.NewScript(`
local removed = {}
for i, key in ipairs(KEYS) do
	local want, kind = ARGV[i], redis.call("TYPE", key).ok
	local fits = kind == "none" or kind == want
	if want == "count" and kind == "string" then
		local value = redis.call("GET", key)
		fits = #value < 19 and string.find(value, "^%-?%d+$")
	end
	if not fits then
		redis.call("UNLINK", key)
		table.insert(removed, key)
	end
end
return removed`)

// isWrongType also knows the error of a script, which older servers put into words of their own.
func isWrongType(err error) bool { return err != nil && strings.Contains(err.Error(), "WRONGTYPE") }

// removeMisfits deletes the queue's keys of a wrong type. The jobs that they have replaced are looked for as any others.
func (w *watch) removeMisfits(ctx context.Context) error {
	today := time.Now().UTC().Format(time.DateOnly)
	keys := append([]string{}, w.keys.all...)
	kinds := []any{"list", "list", "zset", "zset", "zset", "zset", "zset"}
	for _, more := range []struct{ key, kind string }{
		{w.keys.marker, "string"},
		{w.keys.prefix + "paused", "string"},
		{w.keys.prefix + "processed", "count"},
		{w.keys.prefix + "processed:" + today, "count"},
		{w.keys.prefix + "failed", "count"},
		{w.keys.prefix + "failed:" + today, "count"},
	} {
		keys, kinds = append(keys, more.key), append(kinds, more.kind)
	}
	return w.remove(ctx, keys, kinds)
}

func (r *Reconciler) remove(ctx context.Context, keys []string, kinds []any) error {
	removed, err := misfits.Run(ctx, r.rdb, keys, kinds...).StringSlice()
	for _, key := range removed {
		r.options.Logger.ErrorContext(ctx, "a key of the queue was of a type that nobody of us gives it: it is deleted", "key", key)
	}
	return err
}

// nameQueues has the queues named where asynq lists them. asynq does so once for each client, and not again after Redis
// has forgotten it.
func (r *Reconciler) nameQueues(ctx context.Context, p redis.Pipeliner, held []invoice.Watch) *redis.IntCmd {
	if len(held) == 0 {
		return nil
	}
	names := make([]any, len(held))
	for i, w := range held {
		names[i] = w.Queue
	}
	return p.SAdd(ctx, queueRegister, names...)
}

const queueRegister = "asynq:queues"

// keepRegisters deletes asynq's registers, which are the same for all queues, if they are of a wrong type: then nobody could
// enqueue, and no worker could tell that it lives.
func (r *Reconciler) keepRegisters(ctx context.Context, named *redis.IntCmd) error {
	if named == nil {
		return nil
	}
	err := named.Err()
	if r.rounds++; r.rounds%roundsOfKinds != 1 && !isWrongType(err) {
		return err
	}
	for key, kind := range map[string]string{queueRegister: "set", "asynq:servers": "zset", "asynq:workers": "zset"} { // each in a slot of its own
		if err := r.remove(ctx, []string{key}, []any{kind}); err != nil {
			return err
		}
	}
	return err
}

// tasks reads tasks, and returns those that are jobs. What is none isn't ours to write down; what can't be read, or has no
// message, is deleted: asynq would stop at it.
func (w *watch) tasks(ctx context.Context, ids []string) (map[string]*asynq.TaskInfo, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	read := make([]*redis.SliceCmd, len(ids))
	_, _ = w.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command keeps its own error
		for i, id := range ids {
			read[i] = p.HMGet(ctx, w.keys.task(id), "msg", "state")
		}
		return nil
	})
	jobs := make(map[string]*asynq.TaskInfo)
	for i, id := range ids {
		fields, err := read[i].Result()
		if err != nil && !isWrongType(err) {
			return nil, fmt.Errorf("task %q: %w", id, err)
		}
		fields = append(fields, nil, nil)
		message, _ := fields[0].(string)
		info, err := queue.ReadTask(message)
		if err != nil || info.ID != id || info.Queue != w.known.Queue {
			if err := w.keys.discard(ctx, w.rdb, id, message); err != nil {
				return nil, fmt.Errorf("task %q: %w", id, err)
			}
			w.options.Logger.WarnContext(ctx, "a task that can't be read is deleted", "queue", w.known.Queue, "task_id", printable(id), "bytes", len(message))
			continue
		}
		if fields[1] == "archived" {
			info.State = asynq.TaskStateArchived
		}
		if info.Type == client.TaskType {
			jobs[id] = info
		}
	}
	return jobs, nil
}

// printable makes an id that may be anything fit for a log line.
func printable(id string) string { return strings.ToValidUTF8(id[:min(len(id), 255)], "\uFFFD") }
