package given

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// Books are the counters of a database, and what becomes of their series. [postgres.Invoices] implements it.
type Books interface {
	Standing(ctx context.Context) (*postgres.Standing, error)
	SawLineage(ctx context.Context, now postgres.Lineage) error
	SeeReplication(ctx context.Context) error
	PauseLost(ctx context.Context, id invoice.SeriesID, seen int, why string) (bool, error)
	MissSeries(id invoice.SeriesID, highest int64)
}

// Servers are those of the database's URL. [postgres.Invoices] implements it.
type Servers interface {
	Known() postgres.Lineage
	Newest(ctx context.Context, known postgres.Lineage) postgres.Lineage
	Promoted(now postgres.Lineage)
}

// A Witness remembers documents in files. [witness.Folder] implements it.
type Witness interface {
	Add(made []invoice.Made) (wait func(context.Context))
	Highest(ctx context.Context) (map[invoice.SlotKey]int64, error)
	Looked() // at the counters
}

// A Watch compares the counters with what is remembered elsewhere.
type Watch struct {
	Books      Books
	Servers    Servers
	Memory     *Memory
	Witness    Witness // nil for none
	Redis      Reader
	DatabaseID string
	Logger     *slog.Logger
}

// every is how often a worker asks whether another one knows a newer primary than its own, and surveyed of how many times it asks the
// hosts themselves.
const (
	every    = time.Second
	surveyed = 2
)

// Run has a worker that goes on with an old primary look again, once another one has found the new primary, or a host of the database's
// URL is one. It also keeps what is remembered of whether commits wait for a standby. It returns when the context ends.
func (w *Watch) Run(ctx context.Context) {
	var replication sync.WaitGroup
	defer replication.Wait()
	replication.Go(func() { w.seeReplication(ctx) })
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		mine := w.Servers.Known() // also of a process that has yet to look, and whose first jobs may hang at an old primary
		if mine.System == "" {
			continue
		}
		known, _ := Timeline(ctx, w.Redis, w.DatabaseID, mine.System) // else the next time, or by the hosts
		newest := postgres.Lineage{System: mine.System, Timeline: known}
		if n%surveyed == 0 && !mine.Before(newest) {
			newest = w.Servers.Newest(ctx, mine)
		}
		if mine.Before(newest) {
			w.Servers.Promoted(newest)
		}
	}
}

// seeReplication runs by itself, as a primary that hangs may hold it up.
func (w *Watch) seeReplication(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.Books.SeeReplication(ctx); err != nil { // a standby, a server that is away, or one that keeps its history to itself
			w.Logger.DebugContext(ctx, "whether commits wait for a standby isn't known", "error", err)
		}
	}
}

// Look pauses each series of which numbers may have been given out that the database doesn't know. That is so where something remembers
// a higher number than its counter has; and after a failover or a restore, if commits didn't wait for a standby, also where nothing that
// remembers reaches up to the counter. It returns [postgres.ErrOldPrimary] if a later timeline of the same cluster is remembered. It
// implements [postgres.Look].
func (w *Watch) Look(ctx context.Context, seen map[invoice.SlotKey]int64) (server string, err error) {
	// What is remembered is asked for first: a number is remembered after its counter has reached it.
	inRedis, promoted, err := read(ctx, w.Redis, w.DatabaseID)
	if err != nil {
		return "", err
	}
	highest := maps.Clone(inRedis)
	raise(highest, seen)
	if w.Witness != nil {
		witnessed, err := w.Witness.Highest(ctx)
		if err != nil {
			return "", err
		}
		raise(highest, witnessed)
		defer w.Witness.Looked()
	}
	absent := make(map[invoice.SeriesID]bool) // of what is lost, that which the database can't pause
	for range mostTries {
		standing, err := w.Books.Standing(ctx)
		if err != nil {
			return "", err
		}
		if newest := (postgres.Lineage{System: standing.Now.System, Timeline: promoted[standing.Now.System]}); standing.Now.Before(newest) {
			w.Servers.Promoted(newest)
			return "", postgres.ErrOldPrimary
		}
		lost := losses(standing.Counters, highest, moved(standing))
		open := 0
		for id, why := range lost {
			if absent[id] || isShut(standing.Counters, id) {
				continue
			}
			open++
			if absent[id], err = w.pause(ctx, id, why, standing.Counters); err != nil && !errors.Is(err, postgres.ErrSeriesMoved) {
				return "", err
			}
		}
		// The pauses count once this same server has them: with several hosts, they may have been made at another one.
		if open == 0 {
			return standing.Server, w.remember(ctx, standing, lost, inRedis, promoted)
		}
	}
	return "", errors.New("series that may have lost numbers can't be paused")
}

func raise(highest, to map[invoice.SlotKey]int64) {
	for slot, number := range to {
		highest[slot] = max(highest[slot], number)
	}
}

// mostTries bounds how often the counters are asked for in one go.
const mostTries = 4

// moved reports whether the server may have lost commits that another one had: it has another history, and these didn't wait for it, or
// came after the moment to which it was restored.
func moved(s *postgres.Standing) bool {
	known := s.Now.System != "" && s.Seen != nil && s.Seen.System != ""
	return known && (s.Now.System != s.Seen.System || s.Now.Timeline != s.Seen.Timeline) && (!s.Seen.Replicated || s.Restored)
}

// isShut reports whether the series has counters, and each gives out no number.
func isShut(counters []postgres.Counter, id invoice.SeriesID) bool {
	some := false
	for _, c := range counters {
		if c.ID() == id {
			if some = true; c.State == invoice.SeriesOpen {
				return false
			}
		}
	}
	return some
}

// remember has Redis know of what was found in order.
func (w *Watch) remember(ctx context.Context, s *postgres.Standing, lost map[invoice.SeriesID]loss, inRedis map[invoice.SlotKey]int64, promoted map[string]int64) error {
	var unknown []invoice.Numbered
	for _, c := range s.Counters {
		if _, ok := lost[c.ID()]; !ok && c.Last >= c.FirstNumber && inRedis[c.SlotKey] < c.Last {
			unknown = append(unknown, invoice.Numbered{SlotKey: c.SlotKey, Number: c.Last})
		}
	}
	if err := w.Memory.Raise(ctx, unknown...); err != nil {
		return err
	}
	if s.Now.System != "" && promoted[s.Now.System] < s.Now.Timeline {
		if err := w.Memory.raise(ctx, timelineField(s.Now.System), s.Now.Timeline); err != nil {
			return err
		}
	}
	return w.Books.SawLineage(ctx, s.Now)
}

// rememberTimeout bounds how long the jobs of a group wait until their numbers are remembered.
const rememberTimeout = 5 * time.Second

// Remember has Redis, and the witness, know of the documents of one transaction.
func (w *Watch) Remember(ctx context.Context, made []invoice.Made) {
	ctx, cancel := context.WithTimeout(ctx, rememberTimeout)
	defer cancel()
	if w.Witness != nil {
		wait := w.Witness.Add(made)
		defer wait(ctx)
	}
	numbers := make([]invoice.Numbered, len(made))
	for i := range made {
		numbers[i] = made[i].Numbered
	}
	if err := w.Memory.Raise(ctx, numbers...); err != nil {
		w.Logger.WarnContext(ctx, "numbers aren't remembered in Redis", "highest", made[len(made)-1].InvoiceNumber, "error", err)
	}
}

// Lost implements [worker.Numbers].
func (w *Watch) Lost(ctx context.Context, n invoice.Numbered) (bool, error) {
	id := n.ID()
	err := postgres.ErrSeriesMoved
	for try := 0; try < mostTries && errors.Is(err, postgres.ErrSeriesMoved); try++ {
		standing, askErr := w.Books.Standing(ctx)
		if askErr != nil {
			return false, askErr
		}
		lost, ok := losses(standing.Counters, map[invoice.SlotKey]int64{n.SlotKey: n.Number}, false)[id]
		if !ok {
			return false, nil
		}
		_, err = w.pause(ctx, id, lost, standing.Counters)
	}
	return true, err
}

// A loss is why a series may have lost numbers.
type loss struct {
	why     string
	highest int64 // that is remembered, 0 if that isn't the reason
}

func losses(counters []postgres.Counter, highest map[invoice.SlotKey]int64, moved bool) map[invoice.SeriesID]loss {
	last := make(map[invoice.SlotKey]int64, len(counters))
	lost := make(map[invoice.SeriesID]loss)
	for _, c := range counters {
		last[c.SlotKey] = c.Last
		if moved && c.Last >= c.FirstNumber && highest[c.SlotKey] < c.Last {
			lost[c.ID()] = loss{why: fmt.Sprintf("the database is another server's whose commits didn't wait for a standby, or was restored, and nothing that remembers numbers reaches up to its counter, %d%s", c.Last, ofPeriod(c.Period))}
		}
	}
	for slot, number := range highest {
		if number > last[slot] {
			lost[slot.ID()] = loss{
				why:     fmt.Sprintf("numbers up to %d%s were given out, and the database's counter is at %d", number, ofPeriod(slot.Period), last[slot]),
				highest: max(number, lost[slot.ID()].highest),
			}
		}
	}
	return lost
}

func ofPeriod(period string) string {
	if period == "" {
		return ""
	}
	return " of period " + period
}

// pause pauses a series. It reports whether the database has no counter of it that could be seen as paused.
func (w *Watch) pause(ctx context.Context, id invoice.SeriesID, lost loss, counters []postgres.Counter) (absent bool, err error) {
	seen := 0
	for _, c := range counters {
		if c.ID() == id {
			seen = c.Version
		}
	}
	paused, err := w.Books.PauseLost(ctx, id, seen, lost.why)
	switch {
	case errors.Is(err, invoice.ErrNoSeries):
		w.Books.MissSeries(id, lost.highest)
		w.Logger.ErrorContext(ctx, "series isn't in the database, though numbers were given out of it: its jobs wait", "series", id.String(), "why", lost.why)
		return true, nil
	case err != nil:
		return false, fmt.Errorf("pause series %s, %s: %w", id, lost.why, err)
	case paused:
		w.Logger.ErrorContext(ctx, "series paused: it may have lost numbers", "series", id.String(), "why", lost.why, "remedy", "run `invoicer series recover "+id.Args()+"`")
	}
	return !slices.ContainsFunc(counters, func(c postgres.Counter) bool { return c.ID() == id }), nil
}
