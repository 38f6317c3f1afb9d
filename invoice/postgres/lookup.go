package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// A Report holds every record about one transaction, or about one job. Keys are named like the columns.
type Report struct {
	TransactionID     *string            `json:"transaction_id"` // null for a job whose payload states none
	Invoice           *InvoiceReport     `json:"invoice"`
	DuplicateAttempts []DuplicateAttempt `json:"duplicate_attempts"`
	Jobs              []JobReport        `json:"jobs"`
}

// Known reports whether there is any record.
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

	// InvoicedSince is set for a failed job whose transaction was invoiced after the failure: the invoice's number.
	InvoicedSince *string `json:"invoiced_since"`
	// Actions are the actions on the job, the latest last.
	Actions []JobAction `json:"actions" gorm:"-"`
}

// Lookup returns every record about a transaction, read in one snapshot, with the newest limit duplicate attempts and
// the newest limit jobs at most. For an unknown transaction it returns an empty report and no error.
func (s *Reports) Lookup(ctx context.Context, transactionID string, limit int) (*Report, error) {
	report := newReport()
	report.TransactionID = &transactionID
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := report.readInvoice(tx, "transaction_id = ?", transactionID); err != nil {
			return err
		}
		if err := report.readAttempts(tx, "transaction_id = ?", transactionID, limit); err != nil {
			return err
		}
		return report.readJobs(tx, "transaction_id = ?", transactionID, limit)
	})
	return report, classify(err)
}

// LookupJob returns every record about a job, whether or not its payload was valid, and the invoice of its
// transaction, read in one snapshot. For an unknown job it returns an empty report and no error.
func (s *Reports) LookupJob(ctx context.Context, jobID string) (*Report, error) {
	report := newReport()
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := report.readAttempts(tx, "job_id = ?", jobID, 1); err != nil {
			return err
		}
		if err := report.readJobs(tx, "job_id = ?", jobID, 1); err != nil {
			return err
		}
		var transactions []string
		err := tx.Raw(`SELECT transaction_id FROM invoicer.invoice_jobs WHERE job_id = ? AND transaction_id IS NOT NULL
UNION SELECT transaction_id FROM invoicer.duplicate_attempts WHERE job_id = ?`, jobID, jobID).Scan(&transactions).Error
		if err != nil {
			return err
		}
		if len(transactions) > 0 {
			report.TransactionID = &transactions[0]
			return report.readInvoice(tx, "transaction_id = ?", transactions[0])
		}
		if len(report.Jobs) > 0 {
			return nil
		}
		// There is no index for this query, which is rare.
		if err := report.readInvoice(tx, "job_id = ?", jobID); err != nil || report.Invoice == nil {
			return err
		}
		report.TransactionID = &report.Invoice.TransactionID
		return nil
	})
	return report, classify(err)
}

func (s *core) snapshot(ctx context.Context, read func(tx *gorm.DB) error) error {
	return s.db.WithContext(ctx).Transaction(read, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func newReport() *Report {
	return &Report{DuplicateAttempts: []DuplicateAttempt{}, Jobs: []JobReport{}}
}

func (r *Report) readInvoice(tx *gorm.DB, where, id string) error {
	var found []InvoiceReport
	err := tx.Raw(`SELECT invoices.*, (SELECT count(*) FROM invoicer.invoice_lines WHERE invoice_id = invoices.id) AS lines
FROM invoicer.invoices WHERE `+where+` LIMIT 1`, id).Scan(&found).Error
	if len(found) > 0 {
		r.Invoice = &found[0]
	}
	return err
}

func (r *Report) readAttempts(tx *gorm.DB, where, id string, limit int) error {
	return tx.Raw(`SELECT * FROM invoicer.duplicate_attempts WHERE `+where+` ORDER BY id DESC LIMIT ?`, id, limit).Scan(&r.DuplicateAttempts).Error
}

func (r *Report) readJobs(tx *gorm.DB, where, id string, limit int) error {
	err := tx.Raw(`
SELECT jobs.*, (
    SELECT invoice_number FROM invoicer.invoices
    WHERE jobs.state = 'failed' AND invoices.transaction_id = jobs.transaction_id AND invoices.created_at > jobs.updated_at
) AS invoiced_since
FROM (SELECT * FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY id DESC LIMIT ?) jobs ORDER BY id DESC`, id, limit).Scan(&r.Jobs).Error
	if err != nil || len(r.Jobs) == 0 {
		return err
	}
	byID := make(map[string]*JobReport, len(r.Jobs))
	ids := make([]string, len(r.Jobs))
	for i := range r.Jobs {
		r.Jobs[i].Actions = []JobAction{}
		ids[i], byID[r.Jobs[i].JobID] = r.Jobs[i].JobID, &r.Jobs[i]
	}
	var actions []JobAction
	if err := tx.Raw(`SELECT * FROM invoicer.invoice_job_actions WHERE job_id = ANY(?::text[]) ORDER BY id`, &ids).Scan(&actions).Error; err != nil {
		return err
	}
	for _, action := range actions {
		byID[action.JobID].Actions = append(byID[action.JobID].Actions, action)
	}
	return nil
}

// A Tally counts and sums the documents of one kind and currency.
type Tally struct {
	Kind       string `json:"kind"`
	Currency   string `json:"currency"`
	Documents  int64  `json:"documents"`
	TotalMinor string `json:"total_minor"` // a sum of int64 may exceed int64
}

// Counts are the numbers of ended jobs, by how they ended.
type Counts struct {
	Invoices   int64 `json:"invoices"`
	Duplicates int64 `json:"duplicate_attempts"`
	Failed     int64 `json:"failed"`
}

// Counts returns how many jobs have ended, and how.
func (s *Reports) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	err := s.db.WithContext(ctx).Raw(`SELECT (SELECT count(*) FROM invoicer.invoices) AS invoices,
(SELECT count(*) FROM invoicer.duplicate_attempts) AS duplicates,
(SELECT count(*) FROM invoicer.invoice_jobs WHERE state = 'failed') AS failed`).Scan(&c).Error
	return c, classify(err)
}

// Tallies returns the counts and sums of the stored documents, by kind and currency.
func (s *Reports) Tallies(ctx context.Context) ([]Tally, error) {
	var t []Tally
	err := s.db.WithContext(ctx).Raw(`SELECT kind, currency, count(*) AS documents, sum(total_minor)::text AS total_minor
FROM invoicer.invoices GROUP BY kind, currency ORDER BY kind DESC, currency`).Scan(&t).Error
	return t, classify(err)
}

var _ invoice.Store = (*Invoices)(nil)
