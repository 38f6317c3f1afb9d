package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"invoicer/invoice"
)

// A State is where a transaction is on its way to an invoice.
type State string

const (
	// Unknown means that the database has no invoice of the transaction, and no job that waits or has failed: the transaction was never
	// asked for here, or by [Client.Enqueue] alone and its job hasn't ended.
	Unknown State = "unknown"
	// Accepted means that a job is in the ledger, and will be sent to its queue.
	Accepted State = "accepted"
	// Enqueued means that a job has been sent from the ledger to its queue and hasn't ended.
	Enqueued State = "enqueued"
	// Paused means that a job waits until a person resumes its series.
	Paused State = "paused"
	// Failed means that a job has failed, and that none waits: a person has to look.
	Failed State = "failed"
	// Dismissed means that a job has failed, that a person has decided that it needs no invoice, and that no other job waits.
	Dismissed State = "dismissed"
	// Invoiced means that there is an invoice or a credit note, here or elsewhere.
	Invoiced State = "invoiced"
)

// A Standing is the state of a transaction in the database.
type Standing struct {
	Issuer        string // "" is the one without a name
	TransactionID string
	// State is the furthest of what is true: invoiced, else of a job that waits (enqueued, accepted, paused), else failed, dismissed.
	State State
	// InvoiceNumber, like the fields up to InvoicedAt, belongs to the invoice or credit note. It is "" while there is
	// none.
	InvoiceNumber string
	Kind          string // invoice, credit_note
	Currency      string
	TotalMinor    int64 // in the currency's minor units
	InvoicedAt    time.Time
	// Imported says that the transaction was invoiced elsewhere, under InvoiceNumber. Kind is "" then, and the other fields are
	// as far as they are known.
	Imported bool
	// Waiting is the number of the transaction's jobs that are accepted and have no end yet. Jobs that were enqueued
	// directly aren't counted.
	Waiting int
	// PausedSeries is the series that one of these jobs waits for, "" if none does.
	PausedSeries string
	// Failed is the latest failed job, which may be there beside an invoice. It is zero if none failed.
	Failed Failure
}

// A Failure is the end of a job that made no invoice.
type Failure struct {
	JobID   string
	Outcome invoice.Outcome // conflict, invalid or failed
	Reason  string
}

// Lookup returns the state of a transaction of the client's issuer: see [Options].Issuer. It may be called inside a database
// transaction of the caller or outside of one. The role needs USAGE on the schema, and SELECT on its tables invoices and
// invoice_jobs; without SELECT on imported_invoices, Lookup doesn't tell the number of what was invoiced elsewhere. An unknown
// transaction is no error: its state is [Unknown].
func (c *Client) Lookup(ctx context.Context, q Querier, transactionID string) (Standing, error) {
	return c.LookupOf(ctx, q, c.options.Issuer, transactionID)
}

// LookupOf is Lookup for a transaction of the given issuer, "" for the one without a name.
func (c *Client) LookupOf(ctx context.Context, q Querier, issuer, transactionID string) (Standing, error) {
	s := Standing{Issuer: issuer, TransactionID: transactionID}
	var number, kind, currency, paused, failedID, failedOutcome, failedReason sql.NullString
	var total sql.NullInt64
	var at sql.NullTime
	var enqueued, accepted, mayReadImports, dismissed, done bool
	schema := `"` + c.options.Schema + `"`
	row := q.QueryRowContext(ctx, `
SELECT i.invoice_number, i.kind, i.currency, i.total_minor, i.created_at, jobs.waiting, jobs.enqueued, jobs.accepted, jobs.paused, jobs.dismissed, jobs.done,
    failed.job_id, failed.outcome, failed.reason, coalesce(has_table_privilege(to_regclass('`+schema+`.imported_invoices'), 'SELECT'), false)
FROM (SELECT $1::text AS id, $2::text AS issuer) AS asked
LEFT JOIN `+schema+`.invoices i ON i.transaction_id = asked.id AND i.issuer = asked.issuer
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state IN ('accepted', 'enqueued')) AS waiting, coalesce(bool_or(state = 'enqueued'), false) AS enqueued,
        coalesce(bool_or(state = 'accepted' AND paused_series IS NULL), false) AS accepted, max(paused_series) FILTER (WHERE state = 'accepted') AS paused,
        coalesce(bool_or(state = 'dismissed'), false) AS dismissed, coalesce(bool_or(state = 'done'), false) AS done
    FROM `+schema+`.invoice_jobs WHERE transaction_id = asked.id AND issuer = asked.issuer
) AS jobs
LEFT JOIN LATERAL (
    SELECT job_id, outcome, reason FROM `+schema+`.invoice_jobs
    WHERE transaction_id = asked.id AND issuer = asked.issuer AND state = 'failed' ORDER BY updated_at DESC, id DESC LIMIT 1
) AS failed ON true`, transactionID, issuer)
	if err := row.Scan(&number, &kind, &currency, &total, &at, &s.Waiting, &enqueued, &accepted, &paused, &dismissed, &done,
		&failedID, &failedOutcome, &failedReason, &mayReadImports); err != nil {
		return Standing{}, fmt.Errorf("look up transaction %s: %w", transactionID, err)
	}
	s.InvoiceNumber, s.Kind, s.Currency, s.TotalMinor = number.String, kind.String, currency.String, total.Int64
	s.InvoicedAt, s.PausedSeries = at.Time, paused.String
	s.Failed = Failure{JobID: failedID.String, Outcome: invoice.Outcome(failedOutcome.String), Reason: failedReason.String}
	switch {
	case number.Valid, done && !mayReadImports: // done without an invoice is a duplicate of an import
		s.State = Invoiced
	case enqueued:
		s.State = Enqueued
	case accepted:
		s.State = Accepted
	case paused.Valid:
		s.State = Paused
	case failedID.Valid:
		s.State = Failed
	case dismissed:
		s.State = Dismissed
	default:
		s.State = Unknown
	}
	if number.Valid || !mayReadImports {
		return s, nil
	}
	row = q.QueryRowContext(ctx, `
SELECT invoice_number, currency, total_minor, issued_at FROM `+schema+`.imported_invoices
WHERE issuer = $2::text AND transaction_id = $1::text AND withdrawn_at IS NULL`, transactionID, issuer)
	if err := row.Scan(&number, &currency, &total, &at); errors.Is(err, sql.ErrNoRows) {
		return s, nil
	} else if err != nil {
		return Standing{}, fmt.Errorf("look up transaction %s: %w", transactionID, err)
	}
	s.State = Invoiced
	s.Imported, s.InvoiceNumber, s.Currency, s.TotalMinor, s.InvoicedAt = true, number.String, currency.String, total.Int64, at.Time
	return s, nil
}
