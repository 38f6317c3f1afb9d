package postgres

import "invoicer/invoice"

// refRow is the row from which a reference to an invoice is read.
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
