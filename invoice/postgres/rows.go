package postgres

import "invoicer/invoice"

// refRow is the row from which a reference to an invoice or to an import is read.
type refRow struct {
	ID             int64
	InvoiceNumber  string
	Issuer         string
	TransactionID  string
	IdempotencyKey string
	JobID          string
	Fingerprint    string
	Imported       bool
	Currency       *string // of an import, if it is known; so is the total
	TotalMinor     *int64
}

func (r *refRow) ref() *invoice.Ref {
	ref := &invoice.Ref{
		ID: r.ID, Number: r.InvoiceNumber, Issuer: r.Issuer, TransactionID: r.TransactionID, IdempotencyKey: r.IdempotencyKey,
		JobID: r.JobID, Fingerprint: r.Fingerprint,
	}
	if r.Imported {
		ref.Imported = &invoice.Imported{Currency: text(r.Currency), Total: r.TotalMinor}
	}
	return ref
}

// nullable returns nil, which is stored as NULL, for "".
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
