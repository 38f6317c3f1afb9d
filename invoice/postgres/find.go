package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// Find implements [invoice.Store].
func (s *Invoices) Find(ctx context.Context, transactionID, key string) (invoice.Existing, error) {
	existing, err := find(s.db.WithContext(ctx), transactionID, key)
	return existing, classify(err)
}

func find(db *gorm.DB, transactionID, key string) (invoice.Existing, error) {
	var rows []refRow
	err := db.Raw(`SELECT id, invoice_number, transaction_id, idempotency_key, job_id, fingerprint
FROM invoicer.invoices WHERE transaction_id = ? OR idempotency_key = ?`, transactionID, key).Scan(&rows).Error
	return existing(rows, transactionID, key), err
}

// existing picks the transaction's invoice and the key's invoice from the rows.
func existing(rows []refRow, transactionID, key string) invoice.Existing {
	var found invoice.Existing
	for i := range rows {
		if rows[i].TransactionID == transactionID {
			found.OfTransaction = rows[i].ref()
		}
		if rows[i].IdempotencyKey == key {
			found.OfKey = rows[i].ref()
		}
	}
	return found
}
