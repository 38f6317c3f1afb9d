package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"invoicer/invoice"
)

// Read implements [invoice.Store].
func (s *Store) Read(ctx context.Context, invoiceID int64) (*invoice.Invoice, error) {
	// All three statements in one snapshot would buy nothing: what they read is immutable.
	db := s.db.WithContext(ctx)
	var row invoiceRow
	found := db.Raw("SELECT * FROM invoicer.invoices WHERE id = ?", invoiceID).Scan(&row)
	if found.Error != nil {
		return nil, classify(found.Error)
	}
	if found.RowsAffected == 0 {
		return nil, invoice.ErrNotInvoiced
	}
	var lines []struct {
		LineText
		NetMinor int64
	}
	err := db.Raw(`SELECT sku, description, quantity::text, unit_price::text, discount_percent::text, tax_percent::text, net_minor
FROM invoicer.invoice_lines WHERE invoice_id = ? ORDER BY position`, invoiceID).Scan(&lines).Error
	if err != nil {
		return nil, classify(err)
	}
	var taxes []struct {
		TaxPercent         string
		NetMinor, TaxMinor int64
	}
	err = db.Raw("SELECT tax_percent::text, net_minor, tax_minor FROM invoicer.invoice_taxes WHERE invoice_id = ? ORDER BY tax_percent", invoiceID).Scan(&taxes).Error
	if err != nil {
		return nil, classify(err)
	}

	whole, err := row.invoice()
	if err != nil {
		return nil, err
	}
	for i := range lines {
		line, err := lines[i].Line()
		if err != nil {
			return nil, fmt.Errorf("invoice %s: %w", row.InvoiceNumber, err)
		}
		whole.Lines = append(whole.Lines, invoice.InvoiceLine{Line: line, Net: lines[i].NetMinor})
	}
	for _, t := range taxes {
		percent, err := invoice.ParseDecimal(t.TaxPercent)
		if err != nil {
			return nil, fmt.Errorf("invoice %s: stored tax_percent: %w", row.InvoiceNumber, err)
		}
		whole.Taxes = append(whole.Taxes, invoice.Tax{Percent: percent, Net: t.NetMinor, Tax: t.TaxMinor})
	}
	return whole, nil
}

func (r *invoiceRow) invoice() (*invoice.Invoice, error) {
	whole := &invoice.Invoice{
		Ref:             *r.ref(),
		Slot:            invoice.Slot{Series: r.Series, Period: r.Period, Kind: invoice.Kind(r.Kind)},
		Sequence:        r.Number,
		RequestedSeries: text(r.RequestedSeries), CreditsTransactionID: text(r.CreditsTransactionID),
		IssuedAt: r.IssuedAt.UTC(), CreatedAt: r.CreatedAt.UTC(), Currency: r.Currency,
		Customer: invoice.Party{ID: text(r.CustomerID), Name: text(r.CustomerName), Country: text(r.Country)},
		Subtotal: r.SubtotalMinor, Tax: r.TaxMinor, Total: r.TotalMinor,
	}
	if err := json.Unmarshal([]byte(r.Metadata), &whole.Metadata); err != nil {
		return nil, fmt.Errorf("invoice %s: metadata: %w", r.InvoiceNumber, err)
	}
	return whole, nil
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
