package postgres

import (
	"cmp"
	"maps"
	"slices"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// readShared looks at the newest duplicates and conflicts of jobs that name a producer. A conflict is about the invoice of its
// transaction, or if there is none, of its idempotency key.
func readShared(tx *gorm.DB, r *report.Races, producer *string) error {
	values := map[string]any{"since": r.Since, "most": mostRaces, "producer": producer}
	s := &r.Shared
	err := tx.Raw(`
SELECT (SELECT count(*) FROM (SELECT FROM invoicer.duplicate_attempts WHERE attempted_at >= @since AND producer IS NOT NULL LIMIT @most) AS attempts) < @most
    AND (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs
        WHERE state IN ('failed', 'dismissed') AND updated_at >= @since AND outcome = 'conflict' AND producer IS NOT NULL LIMIT @most) AS refused) < @most`,
		values).Row().Scan(&s.Complete)
	if err != nil {
		return err
	}
	var rows []report.SharedSample
	err = tx.Raw(`
WITH attempts AS MATERIALIZED (
    SELECT issuer, transaction_id, job_id, producer, attempted_at AS ended_at, invoice_id
    FROM invoicer.duplicate_attempts WHERE attempted_at >= @since AND producer IS NOT NULL ORDER BY attempted_at DESC LIMIT @most
), refused AS MATERIALIZED (
    SELECT issuer, transaction_id, idempotency_key, job_id, producer, updated_at AS ended_at
    FROM invoicer.invoice_jobs WHERE state IN ('failed', 'dismissed') AND updated_at >= @since AND outcome = 'conflict' AND producer IS NOT NULL
    ORDER BY updated_at DESC LIMIT @most
), ended AS (
    SELECT a.issuer, a.transaction_id, a.job_id, 'duplicate' AS outcome, a.producer, i.producer AS invoice_producer, i.invoice_number, a.ended_at
    FROM attempts a JOIN invoicer.invoices i ON i.id = a.invoice_id
    UNION ALL
    SELECT c.issuer, c.transaction_id, c.job_id, 'conflict', c.producer, i.producer, i.invoice_number, c.ended_at
    FROM refused c JOIN LATERAL (
        SELECT 1 AS rank, own.producer, own.invoice_number FROM invoicer.invoices own WHERE own.issuer = c.issuer AND own.transaction_id = c.transaction_id
        UNION ALL
        SELECT 2, of_key.producer, of_key.invoice_number FROM invoicer.invoices of_key WHERE of_key.issuer = c.issuer AND of_key.idempotency_key = c.idempotency_key
        ORDER BY rank LIMIT 1
    ) AS i ON true
)
SELECT * FROM ended WHERE producer <> invoice_producer AND (CAST(@producer AS text) IS NULL OR CAST(@producer AS text) IN (producer, invoice_producer))
ORDER BY ended_at DESC, job_id`, values).Scan(&rows).Error
	if err != nil {
		return err
	}
	s.Pairs, s.Examples = []report.SharedPair{}, append([]report.SharedSample{}, rows[:min(len(rows), shownRaces)]...)
	pairs := make(map[[2]string]report.SharedPair)
	for i := range rows {
		row := &rows[i]
		key := [2]string{row.Producer, row.InvoiceProducer}
		pair := pairs[key]
		pair.Producer, pair.InvoiceProducer = row.Producer, row.InvoiceProducer
		if row.Outcome == string(invoice.Duplicate) {
			s.Duplicates++
			pair.Duplicates++
		} else {
			s.Conflicts++
			pair.Conflicts++
		}
		pairs[key] = pair
	}
	s.Pairs = append(s.Pairs, slices.SortedFunc(maps.Values(pairs), func(a, b report.SharedPair) int {
		return cmp.Or(cmp.Compare(b.Duplicates+b.Conflicts, a.Duplicates+a.Conflicts), cmp.Compare(a.Producer, b.Producer), cmp.Compare(a.InvoiceProducer, b.InvoiceProducer))
	})...)
	return nil
}
