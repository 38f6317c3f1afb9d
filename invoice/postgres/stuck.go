package postgres

import (
	"context"

	"invoicer/internal/report"
)

// StuckSeries returns up to limit series whose jobs can't be numbered until somebody mends them. It looks at each counter and its highest
// number, by an index, and not at the numbers below.
func (s *Reports) StuckSeries(ctx context.Context, limit int) ([]report.StuckSeries, error) {
	stuck := []report.StuckSeries{}
	err := s.db.WithContext(ctx).Raw(`
WITH newest AS (
    SELECT DISTINCT ON (issuer, series) issuer, series, version, state FROM invoicer.series ORDER BY issuer, series, version DESC
), counters AS (
    SELECT issuer, series, period, last_number, settings, state, greatest(reserved_to, coalesce((
        SELECT max(number) FROM invoicer.invoices i WHERE i.issuer = c.issuer AND i.series = c.series AND i.period = c.period), first_number - 1)) AS highest
    FROM invoicer.invoice_series c
)
SELECT issuer, series, period, CASE
    WHEN last_number < highest THEN format('its counter is at %s, and number %s was given: the next number is there already', last_number, highest)
    WHEN last_number > highest THEN format('its counter is at %s, and number %s is missing: the next number would leave a gap', last_number, last_number)
    ELSE format('its counter has version %s of its settings (%s), and the newest is version %s (%s)', settings, counters.state, version, newest.state)
END AS why
FROM counters LEFT JOIN newest USING (issuer, series)
WHERE last_number <> highest OR (settings, counters.state) <> (newest.version, newest.state)
ORDER BY issuer, series, period LIMIT ?`, limit).Scan(&stuck).Error
	return stuck, classify(err)
}
