package autopipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/autopipeline"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// A reply is what a caller gets.
type reply struct {
	value any
	err   error
}

// some are commands whose replies depend on those before, on a counter, a hash and what is neither.
func some() []func(context.Context, redis.UniversalClient, string, int) reply {
	run := func(source string, args ...any) func(context.Context, redis.UniversalClient, string, int) reply {
		script := redis.NewScript(source)
		return func(ctx context.Context, rdb redis.UniversalClient, key string, n int) reply {
			value, err := script.Run(ctx, rdb, []string{key + ":counter", key + ":hash"}, append([]any{n}, args...)...).Result()
			return reply{value, err}
		}
	}
	set := func(key string, values func(n int) []any) func(context.Context, redis.UniversalClient, string, int) reply {
		return func(ctx context.Context, rdb redis.UniversalClient, prefix string, n int) reply {
			value, err := rdb.HSet(ctx, prefix+key, values(n)...).Result()
			return reply{value, err}
		}
	}
	return []func(context.Context, redis.UniversalClient, string, int) reply{
		run(`return redis.call('INCRBY', KEYS[1], ARGV[1])`),
		run(`return redis.call('GET', KEYS[1])`),
		run(`return redis.call('DEL', KEYS[1])`),
		run(`return {redis.call('HMGET', KEYS[2], 'm', 'field'), redis.call('HLEN', KEYS[2]), ARGV, false, redis.status_reply('fine')}`, []byte("\r\n\x00"), "text", int64(7)),
		run(`return ARGV`, 1.5, true, time.Second),
		run(`return ARGV`, nil),
		run(`return redis.call('INCR', KEYS[2])`),
		run(`return redis.error_reply('NOT FOUND')`),
		func(ctx context.Context, rdb redis.UniversalClient, key string, _ int) reply {
			script := redis.NewScript(`return redis.error_reply('NOSCRIPT of its own')`)
			if err := script.Load(ctx, rdb).Err(); err != nil {
				return reply{err: err}
			}
			value, err := script.EvalSha(ctx, rdb, []string{key}).Result()
			return reply{value, err}
		},
		func(ctx context.Context, rdb redis.UniversalClient, key string, n int) reply {
			value, err := rdb.EvalSha(ctx, fmt.Sprintf("%040d", n), nil).Result()
			return reply{value, err}
		},
		func(ctx context.Context, rdb redis.UniversalClient, key string, n int) reply {
			value, err := rdb.EvalSha(ctx, add.Hash(), []string{key + ":counter"}, []string{fmt.Sprint(n), "more"}).Result()
			return reply{value, err}
		},
		set(":hash", func(n int) []any { return []any{"field", n} }),
		set(":hash", func(n int) []any { return []any{fmt.Sprint(n), []byte("bytes"), "b", int64(n)} }),
		set(":hash", func(n int) []any { return []any{map[string]any{"m": n}} }),
		set(":hash", func(int) []any { return []any{"a field without value"} }),
		set(":hash", func(int) []any { return nil }),
		set(":hash", func(int) []any { return []any{"a", struct{}{}} }), // go-redis can't encode it
		set(":counter", func(n int) []any { return []any{"field", n} }),
	}
}

// Each of many goroutines gets, for the same random commands in the same order, what another client gives.
func TestRepliesAreAsWithoutIt(t *testing.T) {
	t.Parallel()
	const callers, rounds = 32, 60
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			t.Parallel()
			plain := connect(t, sandboxtest.Redis(t), func(o *redis.Options) { o.Protocol = protocol })
			shared := connect(t, sandboxtest.Redis(t), func(o *redis.Options) { o.Protocol = protocol })
			var trips counter
			shared.AddHook(&trips)
			view := autopipeline.New(shared)
			commands := some()
			var asking sync.WaitGroup
			for range callers {
				asking.Go(func() {
					one, other := uniqueKey(t), uniqueKey(t)
					for range rounds {
						which, n := rand.IntN(len(commands)), rand.IntN(100)
						want, got := commands[which](t.Context(), plain, one, n), commands[which](t.Context(), view, other, n)
						if !reflect.DeepEqual(got, want) {
							t.Errorf("command %d of %d: %#v, want %#v", which, n, got, want)
							return
						}
					}
				})
			}
			asking.Wait()
			if trips.pipelines.Load() == 0 {
				t.Error("no commands shared a round trip")
			}
		})
	}
}

type counter struct{ pipelines atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if shares(cmds[0]) {
			c.pipelines.Add(1)
		}
		return next(ctx, cmds)
	}
}

// What arrives while something is under way goes together, in the order of its arrival; what is alone goes as it is.
func TestWhoGoesTogether(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	key := uniqueKey(t)
	first := b.hurry(t)
	ends := b.queue(t, autopipeline.MostAtOnce+3, func(i int) error {
		n, err := add.EvalSha(t.Context(), b.view, []string{key}, 1).Int()
		if err == nil && n != i+1 {
			err = fmt.Errorf("the %dth to ask was the %dth to be served", i+1, n)
		}
		return err
	})
	wantTrip(t, first, 1, false)
	second := b.next(t)
	last := b.queue(t, 1, func(int) error { return b.view.HSet(t.Context(), uniqueKey(t), "a", 1).Err() })
	wantTrip(t, second, autopipeline.MostAtOnce, true)
	third := b.next(t)
	late := b.queue(t, 1, func(int) error { return b.view.HSet(t.Context(), uniqueKey(t), "a", 1).Err() })
	wantTrip(t, third, 4, true)
	wantTrip(t, b.next(t), 1, false)
	for range autopipeline.MostAtOnce + 3 {
		must(t, end(t, ends))
	}
	must(t, end(t, last))
	must(t, end(t, late))
	b.asking.Wait()
	wantTrip(t, b.hurry(t), 1, false)
	b.asking.Wait()
}

// A batch that doesn't come back holds up neither those who wait already nor those who come then; once it has come back,
// everybody shares again.
func TestAnOverdueBatchHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	b.view.SetOverdue(20 * time.Millisecond)
	first := b.hurry(t)
	for range 3 {
		const together = 5
		ends := make(chan error, together)
		for range together {
			b.asking.Go(func() { ends <- b.view.HSet(t.Context(), uniqueKey(t), "a", 1).Err() })
		}
		for left := together; left > 0; {
			one := b.next(t)
			left -= one.commands
			one.letGo()
		}
		for range together {
			must(t, end(t, ends))
		}
	}
	wantTrip(t, first, 1, false)
	b.asking.Wait()
	rig.Eventually(t, "one batch at a time again", func() bool { return b.view.Most() == 1 })
}

// wantTrip lets the trip go. Whatever it is, its end must be certain.
func wantTrip(t *testing.T, r *trip, commands int, piped bool) {
	t.Helper()
	if r.commands != commands || r.piped != piped {
		t.Errorf("%d commands went (in a pipeline: %v), want %d (%v)", r.commands, r.piped, commands, piped)
	}
	if !r.bounded {
		t.Error("nothing bounds the trip")
	}
	r.letGo()
}

func TestUnknownScript(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	key := uniqueKey(t)
	script := redis.NewScript(`return redis.call('INCR', KEYS[1]) -- ` + key)
	first := b.hurry(t)
	const callers = 3
	ends := b.queue(t, callers, func(int) error { return script.Run(t.Context(), b.view, []string{key}).Err() })
	wantTrip(t, first, 1, false)
	wantTrip(t, b.next(t), callers, true)
	for range callers {
		must(t, end(t, ends))
	}
	b.asking.Wait()
	if n, err := b.rdb.Get(t.Context(), key).Int(); err != nil || n != callers {
		t.Errorf("the script ran %d times (%v), want %d", n, err, callers)
	}
}

// A command whose context ends while it waits for its turn returns at once, and is never sent.
func TestGivenUpBeforeItsTurn(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	key := uniqueKey(t)
	first := b.hurry(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := b.queue(t, autopipeline.MostAtOnce+1, func(int) error { return add.EvalSha(ctx, b.view, []string{key}, 1).Err() })
	rest := b.queue(t, 2, func(int) error { return b.view.HSet(t.Context(), uniqueKey(t), "a", 1).Err() })
	cancel()
	for range autopipeline.MostAtOnce + 1 {
		wantError(t, end(t, gone), context.Canceled)
	}
	wantTrip(t, first, 1, false)
	wantTrip(t, b.next(t), 2, true)
	for range 2 {
		must(t, end(t, rest))
	}
	b.asking.Wait()

	// Alone, it isn't sent either.
	wantError(t, add.EvalSha(ctx, autopipeline.New(b.rdb), []string{key}, 1).Err(), context.Canceled)
	if n := b.rdb.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("a command was carried out that nobody waited for")
	}

	// All have gone: the next one must find the way free.
	first = b.hurry(t)
	ctx, cancel = context.WithCancel(t.Context())
	gone = b.queue(t, 1, func(int) error { return b.view.HSet(ctx, key, "a", 1).Err() })
	cancel()
	wantError(t, end(t, gone), context.Canceled)
	wantTrip(t, first, 1, false)
	b.asking.Wait()
	wantTrip(t, b.hurry(t), 1, false)
	b.asking.Wait()
}

// A command whose context ends while its batch is under way returns at once. The batch stays whole, and is of what was
// asked for, whatever the caller does with its arguments now.
func TestGivenUpUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	hash, counter := uniqueKey(t), uniqueKey(t)
	first := b.hurry(t)
	ctx, cancel := context.WithCancel(t.Context())
	value := []byte("as asked for")
	var given atomic.Pointer[redis.IntCmd]
	gone := b.queue(t, 1, func(int) error {
		given.Store(b.view.HSet(ctx, hash, "a", value))
		return given.Load().Err()
	})
	scripts := b.queue(t, 1, func(int) error { return add.EvalSha(ctx, b.view, []string{counter}, 1).Err() })
	rest := b.queue(t, 1, func(int) error { return add.EvalSha(t.Context(), b.view, []string{counter}, 1).Err() })
	wantTrip(t, first, 1, false)
	second := b.next(t)
	cancel()
	wantError(t, end(t, gone), context.Canceled)
	wantError(t, end(t, scripts), context.Canceled)
	copy(value, "something else")
	wantTrip(t, second, 3, true)
	must(t, end(t, rest))
	b.asking.Wait()
	wantError(t, given.Load().Err(), context.Canceled) // still
	if got := b.rdb.HGet(t.Context(), hash, "a").Val(); got != "as asked for" {
		t.Errorf("Redis has %q", got)
	}
	if got := b.rdb.Get(t.Context(), counter).Val(); got != "2" {
		t.Errorf("the counter is at %q, want 2", got)
	}
}

// A Redis that hangs holds nobody up for longer than they want to wait.
func TestDeadline(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivateRedis(t)
	view := autopipeline.New(connect(t, server.URL, nil))
	must(t, server.Pause())
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := add.EvalSha(ctx, view, []string{"counter"}, 1).Err(); !isTimeout(err) {
				t.Errorf("%v, want the deadline's error", err)
			}
		})
	}
	asking.Wait()
	must(t, server.Resume())
	must(t, add.Run(t.Context(), view, []string{"counter"}, 1).Err())
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout()
}

func TestServerDiesUnderWay(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivateRedis(t)
	b := setup(t, server.URL)
	first := b.hurry(t)
	const callers = 40
	ends := b.queue(t, callers, func(int) error { return add.EvalSha(t.Context(), b.view, []string{"counter"}, 1).Err() })
	wantTrip(t, first, 1, false)
	second := b.next(t)
	must(t, server.Pause()) // it gets the commands and answers none
	wantTrip(t, second, callers, true)
	must(t, server.Kill())
	for range callers {
		if end(t, ends) == nil {
			t.Error("a command was answered by a dead server")
		}
	}
	b.asking.Wait()
	must(t, server.Restart(t.Context()))
	b.asking.Go(func() { b.next(t).letGo() })
	must(t, b.view.HSet(t.Context(), "hash", "a", 1).Err())
	b.asking.Wait()
}

// Whose hook panics frees the way for those behind.
func TestPanic(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	b.asking.Go(func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		b.view.HSet(t.Context(), uniqueKey(t), "a", 1)
	})
	first := b.next(t)
	ends := b.queue(t, 1, func(int) error { return b.view.HSet(t.Context(), uniqueKey(t), "a", 1).Err() })
	first.broken = true
	first.letGo()
	wantTrip(t, b.next(t), 1, false)
	must(t, end(t, ends))
	b.asking.Wait()
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// All others would wait for it.
func TestALargeCommandGoesByItself(t *testing.T) {
	t.Parallel()
	b := setup(t, sandboxtest.Redis(t))
	first := b.hurry(t)
	for _, large := range []any{strings.Repeat("x", 100_000), make([]byte, 100_000)} {
		b.asking.Go(func() { _ = add.EvalSha(t.Context(), b.view, []string{uniqueKey(t)}, large).Err() })
		b.next(t).letGo() // while the first is still under way
	}
	first.letGo()
	b.asking.Wait()
}

// While one of its nodes is away, what goes to the others would wait for it.
func TestAClusterSharesNoRoundTrips(t *testing.T) {
	t.Parallel()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer cluster.Close()
	if view := autopipeline.New(cluster); view != redis.UniversalClient(cluster) {
		t.Errorf("a view of type %T", view)
	}
}
