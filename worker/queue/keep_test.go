package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// A switched database doesn't answer while it is off.
type switched struct {
	queue.Witness
	off   atomic.Bool
	asked atomic.Int64
}

var errOff = errors.New("off")

func (s *switched) Nonces(ctx context.Context) (ledger.Nonces, error) {
	if s.off.Load() {
		return ledger.Nonces{}, errOff
	}
	return s.Witness.Nonces(ctx)
}

func (s *switched) RenewNonce(ctx context.Context) (ledger.Nonces, error) {
	s.asked.Add(1)
	if s.off.Load() {
		return ledger.Nonces{}, errOff
	}
	return s.Witness.RenewNonce(ctx)
}

// renewals waits until an owner has said that it lives so many times more, and nobody else has said anything.
func renewals(t *testing.T, rdb redis.UniversalClient, name, id string, times int) {
	t.Helper()
	last := ""
	for range times + 1 {
		rig.Eventually(t, "the owner is renewed", func() bool {
			o := owner(t, rdb, name)
			beats, err := rdb.HGet(t.Context(), "invoicer:owner:{"+name+"}", "beats").Result()
			if o.ID != id || err != nil || beats == last {
				return false
			}
			last = beats
			return true
		})
	}
}

func TestARunningOwnerOutlastsWhateverStandsInRedis(t *testing.T) {
	t.Parallel()
	stranger := queue.Installation{ID: uuid.NewString(), Database: "elsewhere", Schema: "theirs"}
	for what, plant := range map[string]func(context.Context, redis.UniversalClient, string, queue.Owner) error{
		"everything is forgotten": func(ctx context.Context, rdb redis.UniversalClient, _ string, _ queue.Owner) error {
			return rdb.FlushAll(ctx).Err()
		},
		"another type": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return errors.Join(rdb.Del(ctx, key).Err(), rdb.RPush(ctx, key, "x").Err())
		},
		"the set of queues is another type": func(ctx context.Context, rdb redis.UniversalClient, _ string, _ queue.Owner) error {
			return errors.Join(rdb.Del(ctx, "invoicer:queues").Err(), rdb.Set(ctx, "invoicer:queues", "x", 0).Err())
		},
		"a hash without an owner": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return errors.Join(rdb.Del(ctx, key).Err(), rdb.HSet(ctx, key, "x", "y").Err())
		},
		"fields that aren't numbers": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return rdb.HSet(ctx, key, "beats", "1e999", "since", "nan", "at", "-").Err()
		},
		"an older owner that isn't there": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return rdb.HSet(ctx, key, "installation", stranger.ID, "since", "1", "nonce", uuid.NewString()).Err()
		},
		"an owner from the future": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return rdb.HSet(ctx, key, "installation", stranger.ID, "at", "99999999999999", "nonce", uuid.NewString()).Err()
		},
		"a nonce of nobody's": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return rdb.HSet(ctx, key, "nonce", uuid.NewString()).Err()
		},
		"given up, says somebody": func(ctx context.Context, rdb redis.UniversalClient, key string, _ queue.Owner) error {
			return rdb.HSet(ctx, key, "released", "1").Err()
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			rdb, a, b := rig.Connect(t, sandboxtest.PrivateRedis(t).URL), newInstallation(t), newInstallation(t)
			name := newQueue(a)
			r := start(t, a.keeper(t, rdb, nil, name))
			renewals(t, rdb, name, a.ID, 1)
			for range 2 {
				must(t, plant(t.Context(), rdb, "invoicer:owner:{"+name+"}", owner(t, rdb, name)))
				put(t, rdb, name, "", "") // so that nobody takes it for a first start
				refusal(t, b.keeper(t, rdb, nil, name).Claim(t.Context()))
			}
			renewals(t, rdb, name, a.ID, 1)
			rig.Eventually(t, "a nonce of its own stands there", func() bool {
				n, err := a.store.Nonces(t.Context())
				must(t, err)
				o := owner(t, rdb, name)
				return len(n.Latest) > 1 && !o.GivenUp && (o.Nonce == n.Latest[0] || o.Nonce == n.Latest[1])
			})
			r.keeps(t)
		})
	}
}

// Who begins in an empty queue just when Redis has forgotten its owner finds out within the time that it would have had to
// wait. Meanwhile it takes no more jobs.
func TestANewcomerGivesWay(t *testing.T) {
	t.Parallel()
	for range 3 {
		rdb, a, b := rig.Connect(t, sandboxtest.PrivateRedis(t).URL), newInstallation(t), newInstallation(t)
		name := newQueue(a)
		r := start(t, a.keeper(t, rdb, nil, name))
		rig.Eventually(t, "it is no newcomer itself", func() bool {
			return rdb.HGet(t.Context(), "invoicer:owner:{"+name+"}", "newcomer").Val() == ""
		})
		must(t, rdb.FlushAll(t.Context()).Err())
		k := b.keeper(t, rdb, nil, name)
		if err := k.Claim(t.Context()); err != nil { // the owner was faster
			refusal(t, err)
			continue
		}
		newcomer := keep(t, k)
		rig.Eventually(t, "it takes no more jobs", func() bool {
			r.keeps(t)
			newcomer.keeps(t) // it doesn't take them until it ends
			return !newcomer.Owns()
		})
		if taken := newcomer.lost(t); taken.Owner.ID != a.ID {
			t.Errorf("lost to %v", taken.Error())
		}
		renewals(t, rdb, name, a.ID, 1)
		r.keeps(t)
	}
}

// So does who began while the owner was cut off from a Redis that had forgotten it.
func TestANewcomerGivesWayToWhoComesBack(t *testing.T) {
	t.Parallel()
	server, a, b := sandboxtest.PrivateRedis(t), newInstallation(t), newInstallation(t)
	rdb, theirs, name, c := rig.Connect(t, server.URL), rig.Connect(t, server.URL), newQueue(a), &rig.Cut{}
	theirs.AddHook(c)
	r := start(t, a.keeper(t, theirs, nil, name))
	renewals(t, rdb, name, a.ID, 4) // it is no newcomer itself
	c.On.Store(true)
	rig.Eventually(t, "it says that it doesn't own its queue", func() bool { return !r.Owns() })
	must(t, rdb.FlushAll(t.Context()).Err())
	newcomer := start(t, b.keeper(t, rdb, nil, name))
	c.On.Store(false)
	select {
	case <-newcomer.done:
	case <-r.done:
	}
	r.keeps(t)
	if taken := newcomer.lost(t); taken.Owner.ID != a.ID {
		t.Errorf("lost to %v", taken.Error())
	}
	renewals(t, rdb, name, a.ID, 1)
	r.keeps(t)
}

// Where two live that both believe they own a queue, as after two halves of a Redis have worked apart, the older one stays.
func TestOfTwoOwnersTheOlderStays(t *testing.T) {
	t.Parallel()
	rdb, a, b := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t), newInstallation(t)
	name, elsewhere := newQueue(a), rig.Connect(t, sandboxtest.PrivateRedis(t).URL)
	older := start(t, a.keeper(t, rdb, nil, name))
	renewals(t, rdb, name, a.ID, 1)
	put(t, elsewhere, name, "", "") // it watches first, and is no newcomer
	moving := &moved{UniversalClient: elsewhere, to: rdb}
	k := b.keeper(t, moving, nil, name)
	must(t, k.Claim(t.Context()))
	younger := keep(t, k)
	renewals(t, elsewhere, name, b.ID, 1)
	moving.on.Store(true)
	if taken := younger.lost(t); taken.Owner.ID != a.ID {
		t.Errorf("lost to %v", taken.Error())
	}
	renewals(t, rdb, name, a.ID, 1)
	older.keeps(t)
	if younger.Owns() {
		t.Error("who has lost a queue owns it")
	}
}

// A moved client goes on with another server.
type moved struct {
	redis.UniversalClient
	to redis.UniversalClient
	on atomic.Bool
}

func (m *moved) now() redis.UniversalClient {
	if m.on.Load() {
		return m.to
	}
	return m.UniversalClient
}

func (m *moved) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return m.now().EvalSha(ctx, sha1, keys, args...)
}

func (m *moved) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return m.now().Eval(ctx, script, keys, args...)
}

// A process that was cut off, or stopped, for longer than an owner may be silent must see that another one works there.
func TestAnOwnerThatComesBackTooLate(t *testing.T) {
	t.Parallel()
	server, a, b := sandboxtest.Redis(t), newInstallation(t), newInstallation(t)
	rdb, name := rig.Connect(t, server), newQueue(a)
	c, theirs := &rig.Cut{}, rig.Connect(t, server)
	theirs.AddHook(c)
	r := start(t, a.keeper(t, theirs, nil, name))
	renewals(t, rdb, name, a.ID, 1)
	c.On.Store(true)
	successor := start(t, b.keeper(t, rdb, nil, name))
	if r.Owns() || r.Check() == nil {
		t.Error("it owns the queue that another one has taken")
	}
	c.On.Store(false)
	if taken := r.lost(t); taken.Owner.ID != b.ID {
		t.Errorf("lost to %v", taken.Error())
	}
	renewals(t, rdb, name, b.ID, 1)
	successor.keeps(t)
}

func TestAnOutageEndsNoOwnership(t *testing.T) {
	t.Parallel()
	t.Run("of Postgres", func(t *testing.T) {
		t.Parallel()
		rdb, a, b := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t), newInstallation(t)
		name, database := newQueue(a), &switched{Witness: a.store}
		r := start(t, a.keeper(t, rdb, database, name))
		database.off.Store(true)
		renewals(t, rdb, name, a.ID, 5)
		refusal(t, b.keeper(t, rdb, nil, name).Claim(t.Context()))
		r.keeps(t)
		if !r.Owns() {
			t.Error("it doesn't own its queue")
		}
	})
	t.Run("of Redis", func(t *testing.T) {
		t.Parallel()
		server := sandboxtest.PrivateRedis(t)
		rdb, a, b := rig.Connect(t, server.URL), newInstallation(t), newInstallation(t)
		name, database := newQueue(a), &switched{Witness: a.store}
		r := start(t, a.keeper(t, rdb, database, name))
		must(t, server.Kill())
		asked := database.asked.Load()
		rig.Eventually(t, "it says that it doesn't own its queue", func() bool { return r.Check() != nil })
		if database.asked.Load() == asked {
			t.Error("no nonce was written meanwhile")
		}
		claimed, k := make(chan error, 1), b.keeper(t, rdb, nil, name)
		go func() { claimed <- k.Claim(t.Context()) }()
		must(t, server.Restart(t.Context())) // it comes back empty
		if err := <-claimed; err == nil {
			keep(t, k).lost(t) // as a newcomer to an empty queue
		} else {
			refusal(t, err)
		}
		r.keeps(t)
		rig.Eventually(t, "it owns its queue", r.Owns)
	})
	t.Run("of a Redis that hangs", func(t *testing.T) {
		t.Parallel()
		server := sandboxtest.PrivateRedis(t)
		rdb, a, b := rig.Connect(t, server.URL), newInstallation(t), newInstallation(t)
		name := newQueue(a)
		r := start(t, a.keeper(t, rdb, nil, name))
		put(t, rdb, name, "", "")
		claimed := make(chan error, 1)
		go func() { claimed <- b.keeper(t, rdb, nil, name).Claim(t.Context()) }()
		must(t, server.Pause())
		rig.Eventually(t, "it says that it doesn't own its queue", func() bool { return !r.Owns() })
		must(t, server.Resume())
		refusal(t, <-claimed)
		r.keeps(t)
	})
}

// A database that fails over to a standby, or is restored under its workers, forgets its latest nonces.
func TestADatabaseThatForgets(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	late := &switched{Witness: a.store}
	first, second := start(t, a.keeper(t, rdb, nil, name)), start(t, a.keeper(t, rdb, late, name))
	renewals(t, rdb, name, a.ID, 2)
	late.off.Store(true) // it finds the new primary later
	a.database.Exec(t, "UPDATE queue_nonces SET nonces = ARRAY[gen_random_uuid()]")
	must(t, rdb.HSet(t.Context(), "invoicer:owner:{"+name+"}", "nonce", uuid.NewString()).Err()) // that neither has read in time
	// Both renew it each second, and the first one's nonces stand there after three.
	renewals(t, rdb, name, a.ID, 20)
	late.off.Store(false)
	renewals(t, rdb, name, a.ID, 4)
	first.keeps(t)
	second.keeps(t)
	rig.Eventually(t, "the nonce is known", func() bool {
		n, err := a.store.Nonces(t.Context())
		must(t, err)
		return n.Latest[0] == owner(t, rdb, name).Nonce
	})
}

// What a database has forgotten, its workers know, and go on as if nothing had happened.
func TestANonceThatTheDatabaseForgot(t *testing.T) {
	t.Parallel()
	rdb, a := rig.Connect(t, sandboxtest.Redis(t)), newInstallation(t)
	name := newQueue(a)
	r := start(t, a.keeper(t, rdb, nil, name))
	renewals(t, rdb, name, a.ID, 2)
	a.database.Exec(t, "UPDATE queue_nonces SET nonces = ARRAY[gen_random_uuid()]")
	rig.Eventually(t, "the nonce is known", func() bool {
		n, err := a.store.Nonces(t.Context())
		must(t, err)
		return slices.Contains(n.Latest, owner(t, rdb, name).Nonce)
	})
	beats, err := rdb.HGet(t.Context(), "invoicer:owner:{"+name+"}", "beats").Int()
	if err != nil || beats < 3 { // they are counted anew from each claim
		t.Errorf("%d beats, error %v: it has claimed its queue again", beats, err)
	}
	r.keeps(t)
}
