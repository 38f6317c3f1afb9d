package postgres

import (
	"context"

	"invoicer/internal/report"
)

// JobStates returns how those of the jobs stand that the ledger has, by job id; if ended, only of those that have come to their end. It
// reads by indexes, in two statements for any number of jobs.
func (s *Reports) JobStates(ctx context.Context, jobIDs []string, ended bool) (map[string]*report.JobState, error) {
	query := `
SELECT j.id, j.job_id, j.issuer, j.transaction_id, j.idempotency_key, j.producer, j.queue, j.state, j.outcome, j.reason, j.invoice_id, j.imported_id, j.dispatch,
    j.attempts, j.paused_series, j.accepted_at, j.updated_at, (SELECT invoice_number FROM invoicer.imported_invoices m WHERE m.id = j.imported_id) AS invoice_number
FROM invoicer.invoice_jobs j WHERE j.job_id = ANY (?::text[])`
	if ended {
		query += " AND j.state NOT IN ('accepted', 'enqueued')"
	}
	var rows []struct {
		report.LedgerRow
		TransactionID, InvoiceNumber *string
	}
	if err := s.db.WithContext(ctx).Raw(query, &jobIDs).Scan(&rows).Error; err != nil {
		return nil, classify(err)
	}
	states := make(map[string]*report.JobState, len(rows))
	var ids []int64
	for _, r := range rows {
		states[r.JobID] = &report.JobState{LedgerRow: r.LedgerRow, TransactionID: r.TransactionID, InvoiceNumber: r.InvoiceNumber}
		if r.InvoiceID != nil {
			ids = append(ids, *r.InvoiceID)
		}
	}
	if len(ids) == 0 {
		return states, nil
	}
	var documents []struct {
		ID int64
		report.Document
	}
	if err := s.db.WithContext(ctx).Raw(`
SELECT id, invoice_number, kind, series, job_id, currency, subtotal_minor, tax_minor, total_minor, coalesce(payable_minor, total_minor) AS payable_minor,
    issued_at, document_date::text AS document_date, created_at
FROM invoicer.invoices WHERE id = ANY (?::bigint[])`, &ids).Scan(&documents).Error; err != nil {
		return nil, classify(err)
	}
	byID := make(map[int64]*report.Document, len(documents))
	for i := range documents {
		byID[documents[i].ID] = &documents[i].Document
	}
	for _, state := range states {
		if state.InvoiceID == nil || byID[*state.InvoiceID] == nil {
			continue
		}
		state.Document = byID[*state.InvoiceID]
		state.InvoiceNumber = &state.Document.InvoiceNumber
	}
	return states, nil
}

// Numbered returns the invoices with a number, of the given issuers or, for nil, of all: one at most of each issuer.
func (s *Reports) Numbered(ctx context.Context, issuers []string, number string) ([]report.Invoice, error) {
	found := []report.Invoice{}
	err := s.db.WithContext(ctx).Raw("SELECT "+invoicedColumns("invoices")+" FROM invoicer.invoices WHERE invoice_number = ? AND coalesce(issuer = ANY(CAST(? AS text[])), true) ORDER BY issuer LIMIT 20",
		number, textsOrNull(issuers)).Scan(&found).Error
	for i := range found {
		addStated(&found[i])
	}
	return found, classify(err)
}
