package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"invoicer/invoice"
)

// Record writes down how a job ended, in one statement. Recording the same end again changes nothing, and a job that
// is done stays done whatever comes later.
//
// It returns [invoice.ErrNotInvoiced], and has written nothing, when the end names an invoice that the database
// doesn't hold, as after a restore; and [invoice.ErrEnded] when a bad end is reported of a job that made its
// transaction's invoice, or is on record as a duplicate.
func (s *Store) Record(ctx context.Context, e invoice.End) error {
	switch e.Outcome {
	case invoice.Created:
		return s.recordCreated(ctx, e)
	case invoice.Duplicate:
		return s.recordDuplicate(ctx, e)
	case invoice.Conflict, invoice.Invalid, invoice.Failed:
		return s.recordFailed(ctx, e)
	default:
		return fmt.Errorf("record job %s: outcome %q is none", e.JobID, e.Outcome)
	}
}

// The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
const foundInvoice = `WITH found AS (SELECT id FROM invoices WHERE id = ? AND transaction_id = ? AND fingerprint = ?)`

func (s *Store) recordCreated(ctx context.Context, e invoice.End) error {
	return s.recordGood(ctx, foundInvoice+`, ledger AS (
    UPDATE invoice_jobs SET state = 'done', outcome = 'created', reason = NULL, invoice_id = found.id, attempts = ?, updated_at = now()
    FROM found WHERE invoice_jobs.job_id = ? AND state <> 'done'
) SELECT count(*) FROM found`,
		e.Invoice.ID, e.Invoice.TransactionID, e.Invoice.Fingerprint, e.Attempts, e.JobID)
}

func (s *Store) recordDuplicate(ctx context.Context, e invoice.End) error {
	return s.recordGood(ctx, foundInvoice+`, attempt AS (
    INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, producer, worker)
    SELECT ?, ?, ?, found.id, ?, ?, ? FROM found
    ON CONFLICT (job_id) DO NOTHING
), ledger AS (
    UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', reason = ?, invoice_id = found.id, attempts = ?, updated_at = now()
    FROM found WHERE invoice_jobs.job_id = ? AND state <> 'done'
) SELECT count(*) FROM found`,
		e.Invoice.ID, e.Invoice.TransactionID, e.Invoice.Fingerprint,
		e.JobID, e.TransactionID, e.IdempotencyKey, e.Reason, nullable(e.Producer), e.Worker,
		e.Reason, e.Attempts, e.JobID)
}

func (s *Store) recordGood(ctx context.Context, statement string, values ...any) error {
	var found int
	if err := s.db.WithContext(ctx).Raw(statement, values...).Row().Scan(&found); err != nil {
		return classify(err)
	}
	if found == 0 {
		return invoice.ErrNotInvoiced
	}
	return nil
}

func (s *Store) recordFailed(ctx context.Context, e invoice.End) error {
	// Postgres takes neither bad UTF-8 nor U+0000 as text, and a payload that can't be recorded would fail for ever.
	var asText *string
	var raw []byte
	if payload := string(e.Payload); utf8.ValidString(payload) && !strings.ContainsRune(payload, 0) {
		asText = &payload
	} else {
		raw = e.Payload
	}
	written := s.db.WithContext(ctx).Exec(`
INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, producer, queue, payload, payload_raw, state, outcome, reason, attempts)
SELECT ?, ?, ?, ?, ?, ?, ?, 'failed', ?, ?, ?
WHERE NOT EXISTS (SELECT FROM invoices WHERE transaction_id = ? AND job_id = ?)
  AND NOT EXISTS (SELECT FROM duplicate_attempts WHERE job_id = ?)
ON CONFLICT (job_id) DO UPDATE SET state = 'failed', outcome = excluded.outcome, reason = excluded.reason,
    invoice_id = NULL, attempts = excluded.attempts, updated_at = now()
WHERE invoice_jobs.state <> 'done'`,
		e.JobID, nullable(e.TransactionID), nullable(e.IdempotencyKey), nullable(e.Producer), e.Queue, asText, raw,
		e.Outcome, storable(e.Detail), e.Attempts, e.TransactionID, e.JobID, e.JobID)
	if written.Error == nil && written.RowsAffected == 0 {
		return invoice.ErrEnded
	}
	return classify(written.Error)
}

// storable makes any message fit for a text column.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
