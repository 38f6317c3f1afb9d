package postgres

import (
	"gorm.io/gorm"

	"invoicer/internal/report"
)

const (
	// mostRelatives bounds how many documents of a family are listed, upwards and downwards.
	mostRelatives = 200
	// deepest bounds how far a family is followed. Workers of a release before may have made one that has no end.
	deepest = 50
)

// readFamily reads what the transaction's document credits, and what credits it.
func readFamily(tx *gorm.DB, r *report.Records) error {
	id, currency := *r.TransactionID, ""
	var left, before *int64
	if i := r.Invoice; i != nil {
		currency, left, before = i.Currency, &i.TotalMinor, new(int64)
	} else if i := r.Import(); i != nil {
		if left, before = i.TotalMinor, i.CreditedTotalMinor; i.Currency != nil {
			currency = *i.Currency
		}
	}
	f, values := &r.Family, map[string]any{"issuer": r.Issuer, "id": id, "deepest": deepest, "most": mostRelatives + 1, "currency": currency}
	if r.Invoice != nil && r.Invoice.CreditsTransactionID != nil {
		values["credited"] = *r.Invoice.CreditsTransactionID
		err := tx.Raw(`
WITH RECURSIVE above (depth, transaction_id) AS (
    SELECT 1, CAST(@credited AS text)
    UNION ALL
    SELECT depth + 1, i.credits_transaction_id FROM above JOIN invoicer.invoices i ON i.issuer = @issuer AND i.transaction_id = above.transaction_id
    WHERE i.credits_transaction_id IS NOT NULL AND i.credits_transaction_id <> @id AND depth < @deepest
)
SELECT depth, documents.* FROM above CROSS JOIN LATERAL (
    SELECT invoice_number, transaction_id, kind, currency, total_minor, issued_at FROM invoicer.invoices i
    WHERE i.issuer = @issuer AND i.transaction_id = above.transaction_id
    UNION ALL
    SELECT invoice_number, transaction_id, '', coalesce(currency, ''), total_minor, issued_at FROM invoicer.imported_invoices i
    WHERE i.issuer = @issuer AND i.transaction_id = above.transaction_id AND i.withdrawn_at IS NULL
) AS documents ORDER BY depth`, values).Scan(&f.Credits).Error
		if err != nil {
			return err
		}
	}
	if err := readReplaced(tx, r); err != nil {
		return err
	}
	err := tx.Raw(`
WITH RECURSIVE below (depth, id, transaction_id) AS (
    SELECT 1, i.id, i.transaction_id FROM invoicer.invoices i WHERE i.issuer = @issuer AND i.credits_transaction_id = @id
    UNION ALL
    SELECT depth + 1, i.id, i.transaction_id FROM below JOIN invoicer.invoices i ON i.issuer = @issuer AND i.credits_transaction_id = below.transaction_id
    WHERE i.transaction_id <> @id AND depth < @deepest
), members AS (SELECT id, min(depth) AS depth FROM below GROUP BY id)
SELECT depth, invoice_number, transaction_id, kind, currency, total_minor, issued_at
FROM members JOIN invoicer.invoices USING (id) ORDER BY id LIMIT @most`, values).Scan(&f.CreditedBy).Error
	if err != nil || len(f.CreditedBy) == 0 {
		return err
	}
	if f.More = len(f.CreditedBy) > mostRelatives; f.More {
		f.CreditedBy = f.CreditedBy[:mostRelatives]
	}
	if left == nil {
		return nil
	}
	values["total"], values["before"] = *left, int64(0)
	if before != nil {
		values["before"] = *before
	}
	return tx.Raw(`
WITH RECURSIVE below (id, transaction_id) AS (
    SELECT i.id, i.transaction_id FROM invoicer.invoices i WHERE i.issuer = @issuer AND i.credits_transaction_id = @id
    UNION
    SELECT i.id, i.transaction_id FROM below JOIN invoicer.invoices i ON i.issuer = @issuer AND i.credits_transaction_id = below.transaction_id
    WHERE i.transaction_id <> @id
)
SELECT greatest(-9223372036854775808, least(9223372036854775807, @total - sign(@total) * @before + sum(total_minor)))::bigint
FROM below JOIN invoicer.invoices USING (id) WHERE currency = @currency`, values).Scan(&f.LeftMinor).Error
}

// readReplaced reads what the transaction's document stands in for, and what stands in for it.
func readReplaced(tx *gorm.DB, r *report.Records) error {
	const columns = "1 AS depth, invoice_number, transaction_id, kind, currency, total_minor, issued_at FROM invoicer.invoices i"
	values := map[string]any{"issuer": r.Issuer, "id": *r.TransactionID, "most": mostRelatives}
	if r.Invoice != nil && r.Invoice.Terms != nil {
		values["own"] = r.Invoice.ID
		err := tx.Raw(`
WITH replaced AS (SELECT terms ->> 'replaces_transaction_id' AS id FROM invoicer.invoices WHERE id = @own)
SELECT `+columns+` WHERE i.issuer = @issuer AND i.transaction_id = (SELECT id FROM replaced)
UNION ALL
SELECT 1, invoice_number, transaction_id, '', coalesce(currency, ''), total_minor, issued_at FROM invoicer.imported_invoices i
WHERE i.issuer = @issuer AND i.transaction_id = (SELECT id FROM replaced) AND i.withdrawn_at IS NULL`, values).Scan(&r.Family.Replaces).Error
		if err != nil {
			return err
		}
	}
	return tx.Raw("SELECT "+columns+" WHERE i.issuer = @issuer AND i.terms ->> 'replaces_transaction_id' = @id ORDER BY id LIMIT @most", values).Scan(&r.Family.ReplacedBy).Error
}
