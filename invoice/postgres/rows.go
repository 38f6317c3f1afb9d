package postgres

import "invoicer/invoice"

// refRow is what a reference to an invoice is read from.
type refRow struct {
	ID             int64
	InvoiceNumber  string
	TransactionID  string
	IdempotencyKey string
	JobID          string
	Fingerprint    string
}

func (r *refRow) ref() *invoice.Ref {
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
