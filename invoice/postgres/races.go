package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/races"
	"invoicer/internal/report"
)

const (
	// settled is how long after its end a window counts as complete: transactions that began in it have ended by then.
	settled = 30 * time.Second
	// mostRaces bounds the attempts, and the invoices, that a report of races looks at.
	mostRaces = 100_000
	// shownRaces is the number of examples of each kind.
	shownRaces = 10
	// shownAlarms is the number of alarms, the latest.
	shownAlarms = 20
	// twinsWithin is the longest time between twins, in seconds.
	twinsWithin = 600
)

// A producerWindow is what was counted of one producer in one window.
type producerWindow struct {
	WindowStart                             time.Time
	Producer                                string
	Ended, Duplicates, LostRaces, Conflicts int64
}

func readWindows(db *gorm.DB, since time.Time) (found []producerWindow, err error) {
	err = db.Raw(`SELECT window_start, producer, sum(ended)::bigint AS ended, sum(duplicates)::bigint AS duplicates,
    sum(lost_races)::bigint AS lost_races, sum(conflicts)::bigint AS conflicts
FROM invoicer.producer_counts WHERE window_start >= ? GROUP BY window_start, producer ORDER BY window_start, producer`, since).Scan(&found).Error
	return found, err
}

// Windows returns what was counted in the complete windows that began at a time or later, in order of time, and the time from
// which on windows aren't complete. The zero time stands for all that a [races.Judge] needs.
func (s *Reports) Windows(ctx context.Context, since time.Time) (counts []races.ProducerCount, until time.Time, err error) {
	db := s.db.WithContext(ctx)
	var now time.Time
	if err := db.Raw("SELECT now()").Row().Scan(&now); err != nil {
		return nil, time.Time{}, classify(err)
	}
	until = now.Add(-settled).Truncate(races.Window)
	if since.IsZero() {
		since = until.Add(-races.History)
	}
	found, err := readWindows(db, since)
	return complete(found, until), until, classify(err)
}

func complete(windows []producerWindow, until time.Time) []races.ProducerCount {
	var counts []races.ProducerCount
	for _, w := range windows {
		if w.WindowStart.Before(until) {
			counts = append(counts, races.ProducerCount{
				Producer: w.Producer, Count: races.Count{Start: w.WindowStart, Ended: w.Ended, Duplicates: w.Duplicates},
			})
		}
	}
	return counts
}

// Races returns the races of the time that ends now and is as long as given, read in one snapshot. If producer isn't nil, it
// returns only those of this producer, "" being the jobs that name none.
func (s *Reports) Races(ctx context.Context, last time.Duration, producer *string) (*report.Races, error) {
	r := &report.Races{}
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := tx.Raw("SELECT now()").Row().Scan(&r.Until); err != nil {
			return err
		}
		r.Since = r.Until.Add(-last)
		if err := readDoubled(tx, r, producer); err != nil {
			return err
		}
		if err := readTwins(tx, r, producer); err != nil {
			return err
		}
		windows, err := readWindows(tx, r.Since.Truncate(races.Window).Add(-races.History))
		if err != nil {
			return err
		}
		return readAlarms(tx, r, windows, producer)
	})
	return r, classify(err)
}

// readAlarms judges the windows, and sums up those of the report's time.
func readAlarms(tx *gorm.DB, r *report.Races, windows []producerWindow, producer *string) error {
	is := func(name string) bool { return producer == nil || *producer == name }
	var judge races.Judge
	verdicts := judge.Judge(complete(windows, r.Until.Add(-settled).Truncate(races.Window)))
	verdicts = slices.DeleteFunc(verdicts, func(v races.Verdict) bool {
		return !is(v.Producer) || !v.Start.Add(races.Window).After(r.Since)
	})

	sums := make(map[string]*report.ProducerRaces)
	for _, w := range windows {
		if !is(w.Producer) || !w.WindowStart.Add(races.Window).After(r.Since) {
			continue
		}
		sum := sums[w.Producer]
		if sum == nil {
			latest, judged := judge.Latest()[w.Producer]
			sum = &report.ProducerRaces{Producer: w.Producer, Learning: !judged || latest.Learning, Alarming: latest.Alarm}
			sums[w.Producer] = sum
		}
		sum.Ended += w.Ended
		sum.Duplicates += w.Duplicates
		sum.LostRaces += w.LostRaces
		sum.Conflicts += w.Conflicts
	}
	for _, pair := range r.Doubled.Pairs {
		if sum := sums[pair.Producer]; sum != nil {
			sum.Doubled += pair.Attempts
		}
	}
	r.Producers = []report.ProducerRaces{}
	for _, sum := range sums {
		r.Producers = append(r.Producers, *sum)
	}
	slices.SortFunc(r.Producers, func(a, b report.ProducerRaces) int {
		return cmp.Or(cmp.Compare(b.Duplicates, a.Duplicates), cmp.Compare(b.Ended, a.Ended), cmp.Compare(a.Producer, b.Producer))
	})

	alarms := races.Alarms(verdicts)
	r.Alarms = []report.RaceAlarm{}
	for _, a := range alarms[max(0, len(alarms)-shownAlarms):] {
		alarm := report.RaceAlarm{
			Producer: a.Producer, From: a.From, Until: a.Until, Ended: a.Ended, Expected: a.Expected, Duplicates: a.Duplicates, P: a.P,
			TransactionIDs: []string{},
		}
		err := tx.Raw(`SELECT DISTINCT transaction_id FROM (
    SELECT transaction_id FROM invoicer.duplicate_attempts
    WHERE attempted_at >= ? AND attempted_at < ? AND coalesce(producer, '') = ? ORDER BY attempted_at LIMIT 1000
) AS attempts ORDER BY transaction_id LIMIT ?`, a.From, a.Until, a.Producer, shownRaces).Scan(&alarm.TransactionIDs).Error
		if err != nil {
			return err
		}
		r.Alarms = append(r.Alarms, alarm)
	}
	return nil
}

func readDoubled(tx *gorm.DB, r *report.Races, producer *string) error {
	var rows []report.DoubledSample
	err := tx.Raw(`
SELECT d.transaction_id, d.job_id, coalesce(d.producer, '') AS producer, coalesce(i.producer, '') AS invoice_producer, i.invoice_number, d.attempted_at,
    extract(epoch FROM d.before_invoice)::float8 AS seconds
FROM (
    SELECT * FROM invoicer.duplicate_attempts WHERE before_invoice IS NOT NULL AND attempted_at >= ? ORDER BY attempted_at DESC LIMIT ?
) AS d JOIN invoicer.invoices i ON i.id = d.invoice_id
WHERE ?::text IS NULL OR ?::text IN (coalesce(d.producer, ''), coalesce(i.producer, ''))
ORDER BY d.attempted_at DESC`, r.Since, mostRaces, producer, producer).Scan(&rows).Error
	if err != nil {
		return err
	}
	d := &r.Doubled
	d.Attempts, d.Complete = int64(len(rows)), len(rows) < mostRaces
	d.Examples = append([]report.DoubledSample{}, rows[:min(len(rows), shownRaces)]...)
	pairs, hours := make(map[[2]string][]float64), make(map[time.Time]int64)
	for _, row := range rows {
		pair := [2]string{row.Producer, row.InvoiceProducer}
		pairs[pair] = append(pairs[pair], row.Seconds)
		hours[row.AttemptedAt.UTC().Truncate(time.Hour)]++
	}
	d.Pairs, d.Hours = []report.DoubledPair{}, []report.DoubledHour{}
	for pair, apart := range pairs {
		slices.Sort(apart)
		d.Pairs = append(d.Pairs, report.DoubledPair{
			Producer: pair[0], InvoiceProducer: pair[1], Attempts: int64(len(apart)),
			MedianSeconds: apart[len(apart)/2], MostSeconds: apart[len(apart)-1],
		})
	}
	slices.SortFunc(d.Pairs, func(a, b report.DoubledPair) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(a.Producer, b.Producer), cmp.Compare(a.InvoiceProducer, b.InvoiceProducer))
	})
	for _, hour := range slices.SortedFunc(maps.Keys(hours), time.Time.Compare) {
		d.Hours = append(d.Hours, report.DoubledHour{Hour: hour, Attempts: hours[hour]})
	}
	return nil
}

// readTwins looks at the newest invoices alone, which it finds by their ids: there is no index by content, since each invoice
// would pay for it.
func readTwins(tx *gorm.DB, r *report.Races, producer *string) error {
	var rows []struct {
		report.Twin
		Of int64 // number of twins in all
	}
	r.Twins.Latest = []report.Twin{}
	err := tx.Raw(`SELECT coalesce((
    SELECT created_at < ? FROM invoicer.invoices WHERE id <= (SELECT max(id) FROM invoicer.invoices) - ? ORDER BY id DESC LIMIT 1
), true)`, r.Since, mostRaces).Row().Scan(&r.Twins.Complete)
	if err != nil {
		return err
	}
	err = tx.Raw(`
WITH newest AS MATERIALIZED (
    SELECT coalesce(max(id), 0) - ? AS id FROM invoicer.invoices
), recent AS (
    SELECT transaction_id, invoice_number, coalesce(producer, '') AS producer, currency, total_minor, created_at, content_hash
    FROM invoicer.invoices WHERE id > (SELECT id FROM newest) AND created_at >= ?::timestamptz - ? * interval '1 second' AND content_hash IS NOT NULL
), beside AS (
    SELECT *, lag(transaction_id) OVER w AS twin_of, lag(invoice_number) OVER w AS twin_number, lag(producer) OVER w AS twin_producer,
        extract(epoch FROM created_at - lag(created_at) OVER w)::float8 AS seconds,
        (lag(total_minor) OVER w, lag(currency) OVER w) = (total_minor, currency) AS same
    FROM recent WINDOW w AS (PARTITION BY content_hash ORDER BY created_at, invoice_number)
)
SELECT transaction_id, invoice_number, producer, twin_of, twin_number, twin_producer, currency, total_minor, created_at, seconds,
    count(*) OVER () AS of
FROM beside
WHERE same AND seconds <= ? AND created_at >= ? AND (?::text IS NULL OR ?::text IN (producer, twin_producer))
ORDER BY created_at DESC, invoice_number DESC LIMIT ?`,
		mostRaces, r.Since, twinsWithin, twinsWithin, r.Since, producer, producer, shownRaces).Scan(&rows).Error
	if err != nil {
		return err
	}
	for _, row := range rows {
		r.Twins.Invoices = row.Of
		r.Twins.Latest = append(r.Twins.Latest, row.Twin)
	}
	return nil
}
