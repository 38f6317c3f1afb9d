package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// Park makes an enqueued job accepted again, as one that waits for a paused series: no relay sends it before [Ledger.Unpark]. It
// returns false, and changes nothing, if the ledger doesn't have the job, or if the series isn't paused any more.
func (s *Ledger) Park(ctx context.Context, jobID string, series invoice.SeriesID) (bool, error) {
	var changed int64
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		done := db.Exec(`
UPDATE invoicer.invoice_jobs SET state = 'accepted', paused_series = @parked, updated_at = now()
WHERE job_id = @job AND state = 'enqueued'
    AND (SELECT state FROM invoicer.series WHERE issuer = @issuer AND series = @series ORDER BY version DESC LIMIT 1) = 'paused'`,
			map[string]any{"job": jobID, "parked": series.String(), "issuer": series.Issuer, "series": series.Name})
		changed = done.RowsAffected
		return done.Error
	})
	return changed > 0, classify(err)
}

// parkedOf returns a condition on a row of series: the column names it, as [invoice.SeriesID.String] does.
func parkedOf(column string) string {
	return "issuer = CASE WHEN " + column + " LIKE '%/%' THEN split_part(" + column + ", '/', 1) ELSE '' END AND series = regexp_replace(" + column + ", '^.*/', '')"
}

// parkedSeries selects the series that jobs wait for, by one look into the index for each, however many jobs these are.
const parkedSeries = `
WITH RECURSIVE waiting AS (
    (SELECT paused_series FROM invoicer.invoice_jobs WHERE paused_series IS NOT NULL ORDER BY paused_series LIMIT 1)
    UNION ALL
    SELECT (SELECT next.paused_series FROM invoicer.invoice_jobs next WHERE next.paused_series > waiting.paused_series ORDER BY next.paused_series LIMIT 1)
    FROM waiting WHERE waiting.paused_series IS NOT NULL
)
SELECT paused_series FROM waiting WHERE paused_series IS NOT NULL`

const (
	mostPaused = 20     // series
	mostParked = 10_000 // jobs that are counted of each
)

// readPaused returns the paused series that jobs wait for.
func readPaused(tx *gorm.DB) ([]report.PausedSeries, error) {
	paused := []report.PausedSeries{}
	var names []string
	if err := tx.Raw(parkedSeries+" LIMIT ?", mostPaused).Scan(&names).Error; err != nil || len(names) == 0 {
		return paused, err
	}
	pauses, err := readPauses(tx, names)
	if err != nil {
		return paused, err
	}
	var counts []struct {
		Name string
		Jobs int
	}
	err = tx.Raw(`SELECT name, (SELECT count(*) FROM (SELECT FROM invoicer.invoice_jobs WHERE paused_series = name LIMIT ?) counted) AS jobs
FROM unnest(?::text[]) AS asked (name)`, mostParked+1, &names).Scan(&counts).Error
	for _, c := range counts {
		if pause, ok := pauses[c.Name]; ok {
			id := invoice.ParseSeriesID(c.Name)
			paused = append(paused, report.PausedSeries{Issuer: id.Issuer, Series: id.Name, Jobs: min(c.Jobs, mostParked), AtLeast: c.Jobs > mostParked, SeriesPause: pause})
		}
	}
	return paused, err
}

// readPauses returns who has paused those of the series that are paused, by their names as [invoice.SeriesID.String] has them.
func readPauses(tx *gorm.DB, names []string) (map[string]report.SeriesPause, error) {
	var rows []struct {
		Name string
		report.SeriesPause
	}
	of := parkedOf("asked.name")
	err := tx.Raw(`SELECT name, since, actor, note FROM unnest(?::text[]) AS asked (name), LATERAL (
    SELECT changed_at AS since, actor, note FROM invoicer.series
    WHERE `+of+` AND version > coalesce((SELECT max(version) FROM invoicer.series WHERE `+of+` AND state <> 'paused'), 0) ORDER BY version LIMIT 1
) AS pause`, &names).Scan(&rows).Error
	pauses := make(map[string]report.SeriesPause, len(rows))
	for _, r := range rows {
		pauses[r.Name] = r.SeriesPause
	}
	return pauses, err
}

// WaitedFor returns the paused series that accepted jobs wait for, 20 at most.
func (s *Reports) WaitedFor(ctx context.Context) (paused []report.PausedSeries, err error) {
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		paused, err = readPaused(tx)
		return err
	})
	return paused, classify(err)
}

// unparkBatch bounds the rows of one transaction, so that none is locked for long.
const unparkBatch = 5000

// Unpark lets relays send the jobs that wait for series which aren't paused any more, up to 5,000 of each series, and returns how many
// these are. Whoever resumes a series needn't call it, as each relay does every second.
func (s *Ledger) Unpark(ctx context.Context) (int, error) {
	var resumed []string
	err := s.db.WithContext(ctx).Raw(parkedSeries + `
    AND (SELECT state FROM invoicer.series WHERE ` + parkedOf("paused_series") + ` ORDER BY version DESC LIMIT 1) <> 'paused'`).Scan(&resumed).Error
	all := 0
	for _, series := range resumed {
		err = s.autocommit(ctx, func(db *gorm.DB) error {
			done := db.Exec(`
UPDATE invoicer.invoice_jobs SET paused_series = NULL FROM (
    SELECT id AS row FROM invoicer.invoice_jobs WHERE paused_series = ? ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED) waiting
WHERE id = row`, series, unparkBatch)
			all += int(done.RowsAffected)
			return done.Error
		})
		if err != nil {
			break
		}
	}
	return all, classify(err)
}
