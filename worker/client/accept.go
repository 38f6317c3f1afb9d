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

// Accept asks for a job's invoice inside the caller's transaction: the job exists if and only if that is committed, and
// from then on it is never lost. It is for a database that is the ledger's too, and its role needs USAGE on the schema
// and EXECUTE on its function accept, no more.
//
// Where replication is synchronous, the caller's COMMIT waits for a standby. If that wait is cancelled, by a timeout or by an
// administrator, Postgres has committed on the primary alone, and answers with success and a warning (SQLSTATE 01000) that
// database/sql doesn't pass on. Whoever has to know looks at what the server warns of, with pgx by ConnConfig.OnNotice, and
// takes a COMMIT with such a warning for unknown, like one whose reply was lost. To ask again is right in both cases: the
// transaction is invoiced once. (In SQL, accept with a job_id of the caller's own, said again, waits for what it finds.)
//
// A job that can never be an invoice is refused with [*invoice.InvalidError], before anything is sent; any other error
// comes from the database, and the transaction can only be rolled back.
func (c *Client) Accept(ctx context.Context, tx Execer, job *invoice.Job, queue ...string) (Receipt, error) {
	payload, err := c.encode(job)
	if err != nil {
		return Receipt{}, err
	}
	receipt := c.receipt(queue)
	// The values are cast, as drivers differ in what type they say a string is of.
	_, err = tx.ExecContext(ctx, `SELECT "`+c.options.Schema+`".accept($1::text, $2::text, $3::uuid)`, string(payload), receipt.Queue, receipt.JobID)
	if err != nil {
		return Receipt{}, fmt.Errorf("accept: %w", err)
	}
	return receipt, nil
}

// A Standing is what the database knows about a transaction.
type Standing struct {
	TransactionID string
	// InvoiceNumber, and what follows up to InvoicedAt, is of the invoice or credit note; "" while there is none.
	InvoiceNumber string
	Kind          string // invoice, credit_note
	Currency      string
	TotalMinor    int64 // in the currency's minor units
	InvoicedAt    time.Time
	// Waiting is how many jobs for it are accepted and have no end yet. What was enqueued straight into Redis isn't
	// known here.
	Waiting int
	// Failed is why the latest failed job failed; "" where none did.
	Failed string
}

// Lookup tells how a transaction stands, inside a transaction of the caller's or out of one. Its role needs USAGE
// on the schema, and SELECT on its tables invoices and invoice_jobs. Nothing known gives an empty Standing and no error.
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
