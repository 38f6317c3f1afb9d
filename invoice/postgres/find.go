package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// Find implements [invoice.Store].
func (s *Invoices) Find(ctx context.Context, issuer, transactionID, key string) (invoice.Existing, error) {
	existing, err := find(s.db.WithContext(ctx), issuer, transactionID, key)
	return existing, classify(err)
}

func find(db *gorm.DB, issuer, transactionID, key string) (invoice.Existing, error) {
	var rows []refRow
	err := db.Raw(`SELECT id, invoice_number, issuer, transaction_id, idempotency_key, job_id, fingerprint, false AS imported, NULL::text AS currency, NULL::bigint AS total_minor
FROM invoicer.invoices WHERE issuer = @issuer AND (transaction_id = @transaction OR idempotency_key = @key)
UNION ALL
SELECT id, invoice_number, issuer, transaction_id, idempotency_key, '', '', true, currency, total_minor
FROM invoicer.imported_invoices WHERE issuer = @issuer AND withdrawn_at IS NULL AND transaction_id = @transaction
UNION ALL
SELECT id, invoice_number, issuer, transaction_id, idempotency_key, '', '', true, currency, total_minor
FROM invoicer.imported_invoices WHERE issuer = @issuer AND withdrawn_at IS NULL AND idempotency_key = @key`,
		map[string]any{"issuer": issuer, "transaction": transactionID, "key": key}).Scan(&rows).Error
	return existing(rows, transactionID, key), err
}

// FindAll implements [invoice.Store].
func (s *Invoices) FindAll(ctx context.Context, asked []invoice.Asked) ([]invoice.Existing, error) {
	issuers, transactions, keys := make([]string, len(asked)), make([]string, len(asked)), make([]string, len(asked))
	for i, a := range asked {
		issuers[i], transactions[i], keys[i] = a.Issuer, a.TransactionID, a.IdempotencyKey
	}
	var rows []struct {
		Member int
		Ref    refRow `gorm:"embedded"`
	}
	err := s.db.WithContext(ctx).Raw(`
SELECT member, found.*
FROM unnest(?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS asked (asked_issuer, asked_transaction, asked_key, member), LATERAL (
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, job_id, fingerprint, false AS imported, NULL::text AS currency, NULL::bigint AS total_minor
    FROM invoicer.invoices WHERE transaction_id = asked_transaction AND issuer = asked_issuer
    UNION ALL
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, job_id, fingerprint, false, NULL, NULL
    FROM invoicer.invoices WHERE idempotency_key = asked_key AND issuer = asked_issuer
    UNION ALL
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, '', '', true, currency, total_minor
    FROM invoicer.imported_invoices WHERE issuer = asked_issuer AND withdrawn_at IS NULL AND transaction_id = asked_transaction
    UNION ALL
    SELECT id, invoice_number, issuer, transaction_id, idempotency_key, '', '', true, currency, total_minor
    FROM invoicer.imported_invoices WHERE issuer = asked_issuer AND withdrawn_at IS NULL AND idempotency_key = asked_key
) found`, &issuers, &transactions, &keys).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	of := make([][]refRow, len(asked))
	for _, r := range rows {
		of[r.Member-1] = append(of[r.Member-1], r.Ref)
	}
	found := make([]invoice.Existing, len(asked))
	for i, a := range asked {
		found[i] = existing(of[i], a.TransactionID, a.IdempotencyKey)
	}
	return found, nil
}

// existing picks the transaction's invoice and the key's invoice from the rows, or their imports.
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
