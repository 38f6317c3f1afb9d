package report

import "time"

// A JobState is how a job of the ledger stands, with what was made of it.
type JobState struct {
	LedgerRow

	TransactionID *string `json:"transaction_id"` // null for a job whose payload states none
	// Document is what the job has made or is a duplicate of. It is null if there is none, or it was made elsewhere.
	Document *Document `json:"invoice"`
	// InvoiceNumber is the document's, or that of an import of which the job is a duplicate.
	InvoiceNumber *string `json:"invoice_number"`
}

// A Document is what everybody may know of an invoice who has asked for it.
type Document struct {
	InvoiceNumber string    `json:"invoice_number"`
	Kind          string    `json:"kind"`
	Series        string    `json:"series"`
	JobID         string    `json:"job_id"` // that has made it
	Currency      string    `json:"currency"`
	SubtotalMinor int64     `json:"subtotal_minor"`
	TaxMinor      int64     `json:"tax_minor"`
	TotalMinor    int64     `json:"total_minor"`
	PayableMinor  int64     `json:"payable_minor"`
	IssuedAt      time.Time `json:"issued_at"`
	DocumentDate  *string   `json:"document_date"` // the day of issue; null if issued_at is the document's date
	CreatedAt     time.Time `json:"created_at"`
}
