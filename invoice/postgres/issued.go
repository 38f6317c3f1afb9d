package postgres

import (
	"context"

	"invoicer/internal/report"
)

// Issued returns those documents that match the filter among the next limit ones after an id, 0 for the first, in the order of their ids, and the id to go
// on after; more is false at the end. Whoever goes on so misses none that was committed before.
func (s *Documents) Issued(ctx context.Context, f report.IssuedFilter, after int64, limit int) (matching []report.Issued, next int64, more bool, err error) {
	rows, err := s.sql.QueryContext(ctx, `
SELECT id, invoice_number, issuer, kind, to_char(day, 'YYYY-MM-DD'), currency, total_minor, erasure_id IS NOT NULL,
    ($3 = '' OR day >= $3::text::date) AND ($4 = '' OR day <= $4::text::date) AND ($5::text IS NULL OR issuer = $5) AND ($6 = '' OR series = $6)
FROM (
    SELECT *, `+dayOf+` AS day
    FROM (SELECT id, issuer, issuer_version, invoice_number, kind, series, series_version, currency, total_minor, document_date, issued_at, erasure_id
        FROM invoicer.invoices WHERE id > $1 ORDER BY id LIMIT $2) i
) dated ORDER BY id`, after, limit, f.From, f.To, f.Issuer, f.Series)
	if err != nil {
		return nil, after, false, classify(err)
	}
	defer rows.Close()
	looked := 0
	next = after
	for rows.Next() {
		var one report.Issued
		var matches bool
		if err := rows.Scan(&one.ID, &one.Number, &one.Issuer, &one.Kind, &one.Date, &one.Currency, &one.TotalMinor, &one.Erased, &matches); err != nil {
			return nil, after, false, classify(err)
		}
		looked++
		if next = one.ID; matches {
			matching = append(matching, one)
		}
	}
	return matching, next, looked == limit, classify(rows.Err())
}
