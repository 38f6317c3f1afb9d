package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"invoicer/worker"
	"invoicer/worker/client"
)

// latency is how long jobs took from when they should have been enqueued to their committed invoice, in milliseconds.
type latency struct {
	Rate, Jobs        int
	P50, P99, Longest float64
}

// latency lets jobs arrive at random, on average at the rate, whether or not earlier ones have ended. A job's time begins
// when it was due: had it to wait for the enqueuing itself, that counts.
func (b *bench) latency(ctx context.Context, o options, rate int) (latency, error) {
	if err := b.empty(ctx, schema); err != nil {
		return latency{}, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return latency{}, err
	}
	warm := max(10, int(float64(rate)*b.seconds/3)) // these aren't counted
	n := warm + max(100, int(float64(rate)*2*b.seconds))
	due, took := make([]time.Time, n), make([]time.Duration, n)
	var left sync.WaitGroup
	left.Add(n)
	var failed atomic.Pointer[error]
	fail := func(err error) { failed.CompareAndSwap(nil, &err) }
	w, err := newWorkplace(ctx, b, o.common, schema, extras{}, func(e worker.Event) {
		if e.What != worker.Invoiced {
			return
		}
		i, err := strconv.Atoi(strings.TrimPrefix(e.TransactionID, "T"))
		if err != nil || i >= n {
			fail(fmt.Errorf("transaction %s is none of ours", e.TransactionID))
			return
		}
		took[i] = time.Since(due[i])
		left.Done()
	})
	if err != nil {
		return latency{}, err
	}
	defer w.close()
	stop, err := w.start(ctx)
	if err != nil {
		return latency{}, err
	}
	defer stop()
	watched := b.programs.watch()
	if err := b.arrive(ctx, due, rate, w.redis); err != nil {
		return latency{}, err
	}
	all := make(chan struct{})
	go func() { left.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(time.Minute):
		return latency{}, fmt.Errorf("at %d jobs/s not every invoice came in time", rate)
	case <-ctx.Done():
		return latency{}, ctx.Err()
	}
	stop()
	if err := failed.Load(); err != nil {
		return latency{}, *err
	}
	l := newLatency(rate, took[warm:])
	b.tell("latency at %d jobs/s: p50 %.1f ms, p99 %.1f ms, longest %.1f ms%s", rate, l.P50, l.P99, l.Longest, busy(watched.others()))
	return l, b.count(ctx, schema, n, true)
}

// arrive enqueues a job at each of its times, which it sets.
func (b *bench) arrive(ctx context.Context, due []time.Time, rate int, rdb redis.UniversalClient) error {
	c, err := client.New(rdb, client.Options{Queue: queue})
	if err != nil {
		return err
	}
	// Long enough that who decides when a job arrives never waits for who enqueues it.
	arrived := make(chan int, len(due))
	group, ctx := errgroup.WithContext(ctx)
	for range 16 {
		group.Go(func() error {
			for i := range arrived {
				payload, err := synthetic("T", i, 5)
				if err != nil {
					return err
				}
				if _, err := c.EnqueuePayload(ctx, payload); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = arrivals(ctx, rate, len(due), func(i int, at time.Time) {
		due[i] = at
		arrived <- i
	})
	close(arrived)
	if failed := group.Wait(); failed != nil {
		return failed
	}
	return err
}
