package postgres

import (
	"context"

	"invoicer/internal/report"
)

// mostWaiting is where the jobs of a state are no longer counted, so that the time doesn't grow with a backlog.
const mostWaiting = 100_000

// Waiting returns what the ledger has that isn't done. Of the jobs that are in a queue, the oldest is looked for among the 100
// of each queue that were sent first, and only in the given queues.
func (s *Reports) Waiting(ctx context.Context, queues []string) (report.Waiting, error) {
	var w report.Waiting
	var names array
	for _, queue := range queues {
		names.text(queue)
	}
	err := s.db.WithContext(ctx).Raw(`
SELECT (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' LIMIT ?) AS a) AS accepted,
    (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE state = 'enqueued' LIMIT ?) AS e) AS enqueued,
    (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE state = 'failed' LIMIT ?) AS f) AS failed,
    coalesce(greatest(0, extract(epoch FROM now() - least(
        (SELECT accepted_at FROM invoicer.invoice_jobs WHERE state = 'accepted' ORDER BY id LIMIT 1),
        (SELECT min(accepted_at) FROM unnest(?::text[]) AS asked (name), LATERAL (
            SELECT accepted_at FROM invoicer.invoice_jobs WHERE state = 'enqueued' AND queue = name ORDER BY updated_at LIMIT 100
        ) AS first)
    ))), 0)::float8 AS oldest_seconds`, mostWaiting, mostWaiting, mostWaiting, names.literal()).Scan(&w).Error
	return w, classify(err)
}
