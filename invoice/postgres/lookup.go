package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// A Report is everything on record about one transaction. Keys are named like the columns.
type Report struct {
	TransactionID     string             `json:"transaction_id"`
	Invoice           *InvoiceReport     `json:"invoice"`
	DuplicateAttempts []DuplicateAttempt `json:"duplicate_attempts"`
	Jobs              []JobReport        `json:"jobs"`
}

// Known tells whether there is anything on record.
func (r *Report) Known() bool {
	return r.Invoice != nil || len(r.DuplicateAttempts) > 0 || len(r.Jobs) > 0
}

// An InvoiceReport is an invoice's row, with the number of its lines.
type InvoiceReport struct {
	ID                   int64           `json:"id"`
	InvoiceNumber        string          `json:"invoice_number"`
	Kind                 string          `json:"kind"`
	Series               string          `json:"series"`
	Period               string          `json:"period"`
	Number               int64           `json:"number"`
	TransactionID        string          `json:"transaction_id"`
	IdempotencyKey       string          `json:"idempotency_key"`
	JobID                string          `json:"job_id"`
	Fingerprint          string          `json:"fingerprint"`
	CreditsTransactionID *string         `json:"credits_transaction_id"`
	Currency             string          `json:"currency"`
	SubtotalMinor        int64           `json:"subtotal_minor"`
	TaxMinor             int64           `json:"tax_minor"`
	TotalMinor           int64           `json:"total_minor"`
	IssuedAt             time.Time       `json:"issued_at"`
	Metadata             json.RawMessage `json:"metadata" gorm:"type:jsonb"`
	CreatedAt            time.Time       `json:"created_at"`
	Lines                int             `json:"lines"`
}

// A DuplicateAttempt is a recorded duplicate.
type DuplicateAttempt struct {
	ID             int64     `json:"id"`
	JobID          string    `json:"job_id"`
	IdempotencyKey string    `json:"idempotency_key"`
	InvoiceID      int64     `json:"invoice_id"`
	Reason         string    `json:"reason"`
	Producer       *string   `json:"producer"`
	Worker         string    `json:"worker"`
	AttemptedAt    time.Time `json:"attempted_at"`
}

// A JobReport is a row of the ledger, without its payload.
type JobReport struct {
	ID             int64     `json:"id"`
	JobID          string    `json:"job_id"`
	IdempotencyKey *string   `json:"idempotency_key"`
	Producer       *string   `json:"producer"`
	Queue          string    `json:"queue"`
	State          string    `json:"state"`
	Outcome        *string   `json:"outcome"`
	Reason         *string   `json:"reason"`
	InvoiceID      *int64    `json:"invoice_id"`
	Dispatch       int       `json:"dispatch"`
	Attempts       int       `json:"attempts"`
	AcceptedAt     time.Time `json:"accepted_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// Lookup reads, in one snapshot, everything on record about a transaction; of duplicate attempts and jobs at most
// limit each, the newest. An unknown transaction gives an empty report and no error.
func (s *Store) Lookup(ctx context.Context, transactionID string, limit int) (*Report, error) {
	report := &Report{TransactionID: transactionID, DuplicateAttempts: []DuplicateAttempt{}, Jobs: []JobReport{}}
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var found []InvoiceReport
		err := tx.Raw(`SELECT invoices.*, (SELECT count(*) FROM invoice_lines WHERE invoice_id = invoices.id) AS lines
FROM invoices WHERE transaction_id = ?`, transactionID).Scan(&found).Error
		if err != nil {
			return err
		}
		if len(found) > 0 {
			report.Invoice = &found[0]
		}
		err = tx.Raw(`SELECT * FROM duplicate_attempts WHERE transaction_id = ? ORDER BY id DESC LIMIT ?`, transactionID, limit).
			Scan(&report.DuplicateAttempts).Error
		if err != nil {
			return err
		}
		return tx.Raw(`SELECT * FROM invoice_jobs WHERE transaction_id = ? ORDER BY id DESC LIMIT ?`, transactionID, limit).
			Scan(&report.Jobs).Error
	}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	return report, classify(err)
}

// A Tally counts what is stored.
type Tally struct {
	Kind       string `json:"kind"`
	Currency   string `json:"currency"`
	Documents  int64  `json:"documents"`
	TotalMinor string `json:"total_minor"` // a sum of int64 may exceed int64
}

// Counts are the sizes of the tables that jobs end in.
type Counts struct {
	Invoices   int64 `json:"invoices"`
	Duplicates int64 `json:"duplicate_attempts"`
	Failed     int64 `json:"failed"`
}

// Counts reads how many jobs have ended, and how.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	err := s.db.WithContext(ctx).Raw(`SELECT (SELECT count(*) FROM invoices) AS invoices,
(SELECT count(*) FROM duplicate_attempts) AS duplicates,
(SELECT count(*) FROM invoice_jobs WHERE state = 'failed') AS failed`).Scan(&c).Error
	return c, classify(err)
}

// Tallies sums the stored documents by kind and currency.
func (s *Store) Tallies(ctx context.Context) ([]Tally, error) {
	var t []Tally
	err := s.db.WithContext(ctx).Raw(`SELECT kind, currency, count(*) AS documents, sum(total_minor)::text AS total_minor
FROM invoices GROUP BY kind, currency ORDER BY kind DESC, currency`).Scan(&t).Error
	return t, classify(err)
}

var _ invoice.Store = (*Store)(nil)
