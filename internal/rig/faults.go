package rig

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/fault"
)

// A Gate stops the first job that comes to a point until it is opened, and lets all others pass.
type Gate struct {
	Reached chan struct{} // is closed when the job is there
	Result  error         // is what the point returns to it

	at    fault.Point
	taken atomic.Bool
	open  chan struct{}
	once  sync.Once
}

// NewGate returns a gate at a point.
func NewGate(at fault.Point) *Gate {
	return &Gate{at: at, Reached: make(chan struct{}), open: make(chan struct{})}
}

// Hook is a [fault.Hook].
func (g *Gate) Hook(_ context.Context, p fault.Point) error {
	if p != g.at || !g.taken.CompareAndSwap(false, true) {
		return nil
	}
	close(g.Reached)
	<-g.open
	return g.Result
}

// Await returns once a job stands at the gate.
func (g *Gate) Await(t testing.TB) {
	t.Helper()
	Receive(t, g.Reached, "a job at "+string(g.at))
}

// Open lets the job go on. A gate that is open already stays so.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

// A Cut is a hook of a Redis client that keeps every command from the server while it is on.
type Cut struct{ On atomic.Bool }

// DialHook lets connections be made: what they are for doesn't get through.
func (*Cut) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook keeps a command from the server.
func (c *Cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.On.Load() {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook keeps many from it.
func (c *Cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if c.On.Load() {
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmds)
	}
}
