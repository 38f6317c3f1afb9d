package queue_test

import (
	"maps"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/queue"
)

func TestPending(t *testing.T) {
	t.Parallel()
	rdb := rig.Connect(t, sandboxtest.Redis(t))
	full, empty := "q_"+t.Name()+"_full", "q_"+t.Name()+"_empty"
	key := queue.KeysOf(full).Pending()
	if err := rdb.RPush(t.Context(), key, "a", "b", "c").Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Del(t.Context(), key) })
	got, err := queue.Pending(t.Context(), rdb, []string{full, empty})
	if want := map[string]int64{full: 3, empty: 0}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, error %v, want %v", got, err, want)
	}
	if got, err := queue.Pending(t.Context(), rdb, nil); err != nil || len(got) != 0 {
		t.Errorf("of no queue: %v, error %v", got, err)
	}
}
