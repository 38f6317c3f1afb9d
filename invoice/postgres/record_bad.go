package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// keptPayload is the most bytes that are kept of a payload that is too long.
const keptPayload = 2 * invoice.MaxPayload

// ours is a condition on a row of invoice_jobs: the ledger has accepted the job, possibly by a replay. Other rows are
// of jobs that were enqueued directly and ended badly; for those the queue's payload counts.
const ours = "(invoice_jobs.dispatch > 0 OR invoice_jobs.state IN ('accepted', 'enqueued'))"

// matching returns a condition on a row of invoice_jobs: an end with this issuer, this transaction and this digest of its payload
// is the row's job's.
func matching(issuer, transaction, digest string) string {
	return `CASE WHEN ` + ours + ` AND invoice_jobs.payload IS NOT NULL
    THEN encode(sha256(convert_to(invoice_jobs.payload, 'UTF8')), 'hex') = ` + digest + `
    ELSE invoice_jobs.issuer = ` + issuer + ` AND invoice_jobs.transaction_id IS NOT DISTINCT FROM ` + transaction + ` END`
}

// knownFields is the migration whose fields of a job this program knows. Who doesn't say it is taken for a worker of a release before, which may
// find a job invalid for a field that it doesn't know: the database has it leave such a job to others.
const knownFields = "52"

// recordBad records that a job failed. An accepted job's payload stays in its row as it is, unless its transaction was erased: then none is
// kept.
func (s *Ledger) recordBad(ctx context.Context, e ledger.End) error {
	detail := storable(e.Detail)
	sum := digest(e.Payload)
	if size := len(e.Payload); size > keptPayload {
		e.Payload = e.Payload[:keptPayload]
		detail += fmt.Sprintf(" (of the payload's %d bytes, the first %d are kept)", size, keptPayload)
	}
	// Postgres accepts neither invalid UTF-8 nor U+0000 as text, and a job whose payload can't be recorded would fail
	// for ever.
	var asText *string
	var raw []byte
	if payload := string(e.Payload); utf8.ValidString(payload) && !strings.ContainsRune(payload, 0) {
		asText = &payload
	} else {
		raw = e.Payload
	}
	conflicts := 0
	if e.Outcome == invoice.Conflict {
		conflicts = 1
	}
	var found error // returned without rolling back
	lane := s.counts.take()
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// A concurrent attempt at the same job may be about to commit its invoice. After this wait, the next
		// statement sees it.
		if err := tx.Exec("SELECT "+lockEnd+", "+lockErasing+", set_config(?, ?, true)", e.JobID, "invoicer.fields", knownFields).Error; err != nil {
			return err
		}
		var written int
		err := tx.Raw(`
WITH before AS (
    SELECT state FROM invoicer.invoice_jobs WHERE job_id = ?
), erased AS (
    SELECT 1 FROM invoicer.invoices WHERE transaction_id = ? AND issuer = ? AND erasure_id IS NOT NULL
), written AS (
INSERT INTO invoicer.invoice_jobs (job_id, issuer, transaction_id, idempotency_key, producer, queue, payload, payload_raw, state, outcome, reason, attempts, task_type)
SELECT ?, ?, ?, ?, ?, ?, CASE WHEN NOT EXISTS (SELECT FROM erased) THEN ?::text END, CASE WHEN NOT EXISTS (SELECT FROM erased) THEN ?::bytea END, 'failed', ?, ?, ?, ?
WHERE NOT EXISTS (SELECT FROM invoicer.invoices WHERE transaction_id = ? AND issuer = ? AND job_id = ?)
  AND NOT EXISTS (SELECT FROM invoicer.duplicate_attempts WHERE job_id = ?)
ON CONFLICT (job_id) DO UPDATE SET state = 'failed', outcome = excluded.outcome, reason = excluded.reason,
    invoice_id = NULL, attempts = excluded.attempts, updated_at = now(),
    idempotency_key = CASE WHEN `+ours+` THEN invoice_jobs.idempotency_key ELSE excluded.idempotency_key END,
    producer = CASE WHEN `+ours+` THEN invoice_jobs.producer ELSE excluded.producer END,
    queue = CASE WHEN `+ours+` THEN invoice_jobs.queue ELSE excluded.queue END,
    payload = CASE WHEN EXISTS (SELECT FROM erased) THEN NULL WHEN `+ours+` THEN invoice_jobs.payload ELSE excluded.payload END,
    payload_raw = CASE WHEN EXISTS (SELECT FROM erased) THEN NULL WHEN `+ours+` THEN invoice_jobs.payload_raw ELSE excluded.payload_raw END,
    task_type = CASE WHEN `+ours+` THEN invoice_jobs.task_type ELSE excluded.task_type END
WHERE invoice_jobs.state IN ('enqueued', 'failed') AND `+matching("excluded.issuer", "excluded.transaction_id", "?")+`
RETURNING id
), counted AS (
    INSERT INTO invoicer.producer_counts (window_start, producer, worker, lane, ended, conflicts)
    SELECT `+windowStart+`, ?, ?, ?, 1, ? FROM written WHERE NOT EXISTS (SELECT FROM before WHERE state = 'failed')
    `+addToCounts+`
)
SELECT count(*) FROM written`,
			e.JobID, e.TransactionID, e.Issuer, e.JobID, e.Issuer, nullable(e.TransactionID), nullable(e.IdempotencyKey), nullable(e.Producer), e.Queue, asText, raw,
			e.Outcome, detail, e.Attempts, nullable(storable(e.TaskType)), e.TransactionID, e.Issuer, e.JobID, e.JobID, sum,
			e.Producer, s.options.Worker, lane, conflicts).Row().Scan(&written)
		if err != nil || written > 0 {
			return err
		}
		if found, err = whyNotBad(tx, e, sum); err != nil {
			return err
		}
		return tx.Exec("SELECT " + replicated).Error
	})
	s.counts.put(lane, err)
	if err == nil {
		err = found
	}
	return classify(err)
}

// whyNotBad returns why a bad end wasn't written, in found; nil if the job was replayed since, so that the end is
// outdated.
func whyNotBad(tx *gorm.DB, e ledger.End, sum string) (found, err error) {
	var rows []struct {
		State         string
		Ours, Matches bool
		Accepted      *string
	}
	err = tx.Raw(`
SELECT state, `+ours+` AS ours, `+matching("?::text", "?::text", "?")+` AS matches, CASE WHEN `+ours+` THEN payload END AS accepted
FROM invoicer.invoice_jobs WHERE job_id = ?`, sum, e.Issuer, nullable(e.TransactionID), e.JobID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return invoice.ErrEnded, err
	}
	switch row := rows[0]; {
	case row.State == "dismissed" && (row.Ours || row.Matches):
		return &ledger.DismissedError{JobID: e.JobID}, nil
	case row.State == "accepted":
		return nil, nil
	case row.Ours && !row.Matches:
		return altered(e.JobID, row.Accepted), nil
	}
	return invoice.ErrEnded, nil
}
