package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// Find implements [invoice.Store].
func (s *Store) Find(ctx context.Context, transactionID, key string) (invoice.Existing, error) {
	existing, err := find(s.db.WithContext(ctx), transactionID, key)
	return existing, classify(err)
}

func find(db *gorm.DB, transactionID, key string) (invoice.Existing, error) {
	var rows []invoiceRow
	err := db.Raw(`SELECT id, invoice_number, transaction_id, idempotency_key, job_id, fingerprint
FROM invoicer.invoices WHERE transaction_id = ? OR idempotency_key = ?`, transactionID, key).Scan(&rows).Error
	return existing(rows, transactionID, key), err
}

// existing picks what is of a transaction and of a key.
func existing(rows []invoiceRow, transactionID, key string) invoice.Existing {
	var found invoice.Existing
	for i := range rows {
		if rows[i].TransactionID == transactionID {
			found.OfTransaction = rows[i].invoice()
		}
		if rows[i].IdempotencyKey == key {
			found.OfKey = rows[i].invoice()
		}
	}
	return found
}

// Content implements [invoice.Store]: a stored invoice as the job that would make it, with the same fingerprint.
func (s *Store) Content(ctx context.Context, invoiceID int64) (*invoice.Job, error) {
	var job *invoice.Job
	// Both statements in one snapshot would buy nothing: what they read is immutable.
	db := s.db.WithContext(ctx)
	var row invoiceRow
	found := db.Raw("SELECT * FROM invoicer.invoices WHERE id = ?", invoiceID).Scan(&row)
	if found.Error != nil {
		return nil, classify(found.Error)
	}
	if found.RowsAffected == 0 {
		return nil, invoice.ErrNotInvoiced
	}
	var lines []LineText
	err := db.Raw(`SELECT sku, description, quantity::text, unit_price::text, discount_percent::text, tax_percent::text
FROM invoicer.invoice_lines WHERE invoice_id = ? ORDER BY position`, invoiceID).Scan(&lines).Error
	if err != nil {
		return nil, classify(err)
	}
	job, err = row.job()
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		line, err := l.Line()
		if err != nil {
			return nil, fmt.Errorf("invoice %s: %w", row.InvoiceNumber, err)
		}
		job.Lines = append(job.Lines, line)
	}
	return job, nil
}

func (r *invoiceRow) job() (*invoice.Job, error) {
	job := &invoice.Job{
		Version:       invoice.TaskVersion,
		TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
		Series: text(r.RequestedSeries), CreditsTransactionID: text(r.CreditsTransactionID),
		CustomerID: text(r.CustomerID), CustomerName: text(r.CustomerName), Country: text(r.Country),
		IssuedAt: r.IssuedAt.UTC(), Currency: r.Currency,
	}
	if err := json.Unmarshal([]byte(r.Metadata), &job.Metadata); err != nil {
		return nil, fmt.Errorf("invoice %s: metadata: %w", r.InvoiceNumber, err)
	}
	return job, nil
}

// LineText is a stored line with its decimals as Postgres writes them.
type LineText struct {
	SKU, Description                     *string
	Quantity, UnitPrice, DiscountPercent string
	TaxPercent                           *string
}

// Line reads the decimals exactly.
func (t LineText) Line() (invoice.Line, error) {
	l := invoice.Line{SKU: text(t.SKU), Description: text(t.Description)}
	for _, f := range []struct {
		name, text string
		to         *invoice.Decimal
	}{
		{"quantity", t.Quantity, &l.Quantity},
		{"unit_price", t.UnitPrice, &l.UnitPrice},
		{"discount_percent", t.DiscountPercent, &l.DiscountPercent},
	} {
		d, err := invoice.ParseDecimal(f.text)
		if err != nil {
			return l, fmt.Errorf("stored %s: %w", f.name, err)
		}
		*f.to = d
	}
	if t.TaxPercent != nil {
		d, err := invoice.ParseDecimal(*t.TaxPercent)
		if err != nil {
			return l, fmt.Errorf("stored tax_percent: %w", err)
		}
		l.TaxPercent = &d
	}
	return l, nil
}
