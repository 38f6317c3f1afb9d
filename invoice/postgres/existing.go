package postgres

import (
	"crypto/sha256"
	"encoding/hex"

	"invoicer/invoice"
)

// addFind adds what tells each member what exists of its transaction and key, and which row of the ledger its job has. A
// job of the ledger is looked for by its id alone: where the ledger says something else of it than the queue, or that it was
// dismissed, the member gets its error.
func addFind(f *flight, group []*write) {
	var transactions, keys, jobIDs, hashes array
	for _, w := range group {
		transactions.text(w.draft.Job.TransactionID)
		keys.text(w.draft.Job.IdempotencyKey)
		jobIDs.text(w.draft.JobID)
		if w.draft.FromLedger {
			hash := sha256.Sum256(w.draft.Payload)
			hashes.text(hex.EncodeToString(hash[:]))
		} else {
			hashes.null()
		}
	}
	f.add(`
SELECT member, found.*
FROM unnest(?::text[], ?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS asked (asked_transaction, asked_key, asked_job, asked_hash, member), LATERAL (
    SELECT id, invoice_number, transaction_id, idempotency_key, job_id, fingerprint, 0::bigint AS ledger_id, '' AS state, false AS differs, NULL::bytea AS payload
    FROM invoicer.invoices WHERE transaction_id = asked_transaction
    UNION ALL
    SELECT id, invoice_number, transaction_id, idempotency_key, job_id, fingerprint, 0, '', false, NULL FROM invoicer.invoices WHERE idempotency_key = asked_key
    UNION ALL
    SELECT 0, '', '', '', '', '', id, state, differs, CASE WHEN differs THEN kept END FROM (
        SELECT id, state, kept, asked_hash IS NOT NULL AND CASE
            WHEN kept IS NULL THEN transaction_id IS DISTINCT FROM asked_transaction -- it was pruned
            ELSE encode(sha256(kept), 'hex') <> asked_hash END AS differs
        FROM (SELECT id, state, transaction_id, coalesce(convert_to(payload, 'UTF8'), payload_raw) AS kept FROM invoicer.invoice_jobs
            WHERE job_id = asked_job AND (asked_hash IS NOT NULL OR transaction_id = asked_transaction)) AS jobs
    ) AS compared
) found`,
		literals(&transactions, &keys, &jobIDs, &hashes)...).Query(collect(func(r *foundRow) error {
		group[r.Member-1].found(r)
		return nil
	}))
}

type foundRow struct {
	Member, ID                                                       int64
	InvoiceNumber, TransactionID, IdempotencyKey, JobID, Fingerprint string

	LedgerID int64
	State    string
	Differs  bool
	Payload  []byte
}

func (w *write) found(r *foundRow) {
	if r.LedgerID != 0 {
		switch {
		case r.State == "dismissed":
			w.err = &invoice.DismissedError{JobID: w.draft.JobID}
		case r.Differs:
			w.err = &invoice.AlteredError{JobID: w.draft.JobID, Payload: r.Payload}
		default:
			w.ledgerID = r.LedgerID
		}
		return
	}
	there := &invoice.Invoice{
		ID: r.ID, Number: r.InvoiceNumber, TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
		JobID: r.JobID, Fingerprint: r.Fingerprint,
	}
	if r.TransactionID == w.draft.Job.TransactionID {
		w.inserted.Existing.OfTransaction = there
	}
	if r.IdempotencyKey == w.draft.Job.IdempotencyKey {
		w.inserted.Existing.OfKey = there
	}
}
