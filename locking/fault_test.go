package locking_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/dropproxy"
)

// TestLostReply loses the reply to one call each, which go-redis then sends again.
func TestLostReply(t *testing.T) {
	t.Parallel()
	addr := startRedis(t, nil)
	warm(t, setup(t, connect(t, redis.UniversalOptions{Addrs: []string{addr}})))

	tests := map[string]func(*testing.T, *bundle, func()){
		"acquire": func(t *testing.T, b *bundle, lose func()) {
			lose()
			lock := b.acquire(t, anna)
			b.wantHeld(t, anna)
			must(t, lock.Release(t.Context()))
		},
		"extend": func(t *testing.T, b *bundle, lose func()) {
			lock := b.acquire(t, anna)
			lose()
			must(t, lock.Extend(t.Context(), 2*ttl))
			wantWithin(t, "extended", b.pttl(t, b.lockKey()), ttl, 2*ttl)
		},
		"release": func(t *testing.T, b *bundle, lose func()) {
			lock := b.acquire(t, anna)
			lose()
			wantLost(t, lock.Release(t.Context()))
			b.wantNotHeld(t)
		},
		"finish": func(t *testing.T, b *bundle, lose func()) {
			lock := b.acquire(t, anna)
			lose()
			wantLost(t, lock.Finish(t.Context(), "x", ttl))
			b.wantNotHeld(t)
			b.wantDone(t, bert, "x")
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var losing atomic.Bool
			b := &bundle{key: "stock:7", prefix: t.Name() + ":"}
			proxy := dropproxy.Start(t, "tcp", addr, func(request []byte) bool {
				return bytes.Contains(request, []byte(b.lockKey())) && losing.CompareAndSwap(true, false)
			})
			b.client = connect(t, redis.UniversalOptions{Addrs: []string{proxy.Addr()}})
			b.locker = b.newLocker(t, b.prefix, ttl)
			test(t, b, func() { losing.Store(true) })
			if got := proxy.Dropped(); got != 1 {
				t.Errorf("%d replies were lost, want 1", got)
			}
		})
	}
}

// warm has Redis know the scripts, so that each call is one request.
func warm(t *testing.T, b *bundle) {
	t.Helper()
	lock := b.acquire(t, anna)
	b.wantHeld(t, anna)
	_, _, err := b.locker.Holder(t.Context(), b.key)
	must(t, err)
	must(t, lock.Extend(t.Context(), ttl))
	must(t, lock.Release(t.Context()))
	must(t, b.acquire(t, anna).Finish(t.Context(), "x", ttl))
	_, err = b.locker.Forget(t.Context(), b.key, "x")
	must(t, err)
}

func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	b := setup(t, single(t))
	warm(t, b)
	var trips atomic.Int64
	b.client.AddHook(countHook{&trips})
	warm(t, b)
	if got := trips.Load(); got != 8 {
		t.Errorf("8 calls made %d round trips", got)
	}
}

type countHook struct{ trips *atomic.Int64 }

func (countHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h countHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.trips.Add(1)
		return next(ctx, cmd)
	}
}

func (h countHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.trips.Add(1)
		return next(ctx, cmds)
	}
}

// TestDeadline asks a Redis that doesn't answer, through a client that would wait far longer than the context.
func TestDeadline(t *testing.T) {
	t.Parallel()
	addr := startRedis(t, nil)
	b := setup(t, connect(t, redis.UniversalOptions{Addrs: []string{addr}, ReadTimeout: patience, MaxRetries: -1}))
	lock := b.acquire(t, anna)
	boss := connect(t, redis.UniversalOptions{Addrs: []string{addr}})
	must(t, boss.ClientPause(t.Context(), time.Hour).Err())

	calls := map[string]func(context.Context) error{
		"acquire": func(ctx context.Context) error { _, err := b.locker.Acquire(ctx, b.key, bert); return err },
		"holder":  func(ctx context.Context) error { _, _, err := b.locker.Holder(ctx, b.key); return err },
		"forget":  func(ctx context.Context) error { _, err := b.locker.Forget(ctx, b.key, "x"); return err },
		"extend":  func(ctx context.Context) error { return lock.Extend(ctx, ttl) },
		"release": lock.Release,
		"finish":  func(ctx context.Context) error { return lock.Finish(ctx, "x", ttl) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			if took := time.Since(began); took > patience/2 {
				t.Errorf("took %v", took)
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want a deadline's error", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	b := setup(t, nowhere(t))
	_, err := b.locker.Acquire(t.Context(), b.key, anna)
	if _, ok := errors.AsType[*net.OpError](err); !ok || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want the network's own error", err)
	}
}

// TestFull has no memory left: nobody gets a lock, but those who have one can end their work.
func TestFull(t *testing.T) {
	t.Parallel()
	b := setup(t, single(t))
	first := b.acquire(t, anna)
	b.key = "stock:8"
	second := b.acquire(t, anna)
	must(t, b.client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	b.key = "stock:9"
	if _, err := b.locker.Acquire(t.Context(), b.key, anna); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("acquire: %v, want Redis's own error", err)
	}
	must(t, first.Release(t.Context()))
	must(t, second.Finish(t.Context(), "x", ttl))
	b.key = "stock:8"
	b.wantDone(t, bert, "x")
}
