package postgres

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
)

// A counterKey names a counter: its issuer, series and period.
type counterKey [3]string

// counters are the locked counters of the slots.
type counters map[counterKey]*counterRow

type counterRow struct {
	kind          string
	lastNumber    int64
	settings      int  // the newest version of its series' settings
	locked        bool // false: another transaction holds it
	advanced      bool
	head          head
	issuerVersion int    // the newest version of what is known of its issuer, 0 for the one without a name
	now           string // created_at of this transaction's invoices, as it is hashed

	standing int       // the newest version of the installation's settings
	clock    time.Time // the database's

	server     string // which server it is: see [serverWatch]
	reservedTo *int64 // the highest reserved number, nil if none was ever reserved

	lastDate *time.Time // of the series' last document that was dated on its day of issue, nil if there is none
	dated    time.Time  // the date of the documents that are written now, zero if it is their issued_at

	// How its numbers are printed.
	prefix, suffix string
	width          int
	// How they are printed from a later number on, nil if nothing is said of that.
	nextFrom               *int64
	nextPrefix, nextSuffix string
	nextWidth              int
}

func (c *counterRow) print(number int64) string {
	if c.nextFrom != nil && number >= *c.nextFrom {
		return c.nextPrefix + fmt.Sprintf("%0*d", c.nextWidth, number) + c.nextSuffix
	}
	return c.prefix + fmt.Sprintf("%0*d", c.width, number) + c.suffix
}

func slotKey(slot invoice.Slot) counterKey { return counterKey{slot.Issuer, slot.Series, slot.Period} }

func byKey(a, b counterKey) int { return slices.Compare(a[:], b[:]) }

// slotsOf returns the slots of a group as arrays, in one order for all writers.
func slotsOf(group []*write) (issuers, series, periods, kinds array) {
	slots := make(map[counterKey]invoice.Slot)
	for _, w := range group {
		slots[slotKey(w.draft.Slot)] = w.draft.Slot
	}
	for _, key := range slices.SortedFunc(maps.Keys(slots), byKey) {
		issuers.text(key[0])
		series.text(key[1])
		periods.text(key[2])
		kinds.text(string(slots[key].Kind))
	}
	return issuers, series, periods, kinds
}

// addLock adds the statement that locks the counters of all members' slots until the transaction ends. If patient, it
// waits for counters that others hold, in one order for all writers; else it skips them.
func addLock(f *flight, group []*write, patient bool, found counters) {
	issuers, series, periods, _ := slotsOf(group)
	skip := "SKIP LOCKED"
	if patient {
		skip = ""
	}
	slots := []any{&issuers, &series, &periods}
	f.add(`
WITH locked AS MATERIALIZED (
    SELECT issuer, series, period, kind, last_number, settings, prefix, width, suffix, next_from, coalesce(next_prefix, '') AS next_prefix, coalesce(next_width, 1) AS next_width, coalesce(next_suffix, '') AS next_suffix, last_date, reserved_to FROM invoicer.invoice_series
    WHERE (issuer, series, period) IN (SELECT * FROM unnest(?::text[], ?::text[], ?::text[])) ORDER BY issuer, series, period FOR NO KEY UPDATE `+skip+`
)
SELECT issuer, series, period, kind, last_number, settings, prefix, width, suffix, next_from, next_prefix, next_width, next_suffix, true,
    (SELECT max(version) FROM invoicer.settings WHERE settings.issuer = locked.issuer), clock_timestamp(),
    CASE WHEN last_date IS NOT NULL THEN (SELECT max(o.last_date) FROM invoicer.invoice_series o WHERE o.issuer = locked.issuer AND o.series = locked.series) END, reserved_to, `+whichServer+` FROM locked
UNION ALL
SELECT issuer, series, period, kind, last_number, settings, prefix, width, suffix, next_from, coalesce(next_prefix, ''), coalesce(next_width, 1), coalesce(next_suffix, ''), false, 0, clock_timestamp(), NULL, reserved_to, '' FROM invoicer.invoice_series
WHERE (issuer, series, period) IN (SELECT * FROM unnest(?::text[], ?::text[], ?::text[]))`,
		append(slots, slots...)...).Query(collect(func(r *struct {
		Issuer, Series, Period, Kind string
		LastNumber                   int64
		Settings                     int
		Prefix                       string
		Width                        int
		Suffix                       string
		NextFrom                     *int64
		NextPrefix                   string
		NextWidth                    int
		NextSuffix                   string
		Locked                       bool
		Standing                     int
		Now                          time.Time
		LastDate                     *time.Time
		ReservedTo                   *int64
		Server                       string
	},
	) error {
		key := counterKey{r.Issuer, r.Series, r.Period}
		if r.Locked || found[key] == nil {
			found[key] = &counterRow{
				kind: r.Kind, lastNumber: r.LastNumber, settings: r.Settings, locked: r.Locked, prefix: r.Prefix, width: r.Width, suffix: r.Suffix,
				nextFrom: r.NextFrom, nextPrefix: r.NextPrefix, nextWidth: r.NextWidth, nextSuffix: r.NextSuffix,
				standing: r.Standing, clock: r.Now, lastDate: r.LastDate, reservedTo: r.ReservedTo, server: r.Server,
			}
		}
		return nil
	}))
}

// addJobLocks adds the statement that locks the ends of the members' jobs: any other writer of such an end waits, and
// then sees this transaction's. If patient, it waits for locks that others hold; else it sets the obstacle of each
// member whose lock is held.
func addJobLocks(f *flight, group []*write, patient bool) {
	var jobIDs array
	for _, w := range group {
		jobIDs.text(w.draft.JobID)
	}
	if patient {
		f.add("SELECT count(pg_advisory_xact_lock(job)) FROM (SELECT DISTINCT hashtextextended(id, 0) AS job FROM unnest(?::text[]) AS id ORDER BY 1) AS ends",
			&jobIDs)
		return
	}
	f.add("SELECT member FROM unnest(?::text[]) WITH ORDINALITY AS asked (id, member) WHERE NOT pg_try_advisory_xact_lock(hashtextextended(id, 0))",
		&jobIDs).Query(func(rows pgx.Rows) error {
		members, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		for _, member := range members {
			group[member-1].obstacle = heldJob
		}
		return err
	})
}

// addCreate adds the statement that creates the counter of the slot, which is the same for all members.
func addCreate(f *flight, group []*write) {
	issuers, series, periods, kinds := slotsOf(group)
	// Which constraint it is depends on whether issuers were opened.
	f.add(`INSERT INTO invoicer.invoice_series (issuer, series, period, kind) SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::text[])
ON CONFLICT DO NOTHING`, &issuers, &series, &periods, &kinds)
}

// place sets the obstacle of each member whose slot's counter is missing or held, and the error of each member whose
// series holds the other kind, or which other settings hold for than those by which it was placed, or whose day of issue lies in another period.
func place(group []*write, found counters) {
	for _, w := range group {
		switch counter := found[slotKey(w.draft.Slot)]; {
		case counter == nil:
			w.obstacle = noCounter
		case !counter.locked:
			w.obstacle = heldCounter
		case w.err != nil:
		case counter.kind != string(w.draft.Slot.Kind):
			w.err = invoice.OtherKind(w.draft.Series.ID(), w.draft.Slot.Kind)
		case counter.settings != w.draft.Slot.Version, counter.standing != w.draft.Settings.Version:
			w.err = invoice.ErrSettingsChanged
		case w.draft.Series.Date == invoice.DateIssue:
			w.err = counter.date(w.draft)
		}
	}
}

// date finds the date of the documents that are written now. It returns an [*invoice.OtherPeriodError] if that lies in another period
// than the counter's.
func (c *counterRow) date(d *invoice.Draft) error {
	day, period, err := d.Series.DayOfIssue(c.clock, c.lastDate)
	if err != nil {
		return err
	}
	if period != d.Slot.Period {
		return &invoice.OtherPeriodError{Period: period}
	}
	c.dated = day
	return nil
}

func (c *counterRow) dateText() string {
	if c.dated.IsZero() {
		return ""
	}
	return c.dated.Format(time.DateOnly)
}
