package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// ifAnyImport is a condition that is decided once for a statement: without any import, none is looked for in the indexes for each
// member.
const ifAnyImport = "AND EXISTS (SELECT FROM invoicer.imported_invoices)"

// addFind adds the statement that finds, for each member, the existing invoices of its transaction and key, here or
// imported, and its job's row in the ledger. The row is looked up by the job id alone. If the ledger has accepted another payload under
// that id, or the job was dismissed, the member's error is set.
func addFind(f *flight, group []*write) {
	var issuers, transactions, keys, jobIDs, digests array
	for _, w := range group {
		issuers.text(w.draft.Job.Issuer)
		transactions.text(w.draft.Job.TransactionID)
		keys.text(w.draft.Job.IdempotencyKey)
		jobIDs.text(w.draft.JobID)
		digests.text(digest(w.draft.Payload))
	}
	f.add(`
SELECT member, found.*
FROM unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS asked (asked_issuer, asked_transaction, asked_key, asked_job, asked_digest, member), LATERAL (
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, job_id, fingerprint, false AS imported, NULL AS currency, NULL::bigint AS total_minor,
        0::bigint AS ledger_id, '' AS state, false AS ours, true AS matches, NULL AS accepted, NULL AS asked, NULL::float8 AS since
    FROM invoicer.invoices WHERE transaction_id = asked_transaction AND issuer = asked_issuer
    UNION ALL
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, job_id, fingerprint, false, NULL, NULL, 0, '', false, true, NULL, NULL, NULL
    FROM invoicer.invoices WHERE idempotency_key = asked_key AND issuer = asked_issuer
    UNION ALL
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, '', '', true, currency, total_minor, 0, '', false, true, NULL, NULL, NULL
    FROM invoicer.imported_invoices WHERE issuer = asked_issuer AND withdrawn_at IS NULL AND transaction_id = asked_transaction `+ifAnyImport+`
    UNION ALL
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, '', '', true, currency, total_minor, 0, '', false, true, NULL, NULL, NULL
    FROM invoicer.imported_invoices WHERE issuer = asked_issuer AND withdrawn_at IS NULL AND idempotency_key = asked_key `+ifAnyImport+`
    UNION ALL
    SELECT 0, '', '', '', '', '', '', false, NULL, NULL, id, state, ours, matches, CASE WHEN ours AND NOT matches THEN payload END,
        CASE WHEN ours THEN to_char(accepted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END,
        CASE WHEN ours THEN extract(epoch FROM clock_timestamp() - accepted_at)::float8 END FROM (
        SELECT id, state, payload, accepted_at, `+ours+` AS ours, `+matching("asked_issuer", "asked_transaction", "asked_digest")+` AS matches
        FROM invoicer.invoice_jobs WHERE job_id = asked_job
    ) AS compared
) found`,
		&issuers, &transactions, &keys, &jobIDs, &digests).Query(func(rows pgx.Rows) error {
		for _, w := range group {
			w.accepted = false
		}
		err := collect(func(r *foundRow) error {
			group[r.Member-1].found(r)
			return nil
		})(rows)
		for _, w := range group {
			if w.err == nil && w.draft.LedgerOnly && !w.accepted {
				w.err = invoice.ErrNotAccepted
			}
		}
		return err
	})
}

type foundRow struct {
	Member int64

	refRow

	LedgerID      int64
	State         string
	Ours, Matches bool // the ledger has accepted the job id; with the member's payload
	Accepted      *string
	Asked         *string  // when the ledger accepted the job
	Since         *float64 // how many seconds ago that was
}

func (w *write) found(r *foundRow) {
	if r.LedgerID != 0 {
		w.accepted = r.Ours
		switch {
		case r.State == "dismissed" && (r.Ours || r.Matches):
			w.err = &ledger.DismissedError{JobID: w.draft.JobID}
		case r.Ours && !r.Matches:
			w.err = altered(w.draft.JobID, r.Accepted)
		case r.Matches:
			w.ledgerID, w.asked = r.LedgerID, text(r.Asked)
			if r.Since != nil {
				w.since = time.Duration(*r.Since * float64(time.Second))
			}
		}
		return
	}
	there := r.ref()
	if r.TransactionID == w.draft.Job.TransactionID {
		w.inserted.Existing.OfTransaction = there
	}
	if r.IdempotencyKey == w.draft.Job.IdempotencyKey {
		w.inserted.Existing.OfKey = there
	}
}
