package ledger

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// A memory is a database that knows of one queue and no jobs.
type memory struct{ known invoice.Watch }

func (m *memory) Watch(context.Context, string, time.Duration, []string) ([]invoice.Watch, error) {
	m.known.Now = m.known.Now.Add(time.Minute) // whatever is waited for by its clock is over
	return []invoice.Watch{m.known}, nil
}

func (m *memory) Mark(_ context.Context, _ string, w invoice.Watch) error {
	m.known = w
	return nil
}

func (m *memory) Unwatch(context.Context, string) error { return nil }

func (m *memory) Enqueued(context.Context, string, invoice.Dispatch, time.Duration, int) ([]invoice.Dispatch, error) {
	return nil, nil
}

func (m *memory) PutBack(context.Context, []invoice.Dispatch) (int, error) { return 0, nil }

func (m *memory) Open(context.Context, []string) (map[string]int, error) { return nil, nil }

func (m *memory) Record(context.Context, invoice.End) error { return nil }

// A forgetter empties Redis right after the mark was read.
type forgetter struct {
	marker string
	armed  bool
	forget func(context.Context)
}

func (f *forgetter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *forgetter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *forgetter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); f.armed && args[0] == "get" && args[1] == f.marker {
			f.armed = false
			f.forget(ctx)
		}
		return err
	}
}

// What Redis forgets between the reading of the mark and the writing of the next one is noticed all the same.
func TestForgettingWhileTheMarkIsMoved(t *testing.T) {
	t.Parallel()
	o, err := redis.ParseURL(sandboxtest.PrivateRedis(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	queue := "q_" + uuid.NewString()
	f := &forgetter{marker: "invoicer:db:mark:{" + queue + "}", forget: func(ctx context.Context) { rdb.FlushAll(ctx) }}
	rdb.AddHook(f)
	var suspicions int
	m := &memory{known: invoice.Watch{Queue: queue, Now: time.Now()}}
	r, err := NewReconciler(m, m, m, rdb, ReconcilerOptions{
		Name: "w", Queues: []string{queue}, DatabaseID: "db",
		Observe: func(e Event) {
			if e.What == Restored {
				suspicions++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	rounds := func(n int) {
		t.Helper()
		for range n {
			if err := r.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	rounds(4)
	if suspicions != 1 {
		t.Fatalf("%d suspicions, want the one that every beginning has", suspicions)
	}
	f.armed = true
	rounds(4)
	if suspicions != 2 {
		t.Errorf("%d suspicions, want another one", suspicions)
	}
	if queues := rdb.SMembers(t.Context(), "asynq:queues").Val(); !slices.Contains(queues, queue) {
		t.Errorf("the queue isn't listed: %v", queues)
	}
}
