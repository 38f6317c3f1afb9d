package autopipeline_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/autopipeline"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// add adds ARGV[1] to the counter KEYS[1], and returns the sum.
var add = redis.NewScript(`return redis.call('INCRBY', KEYS[1], ARGV[1])`)

func connect(t testing.TB, url string, set func(*redis.Options)) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	must(t, err)
	opts.ContextTimeoutEnabled = true
	if set != nil {
		set(opts)
	}
	rdb := redis.NewClient(opts)
	t.Cleanup(func() {
		if err := rdb.Close(); !errors.Is(err, redis.ErrClosed) { // a view has closed it
			must(t, err)
		}
	})
	must(t, add.Load(t.Context(), rdb).Err())
	return rdb
}

// A callerKey is that of a context's caller.
type callerKey struct{}

// uniqueKey is for a server that other tests use too.
func uniqueKey(t testing.TB) string { return t.Name() + ":" + rand.Text() }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A trip is on its way to Redis once it was let go.
type trip struct {
	commands int
	piped    bool
	bounded  bool // its context has a deadline
	of       any  // what its context has of its caller
	proceed  chan struct{}
	broken   bool // a hook panics
}

func (r *trip) letGo() { close(r.proceed) }

// A gate is a hook that holds up each trip of what shares trips until it is let go.
type gate struct{ trips chan *trip }

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		g.hold(ctx, cmd, trip{commands: 1})
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.hold(ctx, cmds[0], trip{commands: len(cmds), piped: true})
		return next(ctx, cmds)
	}
}

func (g *gate) hold(ctx context.Context, first redis.Cmder, r trip) {
	if !shares(first) {
		return
	}
	r.proceed = make(chan struct{})
	_, r.bounded = ctx.Deadline()
	r.of = ctx.Value(callerKey{})
	g.trips <- &r
	<-r.proceed
	if r.broken {
		panic("a hook's")
	}
}

// shares is false for the handshake of a connection, for example.
func shares(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" || cmd.Name() == "hset" }

func (g *gate) next(t *testing.T) *trip {
	t.Helper()
	return rig.Receive(t, g.trips, "a trip on its way")
}

// A bundle is a view whose trips a test lets go one by one.
type bundle struct {
	*gate
	rdb    *redis.Client // the same server, not held up
	view   *autopipeline.Client
	asking sync.WaitGroup
}

func setup(t *testing.T, url string) *bundle {
	t.Helper()
	held := connect(t, url, func(o *redis.Options) { o.MaxRetries = -1 })
	b := &bundle{gate: &gate{trips: make(chan *trip)}, rdb: connect(t, url, nil), view: autopipeline.New(held).(*autopipeline.Client)}
	held.AddHook(b.gate)
	b.view.SetOverdue(time.Hour)
	return b
}

// hurry has a command under way that is held up, and returns it.
func (b *bundle) hurry(t *testing.T) *trip {
	t.Helper()
	b.asking.Go(func() { _ = add.EvalSha(t.Context(), b.view, []string{uniqueKey(t)}, 1).Err() })
	return b.next(t)
}

// queue has so many commands wait for their turn, and returns where their ends will be told.
func (b *bundle) queue(t *testing.T, n int, ask func(i int) error) <-chan error {
	t.Helper()
	ends := make(chan error, n)
	before := b.view.Waiting()
	for i := range n {
		b.asking.Go(func() { ends <- ask(i) })
		rig.Eventually(t, "a command waits for its turn", func() bool { return b.view.Waiting() == before+i+1 })
	}
	return ends
}

// end is the next of the ends.
func end(t *testing.T, ends <-chan error) error {
	t.Helper()
	return rig.Receive(t, ends, "the end of a command")
}
