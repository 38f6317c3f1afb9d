package autopipeline_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/autopipeline"
	"invoicer/internal/sandbox/sandboxtest"
)

// clients are what is compared.
func clients(b *testing.B) map[string]redis.UniversalClient {
	b.Helper()
	rdb := connect(b, sandboxtest.Redis(b), func(o *redis.Options) { o.PoolSize = 100 })
	return map[string]redis.UniversalClient{"plain": rdb, "shared": autopipeline.New(rdb)}
}

func BenchmarkLone(b *testing.B) {
	for name, rdb := range clients(b) {
		b.Run(name, func(b *testing.B) {
			key := uniqueKey(b)
			for b.Loop() {
				if err := add.Run(b.Context(), rdb, []string{key}, 1).Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConcurrent has each of so many goroutines wait for its reply before it asks again.
func BenchmarkConcurrent(b *testing.B) {
	for _, callers := range []int{4, 64} {
		for name, rdb := range clients(b) {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				key := uniqueKey(b)
				var left atomic.Int64
				left.Store(int64(b.N))
				own, server := ownCPU(b), redisCPU(b, rdb)
				b.ResetTimer()
				var asking sync.WaitGroup
				for range callers {
					asking.Go(func() {
						for left.Add(-1) >= 0 {
							if err := add.Run(b.Context(), rdb, []string{key}, 1).Err(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				asking.Wait()
				b.StopTimer()
				b.ReportMetric(float64(ownCPU(b)-own)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(redisCPU(b, rdb)-server)/float64(b.N), "redis-cpu-ns/op")
			})
		}
	}
}

func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func redisCPU(b *testing.B, rdb redis.UniversalClient) time.Duration {
	b.Helper()
	info, err := rdb.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return time.Duration(sum * float64(time.Second))
}
