package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"invoicer/invoice"
)

// Read implements [invoice.Store].
func (s *Invoices) Read(ctx context.Context, invoiceID int64) (*invoice.Invoice, error) {
	return s.read(ctx, invoiceID)
}

func (s *core) read(ctx context.Context, invoiceID int64) (*invoice.Invoice, error) {
	// The three statements don't need a common snapshot: what they read is immutable.
	db := s.db.WithContext(ctx)
	whole, err := s.readInvoice(ctx, invoiceID)
	if err != nil {
		return nil, err
	}
	var lines []struct {
		LineText
		NetMinor int64
	}
	err = db.Raw(`SELECT sku, description, quantity::text, unit_price::text, discount_percent::text, tax_percent::text, net_minor, terms::text, texts::text
FROM invoicer.invoice_lines WHERE invoice_id = ? ORDER BY position`, invoiceID).Scan(&lines).Error
	if err != nil {
		return nil, classify(err)
	}
	var taxes []struct {
		Code, Category, TaxPercent     string
		NetMinor, AddedMinor, TaxMinor int64
	}
	err = db.Raw(`SELECT code, category, tax_percent::text, net_minor, coalesce(added_minor, 0) AS added_minor, tax_minor
FROM invoicer.invoice_taxes t WHERE invoice_id = ? ORDER BY `+InOrderOfTaxes, invoiceID).Scan(&taxes).Error
	if err != nil {
		return nil, classify(err)
	}

	for i := range lines {
		line, err := lines[i].Line()
		if err != nil {
			return nil, fmt.Errorf("invoice %s: %w", whole.Number, err)
		}
		whole.Lines = append(whole.Lines, invoice.InvoicedLine{Line: line, Net: lines[i].NetMinor})
	}
	for _, t := range taxes {
		percent, err := invoice.ParseDecimal(t.TaxPercent)
		if err != nil {
			return nil, fmt.Errorf("invoice %s: stored tax_percent: %w", whole.Number, err)
		}
		whole.Taxes = append(whole.Taxes, invoice.Tax{Code: t.Code, Category: t.Category, Percent: percent, Net: t.NetMinor, Added: t.AddedMinor, Tax: t.TaxMinor})
	}
	return whole, nil
}

// InOrderOfTaxes sorts rows t of invoice_taxes as [invoice.Totals] has them.
const InOrderOfTaxes = `t.tax_percent, t.code COLLATE "C", t.category COLLATE "C"`

func (s *core) readInvoice(ctx context.Context, id int64) (*invoice.Invoice, error) {
	whole := &invoice.Invoice{Ref: invoice.Ref{ID: id}}
	var metadata, terms, parties []byte
	query := `SELECT invoice_number, issuer, transaction_id, idempotency_key, job_id, fingerprint, series, period, kind, number,
coalesce(requested_series, ''), coalesce(producer, ''), issued_at, created_at, currency, subtotal_minor, tax_minor, total_minor, coalesce(payable_minor, total_minor), coalesce(issuer_version, 0), coalesce(document_date::text, ''), terms, parties, metadata`
	to := []any{
		&whole.Number, &whole.Issuer, &whole.TransactionID, &whole.IdempotencyKey, &whole.JobID, &whole.Fingerprint,
		&whole.Slot.Series, &whole.Slot.Period, &whole.Slot.Kind, &whole.Sequence,
		&whole.RequestedSeries, &whole.Producer, &whole.IssuedAt, &whole.CreatedAt, &whole.Currency, &whole.Subtotal, &whole.Tax, &whole.Total, &whole.Payable, &whole.IssuerVersion, &whole.DocumentDate, &terms, &parties, &metadata,
	}
	for i, name := range invoice.DetailNames() {
		query, to = query+", coalesce("+name+", '')", append(to, whole.Detail(i))
	}
	err := s.sql.QueryRowContext(ctx, query+" FROM invoicer.invoices WHERE id = $1", id).Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, invoice.ErrNotInvoiced
	}
	if err != nil {
		return nil, classify(err)
	}
	whole.Slot.Issuer = whole.Issuer
	whole.IssuedAt, whole.CreatedAt = whole.IssuedAt.UTC(), whole.CreatedAt.UTC()
	if err := json.Unmarshal(metadata, &whole.Metadata); err != nil {
		return nil, fmt.Errorf("invoice %s: metadata: %w", whole.Number, err)
	}
	if whole.Terms, err = invoice.ReadTerms(string(terms), string(parties)); err != nil {
		return nil, fmt.Errorf("invoice %s: terms: %w", whole.Number, err)
	}
	return whole, nil
}

// LineText is a stored line, with its decimals in Postgres's text form.
type LineText struct {
	SKU, Description                     *string
	Quantity, UnitPrice, DiscountPercent string
	TaxPercent                           *string
	Terms, Texts                         *string // as JSON
}

// Line returns the line with its decimals parsed exactly.
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
	if t.Terms != nil || t.Texts != nil {
		terms, err := invoice.ReadLineTerms(text(t.Terms), text(t.Texts))
		if err != nil {
			return l, fmt.Errorf("stored terms: %w", err)
		}
		l.Terms = terms
	}
	return l, nil
}
