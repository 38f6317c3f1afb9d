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

func (r *invoiceRow) ref() *invoice.Ref {
	return &invoice.Ref{
		ID: r.ID, Number: r.InvoiceNumber, TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
		JobID: r.JobID, Fingerprint: r.Fingerprint,
	}
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
