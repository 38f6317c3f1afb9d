package postgres

import (
	"context"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/races"
	"invoicer/internal/report"
)

// How many rows the overview reads at most for each of its figures, so that it takes the same time however many there are.
const (
	newestForRates  = 5000
	newestForDelays = 1000
	mostDoubled     = 10_000
	mostCounted     = 20000
)

// Now returns how things stand. It reads a bounded number of rows, all of them through an index.
func (s *Reports) Now(ctx context.Context) (report.Now, error) {
	var now report.Now
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := tx.Raw("SELECT now()").Row().Scan(&now.At); err != nil {
			return err
		}
		var err error
		if now.Invoices, err = rate(tx, "invoices", "created_at"); err != nil {
			return err
		}
		if now.Duplicates, err = rate(tx, "duplicate_attempts", "attempted_at"); err != nil {
			return err
		}
		if err := tx.Raw(`SELECT count(*) FROM (
    SELECT FROM invoicer.duplicate_attempts WHERE before_invoice IS NOT NULL AND attempted_at >= now() - interval '1 day' LIMIT ?) counted`, mostDoubled).
			Row().Scan(&now.Doubled); err != nil {
			return err
		}
		if now.TimeToInvoice, err = timeToInvoice(tx); err != nil {
			return err
		}
		if now.Paused, err = readPaused(tx); err != nil {
			return err
		}
		if now.LastHour, err = lastHour(tx, now.At); err != nil {
			return err
		}
		return tx.Raw(`
SELECT least(
    (SELECT accepted_at FROM invoicer.invoice_jobs WHERE state = 'accepted' ORDER BY id LIMIT 1),
    (SELECT min(accepted_at) FROM (
        SELECT oldest.accepted_at FROM (` + distinctQueues + `) queues CROSS JOIN LATERAL (
            SELECT accepted_at FROM invoicer.invoice_jobs WHERE state = 'enqueued' AND queue = queues.queue ORDER BY updated_at, id LIMIT 1) oldest
    ) all_queues))`).Row().Scan(&now.OldestAccepted)
	})
	return now, classify(err)
}

// distinctQueues selects the queues of enqueued jobs, by one look into the index for each queue.
const distinctQueues = `
WITH RECURSIVE queues AS (
    (SELECT queue FROM invoicer.invoice_jobs WHERE state = 'enqueued' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT next.queue FROM invoicer.invoice_jobs next WHERE next.state = 'enqueued' AND next.queue > queues.queue ORDER BY next.queue LIMIT 1)
    FROM queues WHERE queues.queue IS NOT NULL
) SELECT queue FROM queues WHERE queue IS NOT NULL`

// rate returns how many rows of a table were made in the last minute, or in the shorter time that the newest of them were made in.
func rate(tx *gorm.DB, table, column string) (report.Rate, error) {
	var found struct {
		Records int
		Newest  int
		Oldest  *float64
	}
	err := tx.Raw(`
SELECT count(*) FILTER (WHERE age < 60) AS records, count(*) AS newest, max(age) AS oldest
FROM (SELECT extract(epoch FROM now() - `+column+`)::float8 AS age FROM invoicer.`+table+` ORDER BY id DESC LIMIT ?) newest`, newestForRates).Scan(&found).Error
	r := report.Rate{Records: found.Records, Over: time.Minute}
	if found.Oldest != nil && found.Newest == newestForRates && *found.Oldest < 60 {
		r.Over = time.Duration(*found.Oldest * float64(time.Second))
	}
	return r, err
}

// timeToInvoice returns how long the newest invoices of accepted jobs took.
func timeToInvoice(tx *gorm.DB) (*report.Delay, error) {
	var found struct {
		Jobs     int
		P50, P99 *float64
	}
	err := tx.Raw(`
SELECT count(*) AS jobs, percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50, percentile_cont(0.99) WITHIN GROUP (ORDER BY took) AS p99
FROM (
    SELECT extract(epoch FROM newest.created_at - jobs.accepted_at)::float8 AS took
    FROM (SELECT job_id, created_at FROM invoicer.invoices ORDER BY id DESC LIMIT ?) newest
    JOIN invoicer.invoice_jobs jobs USING (job_id)
) measured`, newestForDelays).Scan(&found).Error
	if err != nil || found.P50 == nil || found.P99 == nil {
		return nil, err
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return &report.Delay{Jobs: found.Jobs, P50: seconds(*found.P50), P99: seconds(*found.P99)}, nil
}

// SeriesStates returns up to limit counters, those of the newest periods first, and the series that have none yet: of one series, or
// of all if the name is "", and of the given issuers, or of all if issuers is nil.
func (s *Reports) SeriesStates(ctx context.Context, issuers []string, name string, limit int) ([]report.Series, error) {
	states := []report.Series{}
	err := s.db.WithContext(ctx).Raw(`
SELECT counters.issuer, counters.series, counters.period, counters.kind, counters.last_number, counters.state,
    CASE WHEN settings > 0 AND counters.next_from <= counters.last_number + 1 THEN invoicer.print_number(counters.next_prefix, counters.next_width, counters.next_suffix, counters.last_number + 1)
        WHEN settings > 0 THEN invoicer.print_number(counters.prefix, counters.width, counters.suffix, counters.last_number + 1) ELSE '' END AS next_invoice,
    last.invoice_number AS last_invoice, last.created_at AS last_at
FROM (
    (SELECT issuer, series, period, kind, last_number, state, settings, prefix, width, suffix, next_from, next_prefix, next_width, next_suffix FROM invoicer.invoice_series
    WHERE @name IN ('', series) AND coalesce(issuer = ANY(CAST(@issuers AS text[])), true) ORDER BY period DESC, issuer, series LIMIT @limit)
    UNION ALL
    (SELECT issuer, series, first_period, kind, first_number - 1, state, CASE WHEN newest.period = 'none' OR first_period <> '' THEN version ELSE 0 END, (affixes).*, NULL, NULL, NULL, NULL
    FROM (SELECT DISTINCT ON (issuer, series) *, invoicer.number_affixes((SELECT f.format FROM invoicer.series f WHERE f.issuer = s.issuer AND f.series = s.series AND f.from_number <= s.first_number
            ORDER BY version DESC LIMIT 1), series, first_period) AS affixes FROM invoicer.series s
        WHERE @name IN ('', series) AND coalesce(issuer = ANY(CAST(@issuers AS text[])), true) ORDER BY issuer, series, version DESC) newest
    WHERE NOT EXISTS (SELECT FROM invoicer.invoice_series c WHERE c.issuer = newest.issuer AND c.series = newest.series) ORDER BY issuer, series LIMIT @limit)
) counters
LEFT JOIN invoicer.invoices last ON last.issuer = counters.issuer AND last.series = counters.series AND last.period = counters.period AND last.number = counters.last_number
ORDER BY counters.period DESC, counters.issuer, counters.series LIMIT @limit`, map[string]any{"issuers": textsOrNull(issuers), "name": name, "limit": limit}).Scan(&states).Error
	return states, classify(err)
}

// lastHour returns the windows of the hour before a time, those in which no job ended too.
func lastHour(tx *gorm.DB, now time.Time) ([]report.Window, error) {
	const hour = time.Hour / races.Window
	latest := now.UTC().Truncate(races.Window)
	windows := make([]report.Window, hour+1)
	for i := range windows {
		windows[i].Start = latest.Add(time.Duration(i-len(windows)+1) * races.Window)
	}
	var counted []report.Window
	err := tx.Raw(`SELECT window_start AS start, sum(ended)::bigint AS ended, sum(duplicates)::bigint AS duplicates, sum(conflicts)::bigint AS conflicts
FROM invoicer.producer_counts WHERE window_start >= ? AND window_start < ? GROUP BY window_start`, windows[0].Start, now.Add(races.Window)).Scan(&counted).Error
	for _, c := range counted {
		if i := int(c.Start.Sub(windows[0].Start) / races.Window); i >= 0 && i < len(windows) {
			windows[i].Ended, windows[i].Duplicates, windows[i].Conflicts = c.Ended, c.Duplicates, c.Conflicts
		}
	}
	return windows, err
}
