package postgres

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/report"
)

const (
	// countedAccepted is how many accepted jobs are counted. If there are more, each queue's number is the planner's estimate.
	countedAccepted = 10_000
	// oldestEnqueued is how many enqueued jobs of a queue are looked at for the oldest.
	oldestEnqueued = 100
)

// Backlogs returns, for each queue with jobs that have no end yet, how many are accepted and not sent, and when the oldest job
// was accepted. It reads a bounded number of rows: where there are more than 10,000 accepted jobs, the numbers are estimates.
func (s *Reports) Backlogs(ctx context.Context) ([]report.Queue, error) {
	var rows []struct {
		Queue    string
		Accepted int64
		OldestAt *time.Time
	}
	// The recursive part jumps from one queue to the next in the index of enqueued jobs.
	err := s.db.WithContext(ctx).Raw(`
WITH RECURSIVE accepted AS (
    SELECT queue, accepted_at FROM invoicer.invoice_jobs WHERE state = 'accepted' ORDER BY id LIMIT @most
), queues AS (
    (SELECT queue FROM invoicer.invoice_jobs WHERE state = 'enqueued' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT jobs.queue FROM invoicer.invoice_jobs jobs WHERE jobs.state = 'enqueued' AND jobs.queue > queues.queue ORDER BY jobs.queue LIMIT 1)
    FROM queues WHERE queues.queue IS NOT NULL
)
SELECT queue, sum(accepted)::bigint AS accepted, min(oldest_at) AS oldest_at FROM (
    SELECT queue, count(*) AS accepted, min(accepted_at) AS oldest_at FROM accepted GROUP BY queue
    UNION ALL
    SELECT queue, 0, (SELECT min(accepted_at) FROM (
        SELECT accepted_at FROM invoicer.invoice_jobs jobs WHERE jobs.state = 'enqueued' AND jobs.queue = queues.queue ORDER BY updated_at, id LIMIT @oldest
    ) first) FROM queues WHERE queue IS NOT NULL
) parts GROUP BY queue ORDER BY queue`, map[string]any{"most": countedAccepted, "oldest": oldestEnqueued}).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	total := int64(0)
	list := make([]report.Queue, len(rows))
	for i, r := range rows {
		list[i] = report.Queue{Queue: r.Queue, Accepted: r.Accepted, OldestAt: r.OldestAt}
		total += r.Accepted
	}
	if total < countedAccepted {
		return list, nil
	}
	for i := range list {
		estimate, err := s.estimate(ctx, "SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' AND queue = ?", list[i].Queue)
		if err != nil {
			return nil, err
		}
		list[i].Accepted, list[i].Estimated = max(list[i].Accepted, estimate), true
	}
	return list, nil
}

// estimate returns the planner's estimate of a query's number of rows, which follows the last ANALYZE.
func (s *Reports) estimate(ctx context.Context, query string, values ...any) (int64, error) {
	var text string
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw("EXPLAIN (FORMAT JSON) "+query, values...).Row().Scan(&text)
	})
	if err != nil {
		return 0, classify(err)
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		} `json:"Plan"`
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) == 0 {
		return 0, err
	}
	return int64(plans[0].Plan.Rows), nil
}

// HasAccepted reports whether a job is accepted for the queue and not sent. Where very many jobs of other queues are accepted, it may
// have to read all of these.
func (s *Reports) HasAccepted(ctx context.Context, queue string) (some bool, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT EXISTS (SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' AND queue = ?)", queue).Row().Scan(&some)
	return some, classify(err)
}
