package postgres

import (
	"context"
	"database/sql"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// Lookup returns every record about a transaction, read in one snapshot, with the newest limit duplicate attempts and
// the newest limit jobs at most. For an unknown transaction it returns no records and no error.
func (s *Reports) Lookup(ctx context.Context, transactionID string, limit int) (*report.Records, error) {
	found := noRecords()
	found.TransactionID = &transactionID
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := readInvoice(tx, found, "transaction_id = ?", transactionID); err != nil {
			return err
		}
		if err := readAttempts(tx, found, "transaction_id = ?", transactionID, limit); err != nil {
			return err
		}
		return readJobs(tx, found, "transaction_id = ?", transactionID, limit)
	})
	return found, classify(err)
}

// LookupJob returns every record about a job, whether or not its payload was valid, and the invoice of its
// transaction, read in one snapshot. For an unknown job it returns no records and no error.
func (s *Reports) LookupJob(ctx context.Context, jobID string) (*report.Records, error) {
	found := noRecords()
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := readAttempts(tx, found, "job_id = ?", jobID, 1); err != nil {
			return err
		}
		if err := readJobs(tx, found, "job_id = ?", jobID, 1); err != nil {
			return err
		}
		var transactions []string
		err := tx.Raw(`SELECT transaction_id FROM invoicer.invoice_jobs WHERE job_id = ? AND transaction_id IS NOT NULL
UNION SELECT transaction_id FROM invoicer.duplicate_attempts WHERE job_id = ?`, jobID, jobID).Scan(&transactions).Error
		if err != nil {
			return err
		}
		if len(transactions) > 0 {
			found.TransactionID = &transactions[0]
			return readInvoice(tx, found, "transaction_id = ?", transactions[0])
		}
		if len(found.Jobs) > 0 {
			return nil
		}
		if err := readInvoice(tx, found, "job_id = ?", jobID); err != nil || found.Invoice == nil {
			return err
		}
		found.TransactionID = &found.Invoice.TransactionID
		return nil
	})
	return found, classify(err)
}

func (s *core) snapshot(ctx context.Context, read func(tx *gorm.DB) error) error {
	return s.db.WithContext(ctx).Transaction(read, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func noRecords() *report.Records {
	return &report.Records{DuplicateAttempts: []report.Duplicate{}, Jobs: []report.Job{}}
}

func readInvoice(tx *gorm.DB, r *report.Records, where, id string) error {
	var found []report.Invoice
	err := tx.Raw(`SELECT invoices.*, (SELECT count(*) FROM invoicer.invoice_lines WHERE invoice_id = invoices.id) AS lines
FROM invoicer.invoices WHERE `+where+` LIMIT 1`, id).Scan(&found).Error
	if len(found) > 0 {
		r.Invoice = &found[0]
	}
	return err
}

func readAttempts(tx *gorm.DB, r *report.Records, where, id string, limit int) error {
	return tx.Raw(`SELECT * FROM invoicer.duplicate_attempts WHERE `+where+` ORDER BY id DESC LIMIT ?`, id, limit).Scan(&r.DuplicateAttempts).Error
}

func readJobs(tx *gorm.DB, r *report.Records, where, id string, limit int) error {
	var rows []struct {
		report.LedgerRow
		InvoicedSince *string
	}
	err := tx.Raw(`
SELECT jobs.*, (
    SELECT invoice_number FROM invoicer.invoices
    WHERE jobs.state = 'failed' AND invoices.transaction_id = jobs.transaction_id AND invoices.created_at > jobs.updated_at
) AS invoiced_since
FROM (SELECT * FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY id DESC LIMIT ?) jobs ORDER BY id DESC`, id, limit).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return err
	}
	r.Jobs = make([]report.Job, len(rows))
	byID := make(map[string]*report.Job, len(rows))
	ids := make([]string, len(rows))
	for i, row := range rows {
		r.Jobs[i] = report.Job{LedgerRow: row.LedgerRow, InvoicedSince: row.InvoicedSince, Actions: []report.JobAction{}, FailedAttempts: []report.Attempt{}}
		ids[i], byID[r.Jobs[i].JobID] = r.Jobs[i].JobID, &r.Jobs[i]
	}
	var actions []report.JobAction
	if err := tx.Raw(`SELECT * FROM invoicer.invoice_job_actions WHERE job_id = ANY(?::text[]) ORDER BY id`, &ids).Scan(&actions).Error; err != nil {
		return err
	}
	for _, action := range actions {
		byID[action.JobID].Actions = append(byID[action.JobID].Actions, action)
	}
	attempts, err := readFailedAttempts(tx, ids)
	for _, attempt := range attempts {
		byID[attempt.JobID].FailedAttempts = append(byID[attempt.JobID].FailedAttempts, attempt)
	}
	return err
}

// Counts returns how many jobs have ended, and how.
func (s *Reports) Counts(ctx context.Context) (report.Counts, error) {
	var c report.Counts
	err := s.db.WithContext(ctx).Raw(`SELECT (SELECT count(*) FROM invoicer.invoices) AS invoices,
(SELECT count(*) FROM invoicer.duplicate_attempts) AS duplicates,
(SELECT count(*) FROM invoicer.invoice_jobs WHERE state = 'failed') AS failed`).Scan(&c).Error
	return c, classify(err)
}

// Tallies returns the counts and sums of the stored documents, by kind and currency.
func (s *Reports) Tallies(ctx context.Context) ([]report.Tally, error) {
	var t []report.Tally
	err := s.db.WithContext(ctx).Raw(`SELECT kind, currency, count(*) AS documents, sum(total_minor)::text AS total_minor
FROM invoicer.invoices GROUP BY kind, currency ORDER BY kind DESC, currency`).Scan(&t).Error
	return t, classify(err)
}

var _ invoice.Store = (*Invoices)(nil)
