package postgres

import (
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
)

// counters are the locked counters of the slots, by series and period.
type counters map[[2]string]*counterRow

type counterRow struct {
	kind       string
	lastNumber int64
	locked     bool // false: another transaction holds it
	advanced   bool
}

func slotKey(slot invoice.Slot) [2]string { return [2]string{slot.Series, slot.Period} }

// slotsOf returns the slots of a group as arrays, in one order for all writers.
func slotsOf(group []*write) (series, periods, kinds array) {
	slots := make(map[[2]string]invoice.Slot)
	for _, w := range group {
		slots[slotKey(w.draft.Slot)] = w.draft.Slot
	}
	for _, key := range slices.SortedFunc(maps.Keys(slots), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		series.text(key[0])
		periods.text(key[1])
		kinds.text(string(slots[key].Kind))
	}
	return series, periods, kinds
}

// addLock adds the statement that locks the counters of all members' slots until the transaction ends. If patient, it
// waits for counters that others hold, in one order for all writers; else it skips them.
func addLock(f *flight, group []*write, patient bool, found counters) {
	series, periods, _ := slotsOf(group)
	skip := "SKIP LOCKED"
	if patient {
		skip = ""
	}
	slots := literals(&series, &periods)
	f.add(`
WITH locked AS MATERIALIZED (
    SELECT series, period, kind, last_number FROM invoicer.invoice_series
    WHERE (series, period) IN (SELECT * FROM unnest(?::text[], ?::text[])) ORDER BY series, period FOR NO KEY UPDATE `+skip+`
)
SELECT series, period, kind, last_number, true FROM locked
UNION ALL
SELECT series, period, kind, last_number, false FROM invoicer.invoice_series WHERE (series, period) IN (SELECT * FROM unnest(?::text[], ?::text[]))`,
		append(slots, slots...)...).Query(collect(func(r *struct {
		Series, Period, Kind string
		LastNumber           int64
		Locked               bool
	},
	) error {
		key := [2]string{r.Series, r.Period}
		if r.Locked || found[key] == nil {
			found[key] = &counterRow{kind: r.Kind, lastNumber: r.LastNumber, locked: r.Locked}
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
			literals(&jobIDs)...)
		return
	}
	f.add("SELECT member FROM unnest(?::text[]) WITH ORDINALITY AS asked (id, member) WHERE NOT pg_try_advisory_xact_lock(hashtextextended(id, 0))",
		literals(&jobIDs)...).Query(func(rows pgx.Rows) error {
		members, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		for _, member := range members {
			group[member-1].obstacle = heldJob
		}
		return err
	})
}

// addCreate adds the statement that creates the counter of the slot, which is the same for all members.
func addCreate(f *flight, group []*write) {
	series, periods, kinds := slotsOf(group)
	f.add(`INSERT INTO invoicer.invoice_series (series, period, kind) SELECT * FROM unnest(?::text[], ?::text[], ?::text[])
ON CONFLICT (series, period) DO NOTHING`, literals(&series, &periods, &kinds)...)
}

// place sets the obstacle of each member whose slot's counter is missing or held, and the error of each member whose
// series holds the other kind.
func place(group []*write, found counters) {
	for _, w := range group {
		switch counter := found[slotKey(w.draft.Slot)]; {
		case counter == nil:
			w.obstacle = noCounter
		case !counter.locked:
			w.obstacle = heldCounter
		case counter.kind != string(w.draft.Slot.Kind) && w.err == nil:
			w.err = otherKind(w.draft.Slot)
		}
	}
}

func otherKind(slot invoice.Slot) error {
	return &invoice.InvalidError{Problems: []invoice.Problem{{
		Field:   "series",
		Message: fmt.Sprintf("%s holds the other kind of document, and this is of kind %s; a series holds one kind: send another series", slot.Series, slot.Kind),
	}}}
}
