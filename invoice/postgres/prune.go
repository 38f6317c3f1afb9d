package postgres

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// What may be pruned. Never an invoice, and never a job that has no end yet.
const (
	// DoneJobs are the ledger's rows of jobs that ended well, with what people did about them. The ends themselves, invoices
	// and duplicate attempts, stay.
	DoneJobs Prunable = "done_jobs"
	// DuplicateAttempts are pruned only after the ledger's row of the same job.
	DuplicateAttempts Prunable = "duplicate_attempts"
	// FailedPayloads are those of failed and dismissed jobs, whose rows stay.
	FailedPayloads Prunable = "failed_payloads"
)

// A Prunable is a kind of rows, or of what is in them, that isn't needed for ever.
type Prunable string

// Retention is how long what may be pruned is kept.
type Retention struct {
	Jobs, Duplicates, FailedPayloads time.Duration
}

// A pruning is how to prune one kind.
type pruning struct {
	table, change string
	old           string // what is pruned
	would         string // what is, once the kinds before are pruned
	values        []any  // of old and of would
}

func (p Prunable) pruning(keep Retention) (pruning, error) {
	const before = "now() - make_interval(secs => ?)"
	jobs, duplicates, payloads := keep.Jobs.Seconds(), keep.Duplicates.Seconds(), keep.FailedPayloads.Seconds()
	switch p {
	case DoneJobs:
		old := "r.state = 'done' AND r.updated_at < " + before
		return pruning{"invoicer.invoice_jobs", "DELETE FROM invoicer.invoice_jobs r USING page", old, old, []any{jobs}}, nil
	case DuplicateAttempts:
		// The audit asks for the attempt of each done row. The second value is of use to would alone.
		old := "r.attempted_at < " + before + " AND ?::float8 IS NOT NULL AND NOT EXISTS (SELECT FROM invoicer.invoice_jobs j WHERE j.job_id = r.job_id)"
		would := "r.attempted_at < " + before + " AND NOT EXISTS (SELECT FROM invoicer.invoice_jobs j WHERE j.job_id = r.job_id AND NOT (j.state = 'done' AND j.updated_at < " + before + "))"
		return pruning{"invoicer.duplicate_attempts", "DELETE FROM invoicer.duplicate_attempts r USING page", old, would, []any{duplicates, jobs}}, nil
	case FailedPayloads:
		old := "r.state IN ('failed', 'dismissed') AND r.updated_at < " + before + " AND (r.payload IS NOT NULL OR r.payload_raw IS NOT NULL)"
		return pruning{"invoicer.invoice_jobs", "UPDATE invoicer.invoice_jobs r SET payload = NULL, payload_raw = NULL FROM page", old, old, []any{payloads}}, nil
	}
	return pruning{}, fmt.Errorf("prune %q: there is nothing of that name", string(p))
}

// A Pruned is what came of one batch.
type Pruned struct {
	Last    int64 // the last row that was looked at: the next batch begins after it
	Looked  int   // how many were; 0 after the last
	Removed int   // how many of them were, or in a dry run would be, pruned
}

// Prune goes through the next rows, by their ids, and prunes those that are older, by the database's clock, than they are
// kept. In a dry run it only counts them, as if the kinds before had been pruned. Each batch takes a bounded time, whether
// there is anything to prune in it or not.
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
