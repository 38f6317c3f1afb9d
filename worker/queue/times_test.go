package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/worker/client"
)

// A timeRecorder is a Redis that writes down every time it gets.
type timeRecorder struct {
	mu    sync.Mutex
	seen  map[string]int // names of what had times, and how often
	wrong []string       // those that were by this machine's clock
}

func (r *timeRecorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *timeRecorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.record(cmd)
		return next(ctx, cmd)
	}
}

func (r *timeRecorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		for _, cmd := range all {
			r.record(cmd)
		}
		return next(ctx, all)
	}
}

// record takes for a time what is one in this decade.
func (r *timeRecorder) record(cmd redis.Cmder) {
	const decade = 10 * 365 * 86400
	for i, arg := range cmd.Args() {
		var seconds float64
		switch value := arg.(type) {
		case int64:
			seconds = float64(value)
		case float64:
			seconds = value
		}
		now := float64(time.Now().Unix())
		if seconds > 1e18 && seconds < math.MaxInt64 {
			seconds /= 1e9
		}
		if math.Abs(seconds-now) > decade {
			continue
		}
		name := fmt.Sprint(cmd.Name(), " ", cmd.Args()[2:min(4, len(cmd.Args()))], " ", i)
		if _, kind := kindOf(fmt.Sprint(cmd.Args()[1])); kind != "" || cmd.Name() == "zadd" {
			name = fmt.Sprint(cmd.Name(), " ", kind)
		} else if _, kind := kindOf(fmt.Sprint(cmd.Args()[3])); kind != "" {
			name = fmt.Sprint("script ", cmd.Args()[2], " ", kind, " ", i-3-cmd.Args()[2].(int))
		}
		r.mu.Lock()
		r.seen[name]++
		// The times that asynq knows are now, a lease or a lifetime from now, and how long it keeps statistics and archives.
		for _, around := range []float64{0, 90 * 86400, -90 * 86400} {
			if math.Abs(seconds-now-around) < 86400 {
				r.wrong = append(r.wrong, fmt.Sprint(name, ": ", seconds))
			}
		}
		r.mu.Unlock()
	}
}

func (r *timeRecorder) has(names ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if r.seen[name] == 0 {
			return false
		}
	}
	return true
}

// Whatever asynq does, Redis gets no time of this machine's clock.
func TestEveryTimeIsRedisTime(t *testing.T) {
	t.Parallel()
	for _, days := range []int{40, -40} {
		t.Run(fmt.Sprint(days, " days ahead"), func(t *testing.T) {
			t.Parallel()
			b := newClockBench(t)
			r := &timeRecorder{seen: make(map[string]int)}
			b.script = skewed(days * 86400)
			b.open(t.Context())
			defer b.close()
			rdb := redis.NewClient(b.rdb.Options())
			t.Cleanup(func() { rdb.Close() })
			rdb.AddHook(r)
			b.runEverything(t, rdb)

			want := []string{
				"script 4 pending 0", "script 5 active 1", "script 6 active 1", "script 6 active 2", "script 7 active 1", "script 7 active 2",
				"script 8 t 2", "script 8 t 3", "script 9 t 2", "script 9 t 3", "script 9 t 5", "script 2 retry 0", "script 2 retry 2",
				"script 2 scheduled 0", "script 2 scheduled 2", "script 1 completed 0", "script 1 lease 0", "script 1 aggregation_sets 0",
				"zadd lease", "zadd ",
			}
			deadline := time.Now().Add(30 * time.Second) // asynq extends leases each 5 s
			for !r.has(want...) && time.Now().Before(deadline) {
				time.Sleep(50 * time.Millisecond)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, name := range want {
				if r.seen[name] == 0 {
					t.Errorf("%s wasn't seen", name)
				}
			}
			for name := range r.seen {
				if !slices.Contains(want, name) {
					t.Errorf("%s gets a time, and isn't known", name)
				}
			}
			slices.Sort(r.wrong)
			for _, line := range slices.Compact(r.wrong) {
				t.Errorf("by this machine's clock: %s", line)
			}
		})
	}
}

// runEverything has asynq do all that it does with a time, until the test ends.
func (b *clockBench) runEverything(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	producer := asynq.NewClientFromRedisClient(b.rdb)
	enqueue := func(kind string, options ...asynq.Option) {
		t.Helper()
		if _, err := producer.Enqueue(asynq.NewTask(kind, []byte(uuid.NewString())), append(options, asynq.Queue(b.queue))...); err != nil {
			t.Fatal(err)
		}
	}
	server := asynq.NewServerFromRedisClient(b.correct(rdb), asynq.Config{
		Concurrency: 10, Queues: map[string]int{b.queue: 1}, TaskCheckInterval: 20 * time.Millisecond,
		DelayedTaskCheckInterval: 50 * time.Millisecond, JanitorInterval: 50 * time.Millisecond, Logger: asynqLogger{b.clocks.log, func(error) {}},
	})
	end := make(chan struct{})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch task.Type() {
		case "retry":
			return errors.New("planted")
		case "archive":
			return asynq.SkipRetry
		case "long":
			<-end
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(end)
		server.Shutdown()
	})
	for _, kind := range []string{"done", "retry", "archive", "long"} {
		enqueue(kind)
	}
	enqueue("done", asynq.Unique(time.Hour))
	enqueue("complete", asynq.Retention(time.Hour))
	enqueue("complete", asynq.Retention(time.Hour), asynq.Unique(time.Hour))
}

// A job that a worker with a wrong clock puts back comes back when its delay is over, to whomever; and so soon that the
// worker's own clock can't have been asked.
func TestDelaysAreRedisDelays(t *testing.T) {
	t.Parallel()
	for _, hours := range []int{1, -1} {
		t.Run(fmt.Sprint(hours, " hours ahead"), func(t *testing.T) {
			t.Parallel()
			b := newClockBench(t)
			asked := make(chan struct{}, 1000)
			var inHand atomic.Int64
			handle := func(context.Context, *asynq.Task) error {
				inHand.Add(1)
				defer inHand.Add(-1)
				asked <- struct{}{}
				time.Sleep(100 * time.Millisecond) // in hand, where a lease can be seen
				return errors.New("planted")
			}
			server, err := NewConsumer(b.rdb, ConsumerOptions{
				Worker: "w1", Concurrency: 512, Queues: map[string]int{b.queue: 1}, ShutdownTimeout: time.Second, Free: func() int { return 512 },
				RetryDelay: func(int, error, *asynq.Task) time.Duration { return Between(time.Second, 5*time.Second) },
				IsFailure:  func(error) bool { return false },
			})
			if err != nil {
				t.Fatal(err)
			}
			server.clocks.script = skewed(hours * 3600)
			now := b.now(t) + float64(hours)*3600
			b.add(t, "scheduled", "due", now-1)
			if err := server.Start(asynq.HandlerFunc(handle)); err != nil {
				t.Fatal(err)
			}
			defer server.Shutdown()
			rig.Eventually(t, "the job that was due", func() bool {
				n, err := b.rdb.ZCard(t.Context(), b.prefix+"scheduled").Result()
				return err == nil && n == 0
			})
			producer, err := client.New(b.rdb, client.Options{Queue: b.queue, Producer: "test"})
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := producer.EnqueuePayload(t.Context(), []byte(`{"transaction_id": "T1", "customer_id": "c", "country": "France",
				"currency": "EUR", "issued_at": "2026-01-01T00:00:00Z", "lines": [{"sku": "a", "quantity": 1, "unit_price": "1"}]}`))
			if err != nil {
				t.Fatal(err)
			}
			<-asked
			rig.Eventually(t, "the job's return", func() bool {
				n, err := b.rdb.ZCard(t.Context(), b.prefix+"retry").Result()
				return err == nil && n == 1
			})
			b.wantAt(t, "retry", receipt.JobID, now)
			rig.Eventually(t, "the next attempt", func() bool {
				b.wantLeasesAt(t, now)
				return inHand.Load() > 0
			})
		})
	}
}

// wantLeasesAt wants every lease to end soon after now.
func (b *clockBench) wantLeasesAt(t *testing.T, now float64) {
	t.Helper()
	leases, err := b.rdb.ZRangeWithScores(t.Context(), b.prefix+"lease", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, lease := range leases {
		if math.Abs(lease.Score-now) > 100 {
			t.Errorf("the lease of %s ends at %.0f, want about %.0f", lease.Member, lease.Score, now)
		}
	}
}
