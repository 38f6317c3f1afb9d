package worker_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/worker/client"
)

// asynq keeps no more than 10,000 archived tasks in a queue and trims the others without a word.
func TestMoreFailuresThanTheArchiveHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const failures, holds = 100, 10_000
	archive := b.Key("archived")
	_, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for n := range holds {
			id := fmt.Sprint("other-", n)
			p.HSet(t.Context(), b.Key("t:"+id), "msg", "…")
			p.ZAdd(t.Context(), archive, redis.Z{Score: float64(time.Now().Add(time.Hour).Unix()), Member: id}) // the oldest are trimmed
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	queue := asynq.NewClientFromRedisClient(b.Redis)
	for n := range failures {
		task := asynq.NewTask(client.TaskType, fmt.Appendf(nil, `{"transaction_id":"T%d"}`, n))
		if _, err := queue.EnqueueContext(t.Context(), task, asynq.TaskID(fmt.Sprint("job-", n)), asynq.Queue(b.Queue), asynq.MaxRetry(math.MaxInt32)); err != nil {
			t.Fatal(err)
		}
	}
	w := b.start(t, "w1")
	for range failures {
		w.ended(t)
	}
	if n := b.Count(t, "SELECT count(DISTINCT transaction_id) FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid' AND payload IS NOT NULL"); n != failures {
		t.Errorf("%d failures are on record, want %d", n, failures)
	}
	rig.Eventually(t, "an empty queue", func() bool {
		info, err := b.Inspector.GetQueueInfo(b.Queue)
		if err != nil {
			t.Fatal(err)
		}
		return info.Active+info.Pending+info.Retry == 0
	})
	for n := range failures {
		switch err := b.Redis.ZScore(t.Context(), archive, fmt.Sprint("job-", n)).Err(); {
		case err == nil:
			t.Errorf("job-%d is in the archive: it wasn't trimmed, and this test shows nothing", n)
		case !errors.Is(err, redis.Nil):
			t.Fatal(err)
		}
	}
	b.tally(t, 0, 0, failures)
}
