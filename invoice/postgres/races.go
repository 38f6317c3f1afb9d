package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
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
	// driftExamples is the time at the end of a drift of which there are examples: those of all of it, which may be days, would
	// have to be sorted.
	driftExamples = 6 * time.Hour
	// twinsWithin is the longest time between twins, in seconds.
	twinsWithin = 600
)

// Windows returns what was counted in the windows that began at a time or later, of one day at most, and the time up to which these are
// all. That is the time that was given once all complete windows are read. The zero time stands for the first that a [races.Judge]
// needs.
func (s *Reports) Windows(ctx context.Context, since time.Time) (counts races.Counts, until time.Time, err error) {
	db := s.db.WithContext(ctx)
	var now time.Time
	if err := db.Raw("SELECT now()").Row().Scan(&now); err != nil {
		return nil, time.Time{}, classify(err)
	}
	complete := now.Add(-settled).Truncate(races.Window)
	if since.IsZero() {
		since = complete.Add(-races.Judged)
	}
	until = since.Add(atOnce)
	if until.After(complete) {
		until = complete
	}
	if !until.After(since) {
		return nil, until, nil
	}
	counts, err = readCounts(db, since, until)
	return counts, until, classify(err)
}

// atOnce is how long the time is of which one statement reads the counts: a statement stays far below its time limit, however many
// producers there are.
const atOnce = 24 * time.Hour

// readCounts reads what was counted in the windows that began at a time or later, and before another. Each producer's come in one row,
// not sorted and not summed up by window, all of which would take the server several times as long.
func readCounts(db *gorm.DB, since, until time.Time) (races.Counts, error) {
	rows, err := db.Raw(`
SELECT producer, array_agg(extract(epoch FROM window_start)::bigint)::text, array_agg(ended)::text, array_agg(duplicates)::text
FROM invoicer.producer_counts WHERE window_start >= ? AND window_start < ? GROUP BY producer`, since, until).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := make(races.Counts)
	for rows.Next() {
		var producer, starts, ended, duplicates string
		if err := rows.Scan(&producer, &starts, &ended, &duplicates); err != nil {
			return nil, err
		}
		counts[producer] = windowsOf(starts, ended, duplicates)
	}
	return counts, rows.Err()
}

// windowsOf returns the windows of a producer from the text forms of three arrays, whose elements are one transaction lane's each.
func windowsOf(starts, ended, duplicates string) []races.Count {
	lanes := make([]races.Count, 0, 1+strings.Count(starts, ","))
	for starts != "" {
		var start int64
		var c races.Count
		start, starts = nextInteger(starts)
		c.Ended, ended = nextInteger(ended)
		c.Duplicates, duplicates = nextInteger(duplicates)
		c.Start = time.Unix(start, 0)
		lanes = append(lanes, c)
	}
	slices.SortFunc(lanes, func(a, b races.Count) int { return a.Start.Compare(b.Start) })
	windows := lanes[:0]
	for _, c := range lanes {
		if n := len(windows); n > 0 && windows[n-1].Start.Equal(c.Start) {
			windows[n-1].Ended += c.Ended
			windows[n-1].Duplicates += c.Duplicates
		} else {
			windows = append(windows, c)
		}
	}
	return windows
}

// nextInteger takes the first element from the text form of an array of integers that aren't negative.
func nextInteger(array string) (n int64, rest string) {
	i := 0
	for ; i < len(array) && array[i] != ',' && array[i] != '}'; i++ {
		if array[i] != '{' {
			n = n*10 + int64(array[i]-'0')
		}
	}
	if i == len(array) || array[i] == '}' {
		return n, ""
	}
	return n, array[i+1:]
}

// Races returns the races of the time that ends now and is as long as given. But for the windows, which are judged before, they are read
// in one snapshot. If producer isn't nil, it returns only those of this producer, "" being the jobs that name none.
func (s *Reports) Races(ctx context.Context, last time.Duration, producer *string) (*report.Races, error) {
	r := &report.Races{}
	judged, err := s.Producers.Findings(ctx)
	if err != nil {
		return r, err
	}
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		if err := tx.Raw("SELECT now()").Row().Scan(&r.Until); err != nil {
			return err
		}
		r.Since = r.Until.Add(-last)
		if err := readDoubled(tx, r, producer); err != nil {
			return err
		}
		if err := readShared(tx, r, producer); err != nil {
			return err
		}
		if err := readTwins(tx, r, producer); err != nil {
			return err
		}
		if err := sumProducers(tx, r, judged, producer); err != nil {
			return err
		}
		return readAlarms(tx, r, judged, producer)
	})
	return r, classify(err)
}

// readAlarms puts the alarms and drifts of the report's time into it, each as a whole, with examples.
func readAlarms(tx *gorm.DB, r *report.Races, judged races.Findings, producer *string) error {
	r.Alarms, r.Drifts = []report.RaceAlarm{}, []report.RaceDrift{}
	shown := func(of string, until time.Time) bool {
		return until.After(r.Since) && (producer == nil || *producer == of)
	}
	for _, a := range latest(judged.Alarms, func(a races.Alarm) bool { return shown(a.Producer, a.Until) }) {
		examples, err := duplicatesOf(tx, a.Producer, a.From, a.Until)
		if err != nil {
			return err
		}
		r.Alarms = append(r.Alarms, report.RaceAlarm{
			Producer: a.Producer, From: a.From, Until: a.Until, Ended: a.Ended, Expected: a.Expected, Duplicates: a.Duplicates, P: a.P,
			TransactionIDs: examples,
		})
	}
	for _, d := range latest(judged.Drifts, func(d races.Drifted) bool { return shown(d.Producer, d.Until) }) {
		from := d.Until.Add(-driftExamples)
		if from.Before(d.Since) {
			from = d.Since
		}
		examples, err := duplicatesOf(tx, d.Producer, from, d.Until)
		if err != nil {
			return err
		}
		r.Drifts = append(r.Drifts, report.RaceDrift{
			Producer: d.Producer, Since: d.Since, Until: d.Until, Ended: d.Ended, Expected: d.Expected, Duplicates: d.Duplicates, Sum: d.Sum,
			TransactionIDs: examples,
		})
	}
	return nil
}

// latest returns the last of those that match, in order of time, as many as a report shows.
func latest[T any](all []T, matches func(T) bool) (last []T) {
	for _, one := range all {
		if matches(one) {
			last = append(last, one)
		}
	}
	return last[max(0, len(last)-races.Kept):]
}

// sumProducers sums up the windows of the report's time by producer.
func sumProducers(tx *gorm.DB, r *report.Races, judged races.Findings, producer *string) error {
	r.Producers = []report.ProducerRaces{}
	err := tx.Raw(`SELECT producer, sum(ended)::bigint AS ended, sum(duplicates)::bigint AS duplicates,
    sum(lost_races)::bigint AS lost_races, sum(conflicts)::bigint AS conflicts
FROM invoicer.producer_counts WHERE window_start >= ? AND window_start < ? AND (?::text IS NULL OR producer = ?::text) GROUP BY producer`,
		r.Since.Truncate(races.Window), r.Until.Add(races.Window), producer, producer).Scan(&r.Producers).Error
	if err != nil {
		return err
	}
	sums := make(map[string]*report.ProducerRaces, len(r.Producers))
	for i := range r.Producers {
		sum := &r.Producers[i]
		last, known := judged.Latest[sum.Producer]
		sum.Learning, sum.Alarming, sum.Drifting = !known || last.Learning, last.Alarm, last.Drifting(judged.Until)
		sums[sum.Producer] = sum
	}
	for _, pair := range r.Doubled.Pairs {
		if sum := sums[pair.Producer]; sum != nil {
			sum.Doubled += pair.Attempts
		}
	}
	for _, pair := range r.Shared.Pairs {
		if sum := sums[pair.Producer]; sum != nil {
			sum.Shared += pair.Duplicates + pair.Conflicts
		}
	}
	slices.SortFunc(r.Producers, func(a, b report.ProducerRaces) int {
		return cmp.Or(cmp.Compare(b.Duplicates, a.Duplicates), cmp.Compare(b.Ended, a.Ended), cmp.Compare(a.Producer, b.Producer))
	})
	return nil
}

// duplicatesOf returns a few transactions of which a producer's jobs were duplicates, in a time.
func duplicatesOf(tx *gorm.DB, producer string, from, until time.Time) ([]string, error) {
	ids := []string{}
	err := tx.Raw(`SELECT DISTINCT transaction_id FROM (
    SELECT transaction_id FROM invoicer.duplicate_attempts
    WHERE attempted_at >= ? AND attempted_at < ? AND coalesce(producer, '') = ? ORDER BY attempted_at LIMIT 1000
) AS attempts ORDER BY transaction_id LIMIT ?`, from, until, producer, shownRaces).Scan(&ids).Error
	return ids, err
}

func readDoubled(tx *gorm.DB, r *report.Races, producer *string) error {
	var rows []report.DoubledSample
	err := tx.Raw(`
SELECT d.issuer, d.transaction_id, d.job_id, coalesce(d.producer, '') AS producer, coalesce(i.producer, '') AS invoice_producer, i.invoice_number, d.attempted_at,
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
    SELECT issuer, transaction_id, invoice_number, coalesce(producer, '') AS producer, currency, total_minor, created_at, content_hash
    FROM invoicer.invoices WHERE id > (SELECT id FROM newest) AND created_at >= ?::timestamptz - ? * interval '1 second' AND content_hash IS NOT NULL
), beside AS (
    SELECT *, lag(transaction_id) OVER w AS twin_of, lag(invoice_number) OVER w AS twin_number, lag(producer) OVER w AS twin_producer,
        extract(epoch FROM created_at - lag(created_at) OVER w)::float8 AS seconds,
        (lag(total_minor) OVER w, lag(currency) OVER w) = (total_minor, currency) AS same
    FROM recent WINDOW w AS (PARTITION BY issuer, content_hash ORDER BY created_at, invoice_number)
)
SELECT issuer, transaction_id, invoice_number, producer, twin_of, twin_number, twin_producer, currency, total_minor, created_at, seconds,
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
