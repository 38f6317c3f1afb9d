package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"invoicer/internal/fault"
	"invoicer/invoice"
)

// The constraints by which the database says that another writer was first.
const (
	transactionKey = "invoices_transaction_id_key"
	idempotencyKey = "invoices_idempotency_key_key"
)

// errFound ends a transaction that has nothing to write.
var errFound = errors.New("found")

// commitError wraps an error of COMMIT, after which the row may be there or not.
type commitError struct{ cause error }

func (e *commitError) Error() string { return "commit: " + e.cause.Error() }
func (e *commitError) Unwrap() error { return e.cause }

// Insert implements [invoice.Store]. The number, the invoice with its lines and taxes, and the end of the ledger's
// row become true in one transaction, or none of them does. After the commit's reply was lost, it finds out on a
// fresh connection what is true.
func (s *Store) Insert(ctx context.Context, d *invoice.Draft) (invoice.Insertion, error) {
	inserted, err := s.insert(ctx, d)
	var lost *commitError
	switch {
	case err == nil:
		return inserted, nil
	case errors.As(err, &lost):
		return s.settle(ctx, d, lost)
	case violates(err, transactionKey), violates(err, idempotencyKey):
		existing, findErr := s.Find(ctx, d.Job.TransactionID, d.Job.IdempotencyKey)
		if findErr != nil {
			return invoice.Insertion{}, findErr
		}
		return invoice.Insertion{Existing: existing, Raced: true}, nil
	case violates(err, "invoices_series_period_number_key"), violates(err, "invoices_invoice_number_key"):
		return invoice.Insertion{}, fmt.Errorf("series %s: the next number is taken already, so invoice_series.last_number or numbering.format doesn't fit what is stored: run `invoicer audit`: %w", d.Slot.Series, err)
	default:
		return invoice.Insertion{}, classify(err)
	}
}

func (s *Store) insert(ctx context.Context, d *invoice.Draft) (inserted invoice.Insertion, err error) {
	tx := s.db.WithContext(ctx).Begin()
	if tx.Error != nil {
		return inserted, tx.Error
	}
	defer func() {
		if err == nil {
			return
		}
		tx.Rollback() // the error that led here says more than a failing rollback
		if errors.Is(err, errFound) {
			err = nil
		}
	}()

	number, err := lockCounter(tx, d.JobID, d.Slot)
	if err != nil {
		return inserted, err
	}
	if err := fault.Hit(ctx, fault.Numbered); err != nil {
		return inserted, err
	}
	// In a statement of its own, after the wait for the counter: its snapshot sees what was committed meanwhile.
	existing, err := find(tx, d.Job.TransactionID, d.Job.IdempotencyKey)
	if err != nil {
		return inserted, err
	}
	if existing.OfTransaction != nil || existing.OfKey != nil {
		return invoice.Insertion{Existing: existing}, errFound
	}
	row, err := newInvoiceRow(d, number+1)
	if err != nil {
		return inserted, err
	}
	if err := tx.Create(row).Error; err != nil {
		return inserted, err
	}
	if err := writeRest(tx, d, row); err != nil {
		return inserted, err
	}
	if err := fault.Hit(ctx, fault.Written); err != nil {
		return inserted, err
	}
	if err := tx.Commit().Error; err != nil {
		return inserted, &commitError{cause: err}
	}
	return invoice.Insertion{Created: row.invoice()}, nil
}

// lockCounter locks the slot's counter until the transaction ends, and returns the last number that was given out. With
// it, it locks the job's end: what else is written about how this job ended waits, and sees this transaction's.
func lockCounter(tx *gorm.DB, jobID string, slot invoice.Slot) (int64, error) {
	var counters []struct {
		Kind       string
		LastNumber int64
	}
	lock := func() error {
		return tx.Raw("SELECT kind, last_number, "+lockEnd+"::text AS locked FROM invoice_series WHERE series = ? AND period = ? FOR NO KEY UPDATE",
			jobID, slot.Series, slot.Period).Scan(&counters).Error
	}
	if err := lock(); err != nil {
		return 0, err
	}
	if len(counters) == 0 {
		err := tx.Exec("INSERT INTO invoice_series (series, period, kind) VALUES (?, ?, ?) ON CONFLICT (series, period) DO NOTHING",
			slot.Series, slot.Period, slot.Kind).Error
		if violates(err, "invoice_series_one_kind") {
			return 0, otherKind(slot)
		}
		if err != nil {
			return 0, err
		}
		if err := lock(); err != nil {
			return 0, err
		}
	}
	if len(counters) != 1 {
		return 0, fmt.Errorf("series %s: %d counters, expected 1: run `invoicer audit`", slot.Series, len(counters))
	}
	if counters[0].Kind != string(slot.Kind) {
		return 0, otherKind(slot)
	}
	return counters[0].LastNumber, nil
}

func otherKind(slot invoice.Slot) error {
	return &invoice.InvalidError{Problems: []invoice.Problem{{
		Field:   "series",
		Message: fmt.Sprintf("%s holds the other kind of document, and this is of kind %s; a series holds one kind: send another series", slot.Series, slot.Kind),
	}}}
}

// writeRest writes, in one statement, what belongs to the invoice's row: the counter, lines, taxes, and the end of the
// ledger's row, where this job has one. Arrays, as GORM's multi-row Create costs reflection for each line.
func writeRest(tx *gorm.DB, d *invoice.Draft, row *invoiceRow) error {
	lines := newLineArrays(d)
	taxes := newTaxArrays(d.Document.Taxes)
	return tx.Exec(`
WITH counter AS (
    UPDATE invoice_series SET last_number = ? WHERE series = ? AND period = ?
), lines AS (
    INSERT INTO invoice_lines (invoice_id, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor)
    SELECT ?, l.position, l.sku, l.description, l.quantity, l.unit_price, l.discount_percent, l.tax_percent, l.net_minor
    FROM unnest(?::text[], ?::text[], ?::numeric[], ?::numeric[], ?::numeric[], ?::numeric[], ?::bigint[])
        WITH ORDINALITY AS l (sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor, position)
), taxes AS (
    INSERT INTO invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor)
    SELECT ?, t.tax_percent, t.net_minor, t.tax_minor
    FROM unnest(?::numeric[], ?::bigint[], ?::bigint[]) AS t (tax_percent, net_minor, tax_minor)
)
UPDATE invoice_jobs SET state = 'done', outcome = 'created', reason = NULL, invoice_id = ?, attempts = ?, updated_at = now()
WHERE job_id = ? AND transaction_id = ?`,
		row.Number, row.Series, row.Period,
		row.ID, &lines.sku, &lines.description, &lines.quantity, &lines.unitPrice, &lines.discount, &lines.tax, &d.Document.LineNets,
		row.ID, &taxes.percent, &taxes.net, &taxes.tax,
		row.ID, d.Attempt, d.JobID, row.TransactionID).Error
}

// settle finds out what became of a commit whose reply was lost. While nobody can tell, the answer is
// [invoice.ErrUnavailable]: the next attempt waits for the counter, which an unfinished commit still holds, and then
// sees what is true.
func (s *Store) settle(ctx context.Context, d *invoice.Draft, lost *commitError) (invoice.Insertion, error) {
	if answered(lost) {
		return invoice.Insertion{}, classify(lost)
	}
	// The job's own time may be what ran out.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.CommitCheckTimeout)
	defer cancel()
	var existing invoice.Existing
	err := s.fresh(func(db *gorm.DB) (err error) {
		existing, err = find(db.WithContext(ctx), d.Job.TransactionID, d.Job.IdempotencyKey)
		return err
	})
	if err != nil {
		return invoice.Insertion{}, &unavailableError{cause: fmt.Errorf("the outcome of the commit is unknown: %w", errors.Join(lost, err))}
	}
	if own := existing.OfTransaction; own != nil && own.JobID == d.JobID && own.Fingerprint == d.Fingerprint {
		return invoice.Insertion{Created: own}, nil
	}
	if existing.OfTransaction != nil || existing.OfKey != nil {
		return invoice.Insertion{Existing: existing, Raced: true}, nil
	}
	return invoice.Insertion{}, &unavailableError{cause: fmt.Errorf("the commit did not happen, or not yet: %w", lost)}
}

// newInvoiceRow is the draft as a row, under its number.
func newInvoiceRow(d *invoice.Draft, number int64) (*invoiceRow, error) {
	metadata := []byte("{}")
	if len(d.Job.Metadata) > 0 {
		var err error
		if metadata, err = json.Marshal(d.Job.Metadata); err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
	}
	j := d.Job
	return &invoiceRow{
		Series: d.Slot.Series, Period: d.Slot.Period, Number: number,
		InvoiceNumber: d.InvoiceNumber(number), Kind: string(d.Slot.Kind),
		TransactionID: j.TransactionID, IdempotencyKey: j.IdempotencyKey, JobID: d.JobID, Fingerprint: d.Fingerprint,
		RequestedSeries: nullable(j.Series), CreditsTransactionID: nullable(j.CreditsTransactionID),
		CustomerID: nullable(j.CustomerID), CustomerName: nullable(j.CustomerName), Country: nullable(j.Country),
		Currency: j.Currency, SubtotalMinor: d.Document.Subtotal, TaxMinor: d.Document.Tax, TotalMinor: d.Document.Total,
		IssuedAt: j.IssuedAt, Metadata: string(metadata),
	}, nil
}
