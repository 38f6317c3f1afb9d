package postgres

import (
	"context"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice/ledger"
)

// These are the statements of [Ledger.Await]. Each sleeps on the server, which costs a fraction of a round trip, and
// sleeps before it looks, so that jobs accepted one by one are claimed together. COMMIT releases the snapshot, which
// would hold up vacuum.
const (
	await     = awaiting + "1..7 LOOP PERFORM pg_sleep(0.07);" + untilAccepted
	awaitSoon = awaiting + "1..15 LOOP PERFORM pg_sleep(0.002);" + untilAccepted

	awaiting      = "DO $$ BEGIN FOR look IN "
	untilAccepted = " EXIT WHEN EXISTS (SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL); COMMIT; END LOOP; END $$"
)

// Await waits until there are accepted jobs, and returns within 70 ms of their arrival, but not before 70 ms have
// passed. Without any it returns after half a second. If soon, these are 2 ms, and it returns after 30 ms. It occupies one
// connection all that time. If ctx ends, Await returns early and the connection is closed.
func (s *Ledger) Await(ctx context.Context, soon bool) error {
	query := await
	if soon {
		query = awaitSoon
	}
	_, err := s.sql.ExecContext(ctx, query)
	return classify(err)
}

// Claim takes up to limit accepted jobs, the oldest first, and fewer if their payloads are large. It marks them as
// enqueued under their next dispatch, and commits. Jobs for the excepted queues stay accepted, and so do those that wait for a
// paused series. Once Claim has
// returned, no row is locked. Concurrent calls don't wait for each other, and no two get the same job.
func (s *Ledger) Claim(ctx context.Context, limit int, except ...string) ([]ledger.Dispatch, error) {
	return s.claim(ctx, limit, "", except)
}

// claim takes jobs of which the SQL condition is true.
func (s *Ledger) claim(ctx context.Context, limit int, condition string, except []string) ([]ledger.Dispatch, error) {
	// There are usually no jobs, and Claim is called twice a second: this query costs a fraction of the next.
	var some bool
	if err := s.sql.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL"+condition+")").Scan(&some); err != nil || !some {
		return nil, classify(err)
	}
	if except == nil {
		except = []string{} // not NULL, which would exclude every queue
	}
	var rows []dispatchRow
	// Without MATERIALIZED, the planner might run the inner query more than once, which would lock more rows than its
	// limit.
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`
WITH locked AS MATERIALIZED (
    SELECT id, octet_length(payload) AS size FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL AND queue <> ALL (?::text[])`+condition+` ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED
), next AS MATERIALIZED (
    SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM locked) sized WHERE before <= ?
)
`+claimNext, &except, limit, pageBytes).Scan(&rows).Error
	})
	if err != nil {
		return nil, classify(err)
	}
	return dispatches(rows), nil
}

// ClaimJobs is [Ledger.Claim] of those of the given jobs that are accepted and wait for nothing.
func (s *Ledger) ClaimJobs(ctx context.Context, jobIDs []string, except ...string) ([]ledger.Dispatch, error) {
	return s.claimJobs(ctx, jobIDs, "", except)
}

func (s *Ledger) claimJobs(ctx context.Context, jobIDs []string, condition string, except []string) ([]ledger.Dispatch, error) {
	if except == nil {
		except = []string{} // not NULL, which would exclude every queue
	}
	var rows []dispatchRow
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`
WITH next AS MATERIALIZED (
    SELECT id FROM invoicer.invoice_jobs WHERE job_id = ANY (?::text[]) AND state = 'accepted' AND queue <> ALL (?::text[])`+condition+` AND paused_series IS NULL ORDER BY id FOR UPDATE SKIP LOCKED
)
`+claimNext, &jobIDs, &except).Scan(&rows).Error
	})
	if err != nil {
		return nil, classify(err)
	}
	return dispatches(rows), nil
}

// claimNext ends a statement that claims the jobs of next.
const claimNext = `UPDATE invoicer.invoice_jobs jobs SET state = 'enqueued', dispatch = dispatch + 1, updated_at = now()
FROM next WHERE jobs.id = next.id
RETURNING jobs.id, job_id, dispatch, queue, payload, updated_at, coalesce(traceparent, '') AS traceparent, CASE WHEN producer_bound THEN producer ELSE '' END AS producer`

// PutBack makes enqueued jobs accepted again, so that they are dispatched anew. A job that has ended meanwhile, or
// was dispatched again, stays as it is. PutBack returns the number of jobs that it changed.
func (s *Ledger) PutBack(ctx context.Context, lost []ledger.Dispatch) (int, error) {
	if len(lost) == 0 {
		return 0, nil
	}
	ids, numbers := make([]int64, len(lost)), make([]int64, len(lost))
	for i, d := range lost {
		ids[i], numbers[i] = d.ID, int64(d.Number)
	}
	var changed int64
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		done := db.Exec(`
UPDATE invoicer.invoice_jobs SET state = 'accepted', updated_at = now()
FROM unnest(?::bigint[], ?::bigint[]) AS lost (id, dispatch)
WHERE invoice_jobs.id = lost.id AND invoice_jobs.dispatch = lost.dispatch AND state = 'enqueued'`, &ids, &numbers)
		changed = done.RowsAffected
		return done.Error
	})
	return int(changed), classify(err)
}

// Enqueued lists up to limit jobs of a queue that were dispatched at least settled ago and have no end yet, in the
// order of their dispatch, beginning after the given dispatch (its At and ID). Jobs whose dispatch lies in the future
// come last: the database's clock was set back since.
func (s *Ledger) Enqueued(ctx context.Context, queue string, after ledger.Dispatch, settled time.Duration, limit int) ([]ledger.Dispatch, error) {
	var rows []dispatchRow
	err := s.db.WithContext(ctx).Raw(`
(SELECT id, job_id, dispatch, queue, updated_at FROM invoicer.invoice_jobs
WHERE state = 'enqueued' AND queue = @queue AND (updated_at, id) > (@at, @id) AND updated_at < now() - make_interval(secs => @settled)
ORDER BY updated_at, id LIMIT @limit)
UNION ALL
(SELECT id, job_id, dispatch, queue, updated_at FROM invoicer.invoice_jobs
WHERE state = 'enqueued' AND queue = @queue AND (updated_at, id) > (@at, @id) AND updated_at > now() + make_interval(secs => @ahead)
ORDER BY updated_at, id LIMIT @limit)
ORDER BY updated_at, id LIMIT @limit`, map[string]any{
		"queue": queue, "at": after.At, "id": after.ID, "settled": settled.Seconds(), "ahead": longestStatement.Seconds(), "limit": limit,
	}).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	return dispatches(rows), nil
}

// Open returns, by job id, the dispatch number of each job that should be in a queue. A job id without a record was
// enqueued directly, and its dispatch is 0. Jobs that have ended, or wait for a relay, are left out.
func (s *Ledger) Open(ctx context.Context, jobIDs []string) (map[string]int, error) {
	var rows []dispatchRow
	err := s.db.WithContext(ctx).Raw(`
SELECT asked.job_id, coalesce(jobs.dispatch, 0) AS dispatch
FROM unnest(?::text[]) AS asked (job_id) LEFT JOIN invoicer.invoice_jobs jobs USING (job_id)
WHERE jobs.job_id IS NULL AND NOT EXISTS (SELECT FROM invoicer.duplicate_attempts d WHERE d.job_id = asked.job_id)
   OR jobs.state = 'enqueued'`, &jobIDs).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	open := make(map[string]int, len(rows))
	for _, r := range rows {
		open[r.JobID] = r.Dispatch
	}
	return open, nil
}

// longestStatement is the largest age of a statement's now(). It is longer than statement_timeout.
const longestStatement = 15 * time.Second

// Watch takes or renews the holder's right to reconcile queues, for the duration of the lease by the database's
// clock, and returns the queues that the holder has now. It takes over another holder's queue only if that lease has
// run out, or lasts longer than any lease can, which means that the database's clock was set back. It stores the
// given marker of each of the holder's queues, unless the database has a later one.
func (s *Ledger) Watch(ctx context.Context, holder string, lease time.Duration, queues []ledger.Watch) ([]ledger.Watch, error) {
	names, markers, servers := make([]string, len(queues)), make([]int64, len(queues)), make([]string, len(queues))
	for i, q := range queues {
		names[i], markers[i], servers[i] = q.Queue, q.Marker, q.Server
	}
	var held []ledger.Watch
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`
INSERT INTO invoicer.ledger_queues AS q (queue, holder, expires_at, marker, server)
SELECT queue, ?, now() + make_interval(secs => ?), marker, server
FROM unnest(?::text[], ?::bigint[], ?::text[]) AS known (queue, marker, server) ORDER BY queue
ON CONFLICT (queue) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at,
    marker = greatest(q.marker, excluded.marker),
    server = CASE WHEN excluded.marker > q.marker THEN excluded.server ELSE q.server END
WHERE q.holder = excluded.holder OR q.expires_at < now() OR q.expires_at > now() + make_interval(secs => ?)
RETURNING queue, marker, server, EXISTS (SELECT FROM invoicer.invoice_jobs WHERE state = 'enqueued') AS open, now() AS now`,
			holder, lease.Seconds(), &names, &markers, &servers, (lease + longestStatement).Seconds()).Scan(&held).Error
	})
	return held, classify(err)
}

// Unwatch gives up the holder's rights, so that other processes needn't wait until the leases run out.
func (s *Ledger) Unwatch(ctx context.Context, holder string) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec(`UPDATE invoicer.ledger_queues SET expires_at = '-infinity' WHERE holder = ?`, holder).Error
	}))
}

type dispatchRow struct {
	ID        int64
	JobID     string
	Dispatch  int
	Queue     string
	Payload   string
	UpdatedAt time.Time

	Traceparent string
	Producer    string
}

func dispatches(rows []dispatchRow) []ledger.Dispatch {
	list := make([]ledger.Dispatch, len(rows))
	for i, r := range rows {
		list[i] = ledger.Dispatch{ID: r.ID, JobID: r.JobID, Number: r.Dispatch, Queue: r.Queue, Payload: []byte(r.Payload), At: r.UpdatedAt, Traceparent: r.Traceparent, Producer: r.Producer}
	}
	return list
}
