package autopipeline_test

import (
	"context"
	"testing"
	"time"

	"invoicer/internal/sandbox/sandboxtest"
)

// abandoned has a batch under way whose askers have gone.
func abandoned(t *testing.T, b *bundle, key string) *trip {
	t.Helper()
	first := b.hurry(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := b.queue(t, 2, func(int) error { return add.EvalSha(ctx, b.view, []string{key}, 1).Err() })
	wantTrip(t, first, 1, false)
	second := b.next(t)
	cancel()
	for range 2 {
		wantError(t, end(t, gone), context.Canceled)
	}
	b.asking.Wait()
	return second
}

func TestCloseWaitsForABatchUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	key := uniqueKey(t)
	batch := abandoned(t, b, key)
	closed := make(chan error, 1)
	go func() { closed <- b.view.Close() }()
	select {
	case err := <-closed:
		batch.letGo()
		t.Fatalf("it closed at once: %v", err)
	case <-time.After(100 * time.Millisecond): // that it waits, nothing tells
	}
	batch.letGo()
	must(t, end(t, closed))
	if got := b.rdb.Get(t.Context(), key).Val(); got != "2" {
		t.Errorf("Redis has %q, want 2", got)
	}
	if b.view.Get(t.Context(), key).Err() == nil {
		t.Error("the other client isn't closed")
	}
}

func TestCloseWaitsForNoBatchForLong(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	batch := abandoned(t, b, uniqueKey(t))
	if b.view.Close() == nil {
		t.Error("what is left behind is told by nobody")
	}
	batch.letGo()
}
