package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/fit"
)

const (
	// newestDuplicates bounds the duplicates among which the late ones are looked for.
	newestDuplicates = 200_000
	// newestInvoices is the number of invoices from which the size of an entry in Redis is estimated.
	newestInvoices = 100
)

// Late returns the gaps between the newest late duplicates and their invoices, most of them at most, and about how many
// invoices were made within each of the given times, and how many bytes Redis needs to remember one. Its time depends
// on most, and not on how many duplicates and invoices there are.
func (s *Reports) Late(ctx context.Context, most int, times []time.Duration) (fit.Observed, error) {
	var o fit.Observed
	err := s.snapshot(ctx, func(tx *gorm.DB) (err error) {
		if o.Gaps, err = readGaps(tx, most); err != nil {
			return err
		}
		if o.Entries, err = readMadeWithin(tx, times); err != nil {
			return err
		}
		o.EntryBytes, err = readEntryBytes(tx)
		return err
	})
	return o, classify(err)
}

// readGaps looks each invoice up by its id, in a subquery: a join may read the whole table of invoices instead.
func readGaps(tx *gorm.DB, most int) ([]time.Duration, error) {
	rows, err := tx.Raw(`
SELECT extract(epoch FROM attempted_at - (SELECT created_at FROM invoicer.invoices i WHERE i.id = late.invoice_id))::float8 AS seconds
FROM (
    SELECT id, invoice_id, attempted_at FROM (
        SELECT id, invoice_id, attempted_at, reason FROM invoicer.duplicate_attempts ORDER BY id DESC LIMIT ?
    ) AS newest WHERE reason = 'already_invoiced' AND invoice_id IS NOT NULL ORDER BY id DESC LIMIT ?
) AS late`, newestDuplicates, most).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	gaps := make([]time.Duration, 0, most)
	for rows.Next() {
		var seconds *float64
		if err := rows.Scan(&seconds); err != nil {
			return nil, err
		}
		if seconds != nil { // else there is no such invoice, of which the audit tells
			gaps = append(gaps, max(0, time.Duration(*seconds*float64(time.Second))))
		}
	}
	slices.Sort(gaps)
	return gaps, rows.Err()
}

// readMadeWithin finds the first invoice of each time by halving the range of ids, which are given in about the order of time.
// Ids that no invoice has are counted as if one had.
func readMadeWithin(tx *gorm.DB, times []time.Duration) ([]int64, error) {
	var seconds []string
	for _, t := range times {
		seconds = append(seconds, strconv.FormatFloat(t.Seconds(), 'f', -1, 64))
	}
	var made []int64
	err := tx.Raw(`
WITH RECURSIVE ids AS MATERIALIZED (
    SELECT min(id) AS lowest, max(id) + 1 AS past FROM invoicer.invoices
), search AS (
    SELECT place, seconds, lowest AS lo, past AS hi FROM ids, unnest(?::float8[]) WITH ORDINALITY AS t (seconds, place)
  UNION ALL
    SELECT place, seconds, CASE WHEN within THEN lo ELSE middle + 1 END, CASE WHEN within THEN middle ELSE hi END
    FROM (
        SELECT *, (lo + hi) / 2 AS middle,
            (SELECT created_at FROM invoicer.invoices WHERE id >= (lo + hi) / 2 ORDER BY id LIMIT 1) >= now() - seconds * interval '1 second' AS within
        FROM search WHERE lo < hi
    ) AS half
)
SELECT coalesce(past - lo, 0) FROM search, ids WHERE lo = hi OR lo IS NULL ORDER BY place`, "{"+strings.Join(seconds, ",")+"}").Scan(&made).Error
	return made, err
}

// readEntryBytes estimates what the keys and values of worker.doneEntry need. 175 are the bytes of both that are always there.
// Redis 7.0 with jemalloc was measured to need up to a quarter more than their lengths, since it rounds up, and up to 100 bytes
// for its own tables.
func readEntryBytes(tx *gorm.DB) (bytes int64, err error) {
	err = tx.Raw(`
SELECT ceil(coalesce(avg(175 + octet_length(id::text) + octet_length(series) + octet_length(number::text)
    + CASE WHEN period = '' THEN 0 ELSE 12 + octet_length(period) END + CASE WHEN document_date IS NULL THEN 0 ELSE 31 END + octet_length(invoice_number) + 2 * octet_length(transaction_id)
    + octet_length(idempotency_key) + octet_length(job_id) + octet_length(fingerprint)), 0) * 1.25 + 100)::bigint
FROM (SELECT * FROM invoicer.invoices ORDER BY id DESC LIMIT ?) AS newest`, newestInvoices).Row().Scan(&bytes)
	return bytes, err
}
