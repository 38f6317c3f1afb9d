package queue_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/queue"
)

func TestAQueueHasOneInstallation(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(*testing.T) redis.UniversalClient{
		"one server": func(t *testing.T) redis.UniversalClient { return rig.Connect(t, sandboxtest.Redis(t)) },
		"a cluster":  func(t *testing.T) redis.UniversalClient { return clusterOfOne(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, a, b := server(t), newInstallation(t), newInstallation(t)
			name, second := newQueue(a), newQueue(a)+"_2"
			first := start(t, a.keeper(t, rdb, nil, name, second))
			if !first.Owns() || first.Check() != nil {
				t.Error("it doesn't own what it has claimed")
			}
			k := b.keeper(t, rdb, nil, second, name)
			taken := refusal(t, k.Claim(t.Context()))
			if taken.Owner.ID != a.ID || taken.Copy || !slices.Equal(taken.Queues, []string{name, second}) {
				t.Errorf("refused as %+v", taken)
			}
			for _, want := range []string{name, second, a.Database, a.Schema, "last seen alive", "worker.queues", "redis.url", "invoicer queue take"} {
				if message := taken.Error(); !strings.Contains(message, want) || strings.Contains(message, "\n") {
					t.Errorf("it says %q, without %q or on two lines", message, want)
				}
			}
			if k.Owns() {
				t.Error("it owns what it was refused")
			}
			must(t, first.stop())
			if o := owner(t, rdb, name); !o.GivenUp {
				t.Errorf("after a clean end: %+v", o)
			}
			start(t, k)
			if o := owner(t, rdb, name); o.ID != b.ID || o.GivenUp {
				t.Errorf("the owner is %+v", o)
			}
		})
	}
}

// A first start waits for nobody.
func TestAFirstStartIsMadeAtOnce(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	looks := &scriptHook{}
	rdb.AddHook(looks)
	must(t, a.keeper(t, rdb, nil, name).Claim(t.Context()))
	if n := looks.scripts.Load(); n > 2 { // a look and a claim
		t.Errorf("%d scripts were run", n)
	}
}

// A scriptHook counts the scripts that are run.
type scriptHook struct{ scripts atomic.Int64 }

func (*scriptHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *scriptHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && strings.HasPrefix(cmd.Name(), "eval") {
			s.scripts.Add(1)
		}
		return err
	}
}

func (*scriptHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Whoever finds tasks, or a worker that gives signs of life, in a queue that is nobody's, watches it first: its owner may be
// about to say that it is.
func TestAForgottenOwnerIsGivenTime(t *testing.T) {
	t.Parallel()
	for name, sign := range map[string]func(*testing.T, redis.UniversalClient, string){
		"tasks": func(t *testing.T, rdb redis.UniversalClient, name string) { put(t, rdb, name, "", "") },
		"somebody who waits": func(t *testing.T, rdb redis.UniversalClient, name string) {
			go rdb.BLPop(context.WithoutCancel(t.Context()), 0, name) // until the server ends
			rig.Eventually(t, "somebody waits", func() bool {
				return !strings.Contains(rdb.Info(t.Context(), "clients").Val(), "blocked_clients:0")
			})
		},
		"a worker's sign of life": func(t *testing.T, rdb redis.UniversalClient, name string) {
			must(t, rdb.ZAdd(t.Context(), "asynq:servers", redis.Z{Score: 1, Member: "sign-of-" + name}).Err())
			must(t, rdb.Set(t.Context(), "sign-of-"+name, "\x0a\x05"+name+"\x12", 0).Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, a := rig.Connect(t, sandboxtest.PrivateRedis(t).URL), newInstallation(t)
			name := newQueue(a)
			sign(t, rdb, name)
			looks := &scriptHook{}
			rdb.AddHook(looks)
			must(t, a.keeper(t, rdb, nil, name).Claim(t.Context()))
			if n := looks.scripts.Load(); n < 5 {
				t.Errorf("after %d scripts", n)
			}
		})
	}
}

func TestADeadOwnersQueue(t *testing.T) {
	t.Parallel()
	rdb, a, b := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t), newInstallation(t)
	empty, full := newQueue(a), newQueue(a)+"_full"
	must(t, a.keeper(t, rdb, nil, empty, full).Claim(t.Context())) // and never a word again
	put(t, rdb, full, "job", a.ID)

	b.workers.Add(1)
	start(t, b.keeper(t, rdb, nil, empty))
	if o := owner(t, rdb, empty); o.ID != b.ID {
		t.Errorf("the empty queue's owner is %+v", o)
	}
	taken := refusal(t, b.keeper(t, rdb, nil, full).Claim(t.Context()))
	if taken.Tasks.Waiting != 1 || !strings.Contains(taken.Error(), "with 1 tasks left") || !strings.Contains(taken.Error(), "`invoicer queue take "+full+"`") {
		t.Errorf("refused by %+v: %v", taken, taken.Error())
	}
	// Its own workers are let in at once, whatever is in the queue.
	looks, again := &scriptHook{}, rig.Connect(t, sandboxtest.Redis(t))
	again.AddHook(looks)
	must(t, a.keeper(t, again, nil, full).Claim(t.Context()))
	if n := looks.scripts.Load(); n > 2 {
		t.Errorf("after %d scripts", n)
	}
}

func TestAnOwnerThatLeftTasksBehind(t *testing.T) {
	t.Parallel()
	rdb, a, b := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t), newInstallation(t)
	name := newQueue(a)
	r := start(t, a.keeper(t, rdb, nil, name))
	put(t, rdb, name, "", "")
	must(t, r.stop())
	if taken := refusal(t, b.keeper(t, rdb, nil, name).Claim(t.Context())); !strings.Contains(taken.Error(), "given up") {
		t.Errorf("refused by %v", taken.Error())
	}
	start(t, a.keeper(t, rdb, nil, name))
}

func TestSiblingsOwnTogether(t *testing.T) {
	t.Parallel()
	rdb, a, b := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t), newInstallation(t)
	name := newQueue(a)
	first, second := start(t, a.keeper(t, rdb, nil, name)), start(t, a.keeper(t, rdb, nil, name))
	rig.Eventually(t, "both are seen", func() bool { return owner(t, rdb, name).Workers == 2 })
	must(t, first.stop())
	if o := owner(t, rdb, name); o.GivenUp || o.Workers != 1 {
		t.Errorf("after the first has ended: %+v", o)
	}
	refusal(t, b.keeper(t, rdb, nil, name).Claim(t.Context()))
	must(t, second.stop())
	if o := owner(t, rdb, name); !o.GivenUp {
		t.Errorf("after the last has ended: %+v", o)
	}
	start(t, b.keeper(t, rdb, nil, name))
}

func TestACopyOfTheDatabase(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	r := start(t, a.keeper(t, rdb, nil, name))
	c := a.copied(t)
	old, err := c.store.Nonces(t.Context())
	must(t, err)
	rig.Eventually(t, "the owner has a newer nonce", func() bool { return !slices.Contains(old.Latest, owner(t, rdb, name).Nonce) })
	taken := refusal(t, c.keeper(t, rdb, nil, name).Claim(t.Context()))
	if !taken.Copy || !strings.Contains(taken.Error(), "another copy of this database") {
		t.Errorf("refused by %v", taken.Error())
	}
	r.keeps(t)
	must(t, r.stop())
	start(t, c.keeper(t, rdb, nil, name)) // its successor, as after a restore
}

// A copy that is started while the original's database stands still has its latest nonce.
func TestACopyWhoseOriginalStandsStill(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	database := &switched{Witness: a.store}
	r := start(t, a.keeper(t, rdb, database, name))
	database.off.Store(true)
	shown := owner(t, rdb, name).Nonce
	rig.Eventually(t, "the database stands still", func() bool {
		n, err := a.store.Nonces(t.Context())
		must(t, err)
		return n.Age > queue.DeadAfter
	})
	c := a.copied(t)
	if n, err := c.store.Nonces(t.Context()); err != nil || !slices.Contains(n.Latest, shown) {
		t.Fatalf("the copy knows %v, %v", n, err)
	}
	if taken := refusal(t, c.keeper(t, rdb, nil, name).Claim(t.Context())); !taken.Copy {
		t.Errorf("refused by %v", taken.Error())
	}
	r.keeps(t)
	// One of its own that comes back together with the database is let in.
	database.off.Store(false)
	start(t, a.keeper(t, rdb, nil, name))
	r.keeps(t)
}

// Redis is named as what it is asked for in vain.
func TestClaimingWaitsForServers(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	c := &rig.Cut{}
	c.On.Store(true)
	rdb.AddHook(c)
	database := &switched{Witness: a.store}
	claimed := make(chan error, 1)
	k := a.keeper(t, rdb, database, newQueue(a))
	go func() { claimed <- k.Claim(t.Context()) }()
	c.On.Store(false)
	must(t, <-claimed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.On.Store(true)
	if err := a.keeper(t, rdb, nil, newQueue(a)).Claim(ctx); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("ended with %v", err)
	}
}
