package queue_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/queue"
)

// Its new owner finds its own tasks, and those of nobody's, in their order; what another ledger had put there is gone.
func TestTakingAQueueOver(t *testing.T) {
	t.Parallel()
	for name, rdb := range map[string]redis.UniversalClient{
		"one server": rig.Connect(t, sandboxtest.Redis(t)),
		"a cluster":  clusterOfOne(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newInstallation(t), newInstallation(t)
			name := newQueue(a)
			must(t, a.keeper(t, rdb, nil, name).Claim(t.Context()))
			ours := uuid.NewString()
			_, err := b.database.DB.ExecContext(t.Context(), `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, dispatch)
				VALUES ($1, 'T1', 'T1', $2, '{}', 'enqueued', 1)`, ours, name)
			must(t, err)
			const each = 300 // more than a page, altogether
			for range each {
				put(t, rdb, name, uuid.NewString(), a.ID)
				put(t, rdb, name, "", "")
			}
			put(t, rdb, name, uuid.NewString(), "") // of an earlier release, and of another ledger
			put(t, rdb, name, ours, "")
			put(t, rdb, name, ours, b.ID)
			inspector := asynq.NewInspectorFromRedisClient(rdb)
			pending, err := inspector.ListPendingTasks(name, asynq.PageSize(3))
			must(t, err)
			for _, task := range pending[:2] { // one of each
				must(t, inspector.ArchiveTask(name, task.ID))
			}
			active := pending[2] // of the dead owner's
			_, err = rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
				prefix := "asynq:{" + name + "}:"
				p.LRem(t.Context(), prefix+"pending", 0, active.ID)
				p.LPush(t.Context(), prefix+"active", active.ID)
				p.HSet(t.Context(), prefix+"t:"+active.ID, "state", "active")
				p.ZAdd(t.Context(), prefix+"lease", redis.Z{Score: 1, Member: active.ID})
				return nil
			})
			must(t, err)
			before := directOrder(t, inspector, name)

			seen, alive, err := queue.Watch(t.Context(), rdb, name)
			if err != nil || alive || seen.Owner.ID != a.ID {
				t.Fatalf("alive: %t, %+v, %v", alive, seen, err)
			}
			sweeper := queue.Sweeper{Redis: rdb, Ledger: b.store.Ledger, Installation: b.ID}
			want := queue.Census{Own: 2, Foreign: each + 1, Direct: each - 1, Settled: 1}
			if got, err := sweeper.Sweep(t.Context(), name); err != nil || got != want {
				t.Fatalf("found %+v, %v; want %+v", got, err, want)
			}
			mine, err := b.store.RenewNonce(t.Context())
			must(t, err)
			must(t, queue.Take(t.Context(), rdb, seen, b.Installation, mine, "taker"))
			sweeper.Remove = true
			if got, err := sweeper.Sweep(t.Context(), name); err != nil || got != want {
				t.Fatalf("removed of %+v, %v; want %+v", got, err, want)
			}
			want.Foreign, want.Settled = 0, 0
			if got, err := sweeper.Sweep(t.Context(), name); err != nil || got != want {
				t.Fatalf("left %+v, %v; want %+v", got, err, want)
			}
			if after := directOrder(t, inspector, name); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the direct jobs come in another order")
			}
			if n := rdb.Exists(t.Context(), "asynq:{"+name+"}:t:"+active.ID).Val() + rdb.ZCard(t.Context(), "asynq:{"+name+"}:lease").Val(); n != 0 {
				t.Error("something of the dead worker's task is left")
			}

			refusal(t, a.keeper(t, rdb, nil, name).Claim(t.Context()))
			start(t, b.keeper(t, rdb, nil, name))
			if err := queue.Take(t.Context(), rdb, seen, a.Installation, mine, "late"); !errors.Is(err, queue.ErrChanged) {
				t.Errorf("with an old look it is taken: %v", err)
			}
		})
	}
}

// directOrder are the direct jobs that wait, the next first.
func directOrder(t *testing.T, inspector *asynq.Inspector, name string) []string {
	t.Helper()
	var ids []string
	for page := 1; ; page++ {
		tasks, err := inspector.ListPendingTasks(name, asynq.Page(page), asynq.PageSize(500))
		must(t, err)
		if len(tasks) == 0 {
			return ids
		}
		for _, task := range tasks {
			if len(task.Headers) == 0 {
				ids = append(ids, task.ID)
			}
		}
	}
}

func TestASweepCanDiscardAll(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	for range 3 {
		put(t, rdb, name, "", "")
	}
	must(t, rdb.LPush(t.Context(), "asynq:{"+name+"}:pending", "a-ghost").Err())
	must(t, rdb.LPush(t.Context(), "asynq:{"+name+"}:pending", "of-another-type").Err())
	must(t, rdb.Set(t.Context(), "asynq:{"+name+"}:t:of-another-type", "x", 0).Err())
	got, err := queue.Sweeper{Redis: rdb, Ledger: a.store.Ledger, Installation: a.ID, Remove: true, RemoveDirect: true}.Sweep(t.Context(), name)
	if want := (queue.Census{Direct: 3, Unknown: 2}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if s := look(t, rdb, name); s.Tasks.Waiting != 2 {
		t.Errorf("left: %+v", s.Tasks)
	}
}

func TestWatchingALivingOwner(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	if s, alive, err := queue.Watch(t.Context(), rdb, name); err != nil || alive || s.Owner.Exists() {
		t.Errorf("nobody: %+v, %t, %v", s, alive, err)
	}
	start(t, a.keeper(t, rdb, nil, name))
	if s, alive, err := queue.Watch(t.Context(), rdb, name); err != nil || !alive || s.Owner.ID != a.ID {
		t.Errorf("somebody: %+v, %t, %v", s, alive, err)
	}
	names, err := queue.Names(t.Context(), rdb)
	must(t, err)
	found := false
	for _, one := range names {
		found = found || one == name
	}
	if !found {
		t.Errorf("%s isn't among %s", name, strconv.Itoa(len(names)))
	}
}

func TestIntoWhichQueuesNothingIsPut(t *testing.T) {
	t.Parallel()
	rdb, a, b := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t), newInstallation(t)
	name, nobodys, gone := newQueue(a), newQueue(a)+"_nobodys", newQueue(a)+"_gone"
	own, siblings := newQueue(b), newQueue(b)+"_siblings"
	r := start(t, a.keeper(t, rdb, nil, name))
	must(t, start(t, a.keeper(t, rdb, nil, gone)).stop())
	k := start(t, b.keeper(t, rdb, nil, own))
	start(t, b.keeper(t, rdb, nil, siblings))
	ask := func(queues ...string) map[string]error {
		t.Helper()
		refused, err := k.Refuse(t.Context(), queues)
		must(t, err)
		return refused
	}
	refused := ask(name, nobodys, gone, own, siblings)
	if len(refused) != 1 || refusal(t, refused[name]).Owner.ID != a.ID {
		t.Errorf("refused: %v", refused)
	}
	must(t, r.stop())
	rig.Eventually(t, "it is given up", func() bool { return len(ask(name)) == 0 })
}
