package postgres

import (
	"time"

	"invoicer/invoice"
)

// invoiceRow is a row of invoices; created_at is the database's.
type invoiceRow struct {
	ID                   int64 `gorm:"primaryKey"`
	Series               string
	Period               string
	Number               int64
	InvoiceNumber        string
	Kind                 string
	TransactionID        string
	IdempotencyKey       string
	JobID                string
	Fingerprint          string
	RequestedSeries      *string
	CreditsTransactionID *string
	CustomerID           *string
	CustomerName         *string
	Country              *string
	Currency             string
	SubtotalMinor        int64
	TaxMinor             int64
	TotalMinor           int64
	IssuedAt             time.Time
	Metadata             string
	CreatedAt            time.Time `gorm:"->;autoCreateTime:false"`
}

func (invoiceRow) TableName() string { return "invoices" }

func (r *invoiceRow) invoice() *invoice.Invoice {
	return &invoice.Invoice{
		ID: r.ID, Number: r.InvoiceNumber, TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
		JobID: r.JobID, Fingerprint: r.Fingerprint,
	}
}

// lineArrays are an invoice's lines by column. GORM spreads slices into lists; it leaves pointers to them alone.
type lineArrays struct {
	sku, description              []*string
	quantity, unitPrice, discount []string
	tax                           []*string
}

func newLineArrays(d *invoice.Draft) lineArrays {
	n := len(d.Job.Lines)
	a := lineArrays{
		sku: make([]*string, n), description: make([]*string, n),
		quantity: make([]string, n), unitPrice: make([]string, n), discount: make([]string, n),
		tax: make([]*string, n),
	}
	for i, l := range d.Job.Lines {
		a.sku[i], a.description[i] = nullable(l.SKU), nullable(l.Description)
		a.quantity[i], a.unitPrice[i], a.discount[i] = l.Quantity.String(), l.UnitPrice.String(), l.DiscountPercent.String()
		if l.TaxPercent != nil {
			a.tax[i] = nullable(l.TaxPercent.String())
		}
	}
	return a
}

type taxArrays struct {
	percent  []string
	net, tax []int64
}

func newTaxArrays(taxes []invoice.Tax) taxArrays {
	a := taxArrays{percent: make([]string, len(taxes)), net: make([]int64, len(taxes)), tax: make([]int64, len(taxes))}
	for i, t := range taxes {
		a.percent[i], a.net[i], a.tax[i] = t.Percent.String(), t.Net, t.Tax
	}
	return a
}

// nullable stores what is absent as NULL.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
