package postgres

import (
	"context"

	"invoicer/internal/report"
)

// mostWaiting is where the jobs of a state are no longer counted, so that the time doesn't grow with a backlog.
const mostWaiting = 100_000

// Waiting returns what the ledger has that isn't done. Of the jobs that are in a queue, the oldest is looked for among the 100
// of each queue that were sent first.
func (s *Reports) Waiting(ctx context.Context) (report.Waiting, error) {
	var w report.Waiting
	err := s.db.WithContext(ctx).Raw(`
SELECT (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL LIMIT ?) AS a) AS accepted,
    (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE paused_series IS NOT NULL LIMIT ?) AS p) AS paused,
    (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE state = 'enqueued' LIMIT ?) AS e) AS enqueued,
    (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE state = 'failed' LIMIT ?) AS f) AS failed,
    coalesce(greatest(0, extract(epoch FROM now() - least(
        (SELECT accepted_at FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL ORDER BY id LIMIT 1),
        (SELECT min(accepted_at) FROM (`+distinctQueues+`) AS queues, LATERAL (
            SELECT accepted_at FROM invoicer.invoice_jobs WHERE state = 'enqueued' AND queue = queues.queue ORDER BY updated_at, id LIMIT 100
        ) AS first)
    ))), 0)::float8 AS oldest_seconds`, mostWaiting, mostWaiting, mostWaiting, mostWaiting).Scan(&w).Error
	return w, classify(err)
}
