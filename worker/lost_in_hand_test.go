package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/worker/client"
)

// Redis loses a part of a task while its job is being done: once that has its end, nothing of it is left, but for what
// expires.
func TestWhatRedisLosesOfAJobInHandIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string][]string{
		"the task": {"t:"}, "the list": {"active"}, "the lease": {"lease"}, "list and lease": {"active", "lease"}, "task and list": {"t:", "active"},
		"all": {"t:", "active", "lease"},
	} {
		for _, good := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, good %t", name, good), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				lose := func(ctx context.Context) {
					for _, part := range lost {
						key := b.Key(part)
						if part == "t:" {
							keys, err := b.Redis.Keys(ctx, key+"*").Result()
							if err != nil || len(keys) != 1 {
								t.Errorf("tasks %q, error %v", keys, err)
								continue
							}
							key = keys[0]
						}
						if n, err := b.Redis.Del(ctx, key).Result(); err != nil || n != 1 {
							t.Errorf("%s: %d deleted, error %v", key, n, err)
						}
					}
				}
				w := b.start(t, "w1", func(p *parts) {
					p.Fault = func(ctx context.Context, at fault.Point) error {
						if at == fault.Recorded {
							lose(ctx)
						}
						return nil
					}
				})
				if good {
					b.enqueue(t, job("T1"))
				} else {
					b.enqueueRaw(t, client.TaskType, []byte("{"))
				}
				w.ended(t)
				rig.Eventually(t, "nothing to be left", func() bool { return len(b.leftOver(t)) == 0 })
			})
		}
	}
}

// leftOver are the queue's keys that no end of a task has left, and the tasks that never expire.
func (b *site) leftOver(t *testing.T) []string {
	t.Helper()
	prefix := b.Key("")
	keys, err := b.Redis.Keys(t.Context(), prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, set := range []string{"completed", "archived"} {
		ids, err := b.Redis.ZRange(t.Context(), prefix+set, 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, ids...)
	}
	return slices.DeleteFunc(keys, func(key string) bool {
		rest := strings.TrimPrefix(key, prefix)
		id, isTask := strings.CutPrefix(rest, "t:")
		return isTask && slices.Contains(kept, id) || rest == "completed" || rest == "archived" || strings.HasPrefix(rest, "processed") || strings.HasPrefix(rest, "failed")
	})
}
