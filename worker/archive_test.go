package worker_test

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/worker/client"
)

// asynq keeps no more than 10,000 archived tasks in a queue and trims the others without a word.
func TestMoreFailuresThanTheArchiveHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const failures, senders = 10_001, 8
	queue := asynq.NewClientFromRedisClient(b.rdb)
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := s; n < failures; n += senders {
				task := asynq.NewTask(client.TaskType, fmt.Appendf(nil, `{"transaction_id":"T%d"}`, n))
				if _, err := queue.EnqueueContext(t.Context(), task, asynq.Queue(b.queue), asynq.MaxRetry(math.MaxInt32)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	sending.Wait()
	w := b.start(t, "w1")
	for range failures {
		w.ended(t)
	}
	if n := b.count(t, "SELECT count(DISTINCT transaction_id) FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid' AND payload IS NOT NULL"); n != failures {
		t.Errorf("%d failures are on record, want %d", n, failures)
	}
	poll(t, "an empty queue", func() bool {
		info, err := b.inspector.GetQueueInfo(b.queue)
		if err != nil {
			t.Fatal(err)
		}
		if done := info.Active+info.Pending+info.Retry == 0; !done {
			return false
		}
		if info.Archived >= failures {
			t.Errorf("the archive holds %d: nothing was trimmed, and this test shows nothing", info.Archived)
		}
		return true
	})
	b.tally(t, 0, 0, failures)
}
