package client

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"invoicer/invoice"
)

// An Execer runs a statement: a [*sql.Tx], [*sql.Conn] or [*sql.DB], or the Statement.ConnPool of a GORM transaction.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// A Querier reads a row: a [*sql.Tx], [*sql.Conn] or [*sql.DB], or the Statement.ConnPool of a GORM transaction.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Accept asks for a job's invoice inside the caller's transaction: the job exists if and only if the transaction is
// committed, and from then on it is never lost. The ledger must be in the same database. The role needs no more than
// USAGE on the ledger's schema and EXECUTE on its function accept.
//
// If replication is synchronous, the caller's COMMIT waits for a standby. If that wait is cancelled, by a timeout or
// by an administrator, Postgres has committed on the primary alone, and answers with success and a warning (SQLSTATE
// 01000) that database/sql doesn't pass on. A caller that has to know must read the server's warnings, with pgx by
// ConnConfig.OnNotice, and treat a COMMIT with such a warning like one whose reply was lost: its outcome is unknown.
// In both cases it is right to ask again: the transaction is invoiced once. (In SQL, a repeated accept with the
// caller's own job_id waits for the row that it finds.)
//
// For a job that can never be an invoice, Accept returns an [*invoice.InvalidError] before it sends anything. Any
// other error comes from the database, and the transaction can only be rolled back.
func (c *Client) Accept(ctx context.Context, tx Execer, job *invoice.Job, queue ...string) (Receipt, error) {
	payload, err := c.encode(job)
	if err != nil {
		return Receipt{}, err
	}
	receipt := c.receipt(queue)
	// The values are cast, since drivers send strings with different types.
	call := `"` + c.options.Schema + `".accept($1::text, $2::text, $3::uuid)`
	args := []any{string(payload), receipt.Queue, receipt.JobID}
	if c.options.Traceparent != nil {
		// CASE has an order. What is set holds until the transaction ends, so it is set for a job without a trace, too.
		call = `CASE WHEN set_config('invoicer.traceparent', $4::text, true) IS NOT NULL THEN ` + call + ` END`
		args = append(args, c.traceparent(ctx))
	}
	if _, err = tx.ExecContext(ctx, "SELECT "+call, args...); err != nil {
		return Receipt{}, fmt.Errorf("accept: %w", err)
	}
	return receipt, nil
}

// A Standing is the state of a transaction in the database.
type Standing struct {
	TransactionID string
	// InvoiceNumber, like the fields up to InvoicedAt, belongs to the invoice or credit note. It is "" while there is
	// none.
	InvoiceNumber string
	Kind          string // invoice, credit_note
	Currency      string
	TotalMinor    int64 // in the currency's minor units
	InvoicedAt    time.Time
	// Waiting is the number of the transaction's jobs that are accepted and have no end yet. Jobs that were enqueued
	// directly aren't counted.
	Waiting int
	// Failed is the reason of the latest failed job, "" if none failed.
	Failed string
}

// Lookup returns the state of a transaction. It may be called inside a database transaction of the caller or outside
// of one. The role needs USAGE on the schema, and SELECT on its tables invoices and invoice_jobs. For an unknown
// transaction Lookup returns an empty Standing and no error.
func (c *Client) Lookup(ctx context.Context, q Querier, transactionID string) (Standing, error) {
	s := Standing{TransactionID: transactionID}
	var number, kind, currency, failed sql.NullString
	var total sql.NullInt64
	var at sql.NullTime
	schema := `"` + c.options.Schema + `"`
	row := q.QueryRowContext(ctx, `
SELECT i.invoice_number, i.kind, i.currency, i.total_minor, i.created_at,
    (SELECT count(*) FROM `+schema+`.invoice_jobs WHERE transaction_id = asked.id AND state IN ('accepted', 'enqueued')),
    (SELECT outcome || ': ' || reason FROM `+schema+`.invoice_jobs WHERE transaction_id = asked.id AND state = 'failed' ORDER BY updated_at DESC LIMIT 1)
FROM (SELECT $1::text AS id) AS asked LEFT JOIN `+schema+`.invoices i ON i.transaction_id = asked.id`, transactionID)
	if err := row.Scan(&number, &kind, &currency, &total, &at, &s.Waiting, &failed); err != nil {
		return Standing{}, fmt.Errorf("look up transaction %s: %w", transactionID, err)
	}
	s.InvoiceNumber, s.Kind, s.Currency, s.TotalMinor = number.String, kind.String, currency.String, total.Int64
	s.InvoicedAt, s.Failed = at.Time, failed.String
	return s, nil
}
