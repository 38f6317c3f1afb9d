package postgres

import (
	"context"
	"database/sql"
	"slices"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// Lookup returns every record about a transaction of an issuer, read in one snapshot, with the newest limit duplicate attempts and
// the newest limit jobs at most. For an unknown transaction it returns no records and no error.
func (s *Reports) Lookup(ctx context.Context, issuer, transactionID string, limit int) (*report.Records, error) {
	found := noRecords()
	found.Issuer, found.TransactionID = issuer, &transactionID
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := readInvoice(tx, found, ofTransaction, transactionID, issuer); err != nil {
			return err
		}
		if err := readImports(tx, found, issuer, transactionID); err != nil {
			return err
		}
		if err := readFamily(tx, found); err != nil {
			return err
		}
		if err := readAttempts(tx, found, ofTransaction, limit, transactionID, issuer); err != nil {
			return err
		}
		return readJobs(tx, found, ofTransaction, limit, transactionID, issuer)
	})
	if err == nil {
		err = s.addAdjustments(ctx, found.Invoice) // of rows that never change
	}
	return found, classify(err)
}

// ofTransaction is the condition that a record is of a transaction of an issuer.
const ofTransaction = "transaction_id = ? AND issuer = ?"

// LookupJob returns every record about a job, whether or not its payload was valid, and the invoice of its
// transaction, read in one snapshot. If issuer isn't nil, it returns that issuer's records alone. For an unknown job it returns no records
// and no error.
func (s *Reports) LookupJob(ctx context.Context, issuer *string, jobID string) (*report.Records, error) {
	const ofJob = "job_id = ? AND coalesce(CAST(? AS text), issuer) = issuer"
	found := noRecords()
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := readAttempts(tx, found, ofJob, 1, jobID, issuer); err != nil {
			return err
		}
		if err := readJobs(tx, found, ofJob, 1, jobID, issuer); err != nil {
			return err
		}
		var transactions []struct{ Issuer, TransactionID string }
		err := tx.Raw(`SELECT issuer, transaction_id FROM invoicer.invoice_jobs WHERE transaction_id IS NOT NULL AND `+ofJob+`
UNION SELECT issuer, transaction_id FROM invoicer.duplicate_attempts WHERE `+ofJob, jobID, issuer, jobID, issuer).Scan(&transactions).Error
		if err != nil {
			return err
		}
		if len(transactions) > 0 {
			found.Issuer, found.TransactionID = transactions[0].Issuer, &transactions[0].TransactionID
			if err := readImports(tx, found, found.Issuer, *found.TransactionID); err != nil {
				return err
			}
			if err := readInvoice(tx, found, ofTransaction, *found.TransactionID, found.Issuer); err != nil {
				return err
			}
			return readFamily(tx, found)
		}
		if len(found.Jobs) > 0 {
			found.Issuer = found.Jobs[0].Issuer
			return nil
		}
		if err := readInvoice(tx, found, ofJob, jobID, issuer); err != nil || found.Invoice == nil {
			return err
		}
		found.Issuer, found.TransactionID = found.Invoice.Issuer, &found.Invoice.TransactionID
		return readFamily(tx, found)
	})
	if err == nil {
		err = s.addAdjustments(ctx, found.Invoice)
	}
	return found, classify(err)
}

func (s *core) snapshot(ctx context.Context, read func(tx *gorm.DB) error) error {
	return s.db.WithContext(ctx).Transaction(read, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func noRecords() *report.Records {
	return &report.Records{Imports: []report.Import{}, Family: report.NoFamily(), DuplicateAttempts: []report.Duplicate{}, Jobs: []report.Job{}}
}

func readInvoice(tx *gorm.DB, r *report.Records, where string, values ...any) error {
	var found []report.Invoice
	err := tx.Raw(`SELECT `+invoicedColumns("invoices")+` FROM invoicer.invoices WHERE `+where+` LIMIT 1`, values...).Scan(&found).Error
	if err != nil || len(found) == 0 {
		return err
	}
	r.Invoice = &found[0]
	return tx.Raw(`SELECT h.channel, h.state, CASE WHEN h.state = 'queued' AND h.due_at IS NULL THEN coalesce(ci.invoice_number, '') ELSE '' END AS waits_for,
    h.error IS NOT NULL AS failing, coalesce(h.their_id, '') AS their_id, coalesce(h.clearance, '') AS clearance, h.changed_at
FROM invoicer.handovers h LEFT JOIN invoicer.handovers c ON c.id = h.credits LEFT JOIN invoicer.invoices ci ON ci.id = c.invoice_id
WHERE h.invoice_id = ? ORDER BY h.id`, r.Invoice.ID).Scan(&r.Handovers).Error
}

// readImports reads the import that holds, and the newest of those that were withdrawn.
func readImports(tx *gorm.DB, r *report.Records, issuer, transactionID string) error {
	return tx.Raw(`SELECT * FROM (
    SELECT * FROM invoicer.imported_invoices WHERE issuer = @issuer AND transaction_id = @transaction AND withdrawn_at IS NULL
    UNION ALL
    (SELECT * FROM invoicer.imported_invoices WHERE issuer = @issuer AND transaction_id = @transaction AND withdrawn_at IS NOT NULL ORDER BY id DESC LIMIT 20)
) AS imports ORDER BY withdrawn_at IS NOT NULL, id DESC`, map[string]any{"issuer": issuer, "transaction": transactionID}).Scan(&r.Imports).Error
}

func readAttempts(tx *gorm.DB, r *report.Records, where string, limit int, values ...any) error {
	return tx.Raw(`SELECT * FROM invoicer.duplicate_attempts WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(values, limit)...).Scan(&r.DuplicateAttempts).Error
}

func readJobs(tx *gorm.DB, r *report.Records, where string, limit int, values ...any) error {
	var rows []struct {
		report.LedgerRow
		InvoicedSince *string
	}
	err := tx.Raw(`
SELECT jobs.*, coalesce((
    SELECT invoice_number FROM invoicer.invoices
    WHERE jobs.state = 'failed' AND invoices.transaction_id = jobs.transaction_id AND invoices.issuer = jobs.issuer AND invoices.created_at > jobs.updated_at
), (
    SELECT invoice_number FROM invoicer.imported_invoices imported
    WHERE jobs.state = 'failed' AND imported.issuer = jobs.issuer AND imported.transaction_id = jobs.transaction_id AND withdrawn_at IS NULL AND imported_at > jobs.updated_at
)) AS invoiced_since
FROM (SELECT * FROM invoicer.invoice_jobs WHERE `+where+` ORDER BY id DESC LIMIT ?) jobs ORDER BY id DESC`, append(values, limit)...).Scan(&rows).Error
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
	if err := addPauses(tx, r.Jobs); err != nil {
		return err
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

// addPauses adds who has paused the series that jobs wait for.
func addPauses(tx *gorm.DB, jobs []report.Job) error {
	var names []string
	for i := range jobs {
		if name := jobs[i].PausedSeries; name != nil && !slices.Contains(names, *name) {
			names = append(names, *name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	pauses, err := readPauses(tx, names)
	for i := range jobs {
		if name := jobs[i].PausedSeries; name != nil {
			if pause, ok := pauses[*name]; ok {
				jobs[i].Pause = &pause
			}
		}
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
