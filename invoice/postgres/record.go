package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// Record writes down how a job ended, in one statement. Recording the same end again changes nothing, and a job that
// is done stays done whatever comes later. A failure of a job that was replayed since, or dismissed, is no news: that job
// stays as it is.
//
// It returns [invoice.ErrNotInvoiced], and has written nothing, when the end names an invoice that the database
// doesn't hold, as after a restore; and [invoice.ErrEnded] when the job id stands for an end already that this one
// can't join: a bad end is reported of a job that ended well, or the id was used for another transaction.
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

// lockEnd is taken, until the end of the transaction, by whoever writes an end of a job after looking for another one.
const lockEnd = "pg_advisory_xact_lock(hashtextextended(?, 0))"

// The invoice is looked for by all that the end claims of it: after a restore its id may belong to another one.
func (s *Store) recordCreated(ctx context.Context, e invoice.End) error {
	var found int
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`WITH found AS (SELECT id FROM invoicer.invoices WHERE id = ? AND transaction_id = ? AND fingerprint = ?), ledger AS (
    UPDATE invoicer.invoice_jobs SET state = 'done', outcome = 'created', reason = NULL, invoice_id = found.id, attempts = ?, updated_at = now()
    FROM found WHERE invoice_jobs.job_id = ? AND invoice_jobs.transaction_id = ? AND state <> 'done'
) SELECT count(*) FROM found`,
			e.Invoice.ID, e.Invoice.TransactionID, e.Invoice.Fingerprint, e.Attempts, e.JobID, e.TransactionID).Row().Scan(&found)
	})
	if err == nil && found == 0 {
		err = invoice.ErrNotInvoiced
	}
	return classify(err)
}

// A duplicateRecord is one duplicate on its way to be recorded.
type duplicateRecord struct {
	end invoice.End
	err error
}

// apart: a job's second record finds the first.
func (d *duplicateRecord) apart() []string { return []string{d.end.JobID} }

const (
	// A stormOf so many duplicates of one invoice in a group lets more of them be waited for.
	stormOf = 8
	// stormPatience is how long at most. A duplicate has nobody who waits for it, but it keeps a slot.
	stormPatience = 20 * time.Millisecond
)

// stormAfter returns how many duplicates are expected after these: a quarter more, if most of these are of one invoice,
// and never more than there are callers.
func (s *Store) stormAfter(gone []*duplicateRecord) int {
	of := make(map[int64]int)
	for _, d := range gone {
		of[d.end.Invoice.ID]++
	}
	for _, n := range of {
		if n >= stormOf && 2*n > len(gone) {
			return min(len(gone)+len(gone)/4, s.options.Callers)
		}
	}
	return 0
}

func (s *Store) recordDuplicate(ctx context.Context, e invoice.End) error {
	d := &duplicateRecord{end: e}
	if err := s.duplicates.join(ctx, d); err != nil {
		return classify(err)
	}
	return classify(d.err)
}

// writeDuplicates records a group in one statement. Where the database refuses it, its halves are tried.
func (s *Store) writeDuplicates(ctx context.Context, group []*duplicateRecord) {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout)
	defer cancel()
	err := s.writeDuplicatesTogether(ctx, group)
	switch {
	case err == nil:
	case len(group) == 1, outage(err):
		for _, d := range group {
			d.err = err
		}
	default:
		s.writeDuplicates(ctx, group[:len(group)/2])
		s.writeDuplicates(ctx, group[len(group)/2:])
	}
}

func (s *Store) writeDuplicatesTogether(ctx context.Context, group []*duplicateRecord) error {
	var jobIDs, transactionIDs, keys, invoiceIDs, invoiced, fingerprints, reasons, producers, workers, attempts array
	for _, d := range group {
		e := &d.end
		jobIDs.text(e.JobID)
		transactionIDs.text(e.TransactionID)
		keys.text(e.IdempotencyKey)
		// The invoice is looked for by all that the end claims of it, as above.
		invoiceIDs.integer(e.Invoice.ID)
		invoiced.text(e.Invoice.TransactionID)
		fingerprints.text(e.Invoice.Fingerprint)
		reasons.text(string(e.Reason))
		producers.optional(e.Producer)
		workers.text(e.Worker)
		attempts.integer(int64(e.Attempts))
	}
	var problems []struct {
		Member int
		Found  bool
	}
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Raw(`
SELECT member, found FROM invoicer.record_duplicates(?::text[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::integer[])`,
			literals(&jobIDs, &transactionIDs, &keys, &invoiceIDs, &invoiced, &fingerprints, &reasons, &producers, &workers, &attempts)...).Scan(&problems).Error
	})
	if err != nil {
		return err
	}
	for _, d := range group {
		d.err = nil
	}
	for _, p := range problems {
		if d := group[p.Member-1]; p.Found {
			d.err = invoice.ErrEnded
		} else {
			d.err = invoice.ErrNotInvoiced
		}
	}
	return nil
}

// keptPayload is how much is kept of a payload that is far longer than a job may be.
const keptPayload = 2 * invoice.MaxPayload

func (s *Store) recordFailed(ctx context.Context, e invoice.End) error {
	detail := storable(e.Detail)
	if size := len(e.Payload); size > keptPayload {
		e.Payload = e.Payload[:keptPayload]
		detail += fmt.Sprintf(" (of the payload's %d bytes, the first %d are kept)", size, keptPayload)
	}
	// Postgres takes neither bad UTF-8 nor U+0000 as text, and a payload that can't be recorded would fail for ever.
	var asText *string
	var raw []byte
	if payload := string(e.Payload); utf8.ValidString(payload) && !strings.ContainsRune(payload, 0) {
		asText = &payload
	} else {
		raw = e.Payload
	}
	return classify(s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// An overlapping run of the same job may be about to commit its invoice; the next statement sees it then.
		if err := tx.Exec("SELECT "+lockEnd, e.JobID).Error; err != nil {
			return err
		}
		written := tx.Exec(`
INSERT INTO invoicer.invoice_jobs (job_id, transaction_id, idempotency_key, producer, queue, payload, payload_raw, state, outcome, reason, attempts, task_type)
SELECT ?, ?, ?, ?, ?, ?, ?, 'failed', ?, ?, ?, ?
WHERE NOT EXISTS (SELECT FROM invoicer.invoices WHERE transaction_id = ? AND job_id = ?)
  AND NOT EXISTS (SELECT FROM invoicer.duplicate_attempts WHERE job_id = ?)
ON CONFLICT (job_id) DO UPDATE SET state = 'failed', outcome = excluded.outcome, reason = excluded.reason,
    idempotency_key = excluded.idempotency_key, producer = excluded.producer, queue = excluded.queue,
    payload = excluded.payload, payload_raw = excluded.payload_raw,
    task_type = CASE WHEN invoice_jobs.dispatch > 0 THEN invoice_jobs.task_type ELSE excluded.task_type END, -- the ledger's own are invoices'
    invoice_id = NULL, attempts = excluded.attempts, updated_at = now()
WHERE invoice_jobs.state IN ('enqueued', 'failed') AND invoice_jobs.transaction_id IS NOT DISTINCT FROM excluded.transaction_id`,
			e.JobID, nullable(e.TransactionID), nullable(e.IdempotencyKey), nullable(e.Producer), e.Queue, asText, raw,
			e.Outcome, detail, e.Attempts, nullable(storable(e.TaskType)), e.TransactionID, e.JobID, e.JobID)
		if written.Error != nil || written.RowsAffected > 0 {
			return written.Error
		}
		var decided bool
		err := tx.Raw("SELECT EXISTS (SELECT FROM invoicer.invoice_jobs WHERE job_id = ? AND transaction_id IS NOT DISTINCT FROM ?::text AND state IN ('accepted', 'dismissed'))",
			e.JobID, nullable(e.TransactionID)).Scan(&decided).Error
		if err == nil && !decided {
			err = invoice.ErrEnded
		}
		return err
	}))
}

// storable makes any message fit for a text column.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
