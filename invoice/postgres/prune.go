package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// What may be pruned. Invoices, and jobs that have no end yet, never are.
const (
	// DoneJobs are the ledger's rows of jobs that ended well, with the actions on them. The ends themselves, invoices
	// and duplicate attempts, stay.
	DoneJobs Prunable = "done_jobs"
	// DuplicateAttempts are pruned only after the ledger's row of the same job.
	DuplicateAttempts Prunable = "duplicate_attempts"
	// FailedPayloads are the payloads of failed and dismissed jobs. The rows stay.
	FailedPayloads Prunable = "failed_payloads"
	// Attempts are failed attempts, of jobs that the ledger doesn't have, or not any more.
	Attempts Prunable = "job_attempts"
)

// A Prunable is a kind of data that isn't needed for ever: rows, or a column of them.
type Prunable string

// Retention is how long each kind of prunable data is kept.
type Retention struct {
	Jobs, Duplicates, FailedPayloads time.Duration
}

// A pruning is the SQL that prunes one kind.
type pruning struct {
	table, change string
	old           string // condition for what is pruned
	would         string // the same, as if the kinds before had been pruned
	values        []any  // parameters of old and of would
}

func (p Prunable) pruning(keep Retention) (pruning, error) {
	const before = "now() - make_interval(secs => ?)"
	jobs, duplicates, payloads := keep.Jobs.Seconds(), keep.Duplicates.Seconds(), keep.FailedPayloads.Seconds()
	switch p {
	case DoneJobs:
		old := "r.state = 'done' AND r.updated_at < " + before
		return pruning{"invoicer.invoice_jobs", "DELETE FROM invoicer.invoice_jobs r USING page", old, old, []any{jobs}}, nil
	case DuplicateAttempts:
		// The audit looks for the attempt of each done row. Only would uses the second parameter.
		old := "r.attempted_at < " + before + " AND ?::float8 IS NOT NULL AND NOT EXISTS (SELECT FROM invoicer.invoice_jobs j WHERE j.job_id = r.job_id)"
		would := "r.attempted_at < " + before + " AND NOT EXISTS (SELECT FROM invoicer.invoice_jobs j WHERE j.job_id = r.job_id AND NOT (j.state = 'done' AND j.updated_at < " + before + "))"
		return pruning{"invoicer.duplicate_attempts", "DELETE FROM invoicer.duplicate_attempts r USING page", old, would, []any{duplicates, jobs}}, nil
	case Attempts:
		old := "r.failed_at < " + before + " AND NOT EXISTS (SELECT FROM invoicer.invoice_jobs j WHERE j.job_id = r.job_id)"
		would := "r.failed_at < " + before + " AND NOT EXISTS (SELECT FROM invoicer.invoice_jobs j WHERE j.job_id = r.job_id AND NOT (j.state = 'done' AND j.updated_at < now() - make_interval(secs => " +
			strconv.FormatFloat(jobs, 'f', -1, 64) + ")))"
		return pruning{"invoicer.job_attempts", "DELETE FROM invoicer.job_attempts r USING page", old, would, []any{jobs}}, nil
	case FailedPayloads:
		old := "r.state IN ('failed', 'dismissed') AND r.updated_at < " + before + " AND (r.payload IS NOT NULL OR r.payload_raw IS NOT NULL)"
		return pruning{"invoicer.invoice_jobs", "UPDATE invoicer.invoice_jobs r SET payload = NULL, payload_raw = NULL FROM page", old, old, []any{payloads}}, nil
	}
	return pruning{}, fmt.Errorf("prune %q: unknown kind of record", string(p))
}

// countsKept is how many days of counts are kept: fourteen to judge by, and as many to judge.
const countsKept = 28

// PruneCounts deletes at most limit rows that are older than 28 days from the counts of producers, and returns how many. A dry run
// returns how many there are, without a limit.
func (s *Ledger) PruneCounts(ctx context.Context, limit int, dryRun bool) (n int, err error) {
	const old = "FROM invoicer.producer_counts WHERE window_start < now() - make_interval(days => ?)"
	query, values := "SELECT count(*) "+old, []any{countsKept}
	if !dryRun {
		query = "WITH pruned AS (DELETE FROM invoicer.producer_counts WHERE ctid = ANY (ARRAY(SELECT ctid " + old + " LIMIT ?)) RETURNING 1) SELECT count(*) FROM pruned"
		values = append(values, limit)
	}
	err = s.autocommit(ctx, func(db *gorm.DB) error { return db.Raw(query, values...).Row().Scan(&n) })
	return n, classify(err)
}

// A Pruned is the result of one batch.
type Pruned struct {
	Last    int64 // id of the last row that was examined: the next batch begins after it
	Looked  int   // rows examined; 0 after the last row
	Removed int   // rows pruned, or in a dry run rows that would be
}

// Prune examines the next limit rows by their ids, beginning after the given one, and prunes those that are older
// than the retention, by the database's clock. A dry run only counts them, as if the kinds before had been pruned. A
// batch takes a bounded time, whether or not it has anything to prune.
func (s *Ledger) Prune(ctx context.Context, what Prunable, keep Retention, after int64, limit int, dryRun bool) (Pruned, error) {
	p, err := what.pruning(keep)
	if err != nil {
		return Pruned{}, err
	}
	statement := "WITH page AS (SELECT id FROM " + p.table + " WHERE id > ? ORDER BY id LIMIT ?)"
	if dryRun {
		statement += " SELECT coalesce(max(r.id), 0), count(*), count(*) FILTER (WHERE " + p.would + ") FROM page JOIN " + p.table + " r USING (id)"
	} else {
		statement += ", pruned AS (" + p.change + " WHERE r.id = page.id AND " + p.old + ` RETURNING r.id)
SELECT coalesce((SELECT max(id) FROM page), 0), (SELECT count(*) FROM page), (SELECT count(*) FROM pruned)`
	}
	var done Pruned
	err = s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(statement, append([]any{after, limit}, p.values...)...).Row().Scan(&done.Last, &done.Looked, &done.Removed)
	})
	return done, classify(err)
}
