package postgres

import (
	"context"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// EndOf returns how a job stands: its end, if it has one.
func (s *Reports) EndOf(ctx context.Context, jobID string) (report.End, error) {
	var rows []report.End
	err := s.db.WithContext(ctx).Raw(`
SELECT 'created' AS outcome, NULL AS reason, NULL AS paused_series FROM invoicer.invoices WHERE job_id = @job
UNION ALL SELECT 'duplicate', NULL, NULL FROM invoicer.duplicate_attempts WHERE job_id = @job
UNION ALL SELECT outcome, reason, paused_series FROM invoicer.invoice_jobs WHERE job_id = @job AND (outcome IS NOT NULL OR paused_series IS NOT NULL)
LIMIT 1`, map[string]any{"job": jobID}).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return report.End{}, classify(err)
	}
	return rows[0], nil
}

// PausedSeries returns the series that are paused.
func (s *Reports) PausedSeries(ctx context.Context) ([]invoice.SeriesID, error) {
	var paused []struct{ Issuer, Series string }
	err := s.db.WithContext(ctx).Raw(`SELECT issuer, series FROM (SELECT DISTINCT ON (issuer, series) issuer, series, state FROM invoicer.series ORDER BY issuer, series, version DESC) newest
WHERE state = 'paused'`).Scan(&paused).Error
	ids := make([]invoice.SeriesID, len(paused))
	for i, p := range paused {
		ids[i] = invoice.SeriesID{Issuer: p.Issuer, Name: p.Series}
	}
	return ids, classify(err)
}
