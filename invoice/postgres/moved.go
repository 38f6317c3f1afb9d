package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gorm.io/gorm"

	"invoicer/internal/fault"
	"invoicer/internal/primary"
	"invoicer/invoice"
)

// whichServer is SQL of a text that differs for each start of a server, each database and each table of counters: whoever has seen
// the same text before asks the same counters as before.
const whichServer = `concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), (SELECT oid FROM pg_database WHERE datname = current_database()), 'invoicer.invoice_series'::regclass::oid)`

// A Look finds out whether numbers were given out that the database doesn't know, and pauses their series. It may know of some: seen has
// the highest numbers that this process has written, by their slots. It returns the [Standing.Server] at which it has looked.
type Look func(ctx context.Context, seen map[invoice.SlotKey]int64) (server string, err error)

// A serverWatch makes sure that no number is given out by a server at which nobody has looked: after a failover or a restore its counters
// may be behind the numbers that customers hold.
type serverWatch struct {
	looks bool // else there is nobody to look

	mu      sync.Mutex
	looked  string // at which server
	round   int    // how often somebody has looked
	seen    map[counterKey]int64
	missing map[invoice.SeriesID]int64 // series that the database doesn't have, and the highest number that was given out of each
}

// A movedError says that a look is due before numbers can be given out. It has the round in which that was found.
type movedError struct{ round int }

func (e *movedError) Error() string {
	return "nobody has looked yet whether the database has lost numbers"
}

func (e *movedError) Is(target error) bool { return target == invoice.ErrUnavailable }

// check returns a [*movedError] unless the counters are those of a server at which somebody has looked, and none is lower than this
// process has left it, and their series were there when somebody looked.
func (w *serverWatch) check(locked counters) error {
	if !w.looks {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, counter := range locked {
		missing := w.missing[invoice.SeriesID{Issuer: key[0], Name: key[1]}] > 0 // until now
		if counter.locked && (counter.server != w.looked || counter.lastNumber < w.seen[key] || missing) {
			return &movedError{w.round}
		}
	}
	return nil
}

// wrote notes the counters that a committed transaction has left.
func (w *serverWatch) wrote(locked counters) {
	if !w.looks {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, counter := range locked {
		if counter.advanced {
			w.seen[key] = max(w.seen[key], counter.lastNumber)
		}
	}
}

// remember has the documents of one transaction remembered. It returns what [invoice.Insertion] has.
func (s *Invoices) remember(ctx context.Context, rows []*write) <-chan struct{} {
	if s.options.Remember == nil {
		return nil
	}
	made := make([]invoice.Made, len(rows))
	for i, w := range rows {
		made[i] = invoice.Made{Numbered: w.numbered(), InvoiceNumber: w.made.Number, TransactionID: w.draft.Job.TransactionID, Chain: w.chain}
	}
	done := make(chan struct{})
	s.working.Go(func() {
		defer close(done)
		if s.options.Fault.Hit(ctx, fault.Remembering) != nil {
			return
		}
		s.options.Remember(context.WithoutCancel(ctx), made)
	})
	return done
}

func (w *write) numbered() invoice.Numbered {
	return invoice.Numbered{SlotKey: w.draft.Slot.Key(), Number: w.number, Date: w.date}
}

// look looks, unless another caller has looked meanwhile.
func (s *Invoices) look(ctx context.Context, moved *movedError) error {
	if err := take(ctx, s.looking); err != nil {
		return err
	}
	defer func() { <-s.looking }()
	w := &s.server
	w.mu.Lock()
	if w.round != moved.round {
		w.mu.Unlock()
		return nil
	}
	clear(w.missing)
	seen := make(map[invoice.SlotKey]int64, len(w.seen))
	for key, number := range w.seen {
		seen[invoice.SlotKey{Issuer: key[0], Series: key[1], Period: key[2]}] = number
	}
	w.mu.Unlock()
	server, err := s.options.Look(ctx, seen)
	if err != nil {
		return &unavailableError{fmt.Errorf("whether numbers were lost isn't known: %w", err)}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = server
	w.round++
	clear(w.seen)
	s.series.forgetAll() // some may be paused now
	return nil
}

// Promoted tells of the newest lineage. Connections to older primaries of the same cluster are refused from then on, open ones are
// closed before their next use, and somebody looks before the next number is given out.
func (s *Invoices) Promoted(now Lineage) {
	s.opener.primaries.promoted(now)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.looked = ""
}

// Known returns the newest lineage that this process has found or was told of, the zero Lineage if there is none yet.
func (s *Invoices) Known() Lineage { return s.opener.primaries.known() }

// Newest asks each host of the URL, where it has several, for the newest primary that has the history of the known one: the zero Lineage
// if none answers. It returns once one is newer, and takes 2 s at most.
func (s *Invoices) Newest(ctx context.Context, known Lineage) Lineage {
	return s.opener.primaries.survey(ctx, known)
}

// forgetAll has the settings of all series read again.
func (s *Series) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// maxLooks bounds how often one group waits for a look.
const maxLooks = 3

// A Lineage is whose history a database has: a promotion or a restore begins another timeline.
type Lineage struct {
	System     string // the cluster's identifier, "" if the server doesn't say
	Timeline   int64
	Replicated bool // whether each commit waits for a standby
}

// Before reports whether another server of the same cluster was promoted since: this one is an old primary.
func (l Lineage) Before(other Lineage) bool {
	return l.System != "" && l.System == other.System && l.Timeline < other.Timeline
}

// ErrOldPrimary says that another server was promoted since this one was the primary. What it commits would be lost.
var ErrOldPrimary = errors.New("this server is an old primary: another one was promoted since, and has the newer timeline. " +
	"Stop it for good, or, if it is the one that is meant, as after a restore, run `invoicer series recover NAME` for each series")

// A Standing is how far one server's series are numbered, and whose history it has.
type Standing struct {
	Server   string   // which server, database and tables it is: another one after a restart, a failover or a restore
	Now      Lineage  // of the server
	Seen     *Lineage // that [Invoices.SawLineage] was told of last, nil for none
	Counters []Counter
	// Restored says that the server was told to stop its recovery at a moment: as it is another history's, it may lack what commits
	// that waited for a standby had.
	Restored bool
}

// A Counter is how far a slot is numbered.
type Counter struct {
	invoice.SlotKey

	State             invoice.SeriesState
	FirstNumber, Last int64
	LastDate          string // of the newest document that is dated on its day of issue, "" for none
	Version           int    // of the series' settings
}

// Standing asks one server. It returns once the standbys that commits wait for have what it found: on an old primary, whose connections were
// broken off while they waited, that could be numbers that nobody was told of and that the new primary gives to others.
func (s *Invoices) Standing(ctx context.Context) (*Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout) // it is asked for a group, whose context has no end
	defer cancel()
	standing := &Standing{}
	err := s.db.WithContext(ctx).Connection(func(db *gorm.DB) error {
		db = db.Session(&gorm.Session{NewDB: true}) // or the refusal below would be the error of all that follows
		now := db.Raw(primary.Select).Scan(&standing.Now).Error
		// A managed server may keep this to itself.
		if now != nil && !isCode(now, "42501") && !isCode(now, "0A000") && !isCode(now, "42883") {
			return now
		}
		if err := db.Raw("SELECT " + commitsWait).
			Scan(&standing.Now.Replicated).Error; err != nil {
			return err
		}
		if s.opener.refusesUnsafe.Load() { // a pooler may have another server by now than when the connection was opened
			var found [4]string
			if err := db.Raw(durability).Row().Scan(&found[0], &found[1], &found[2], &found[3]); err != nil {
				return err
			}
			if lacks := unsafe(found[0], found[1], found[2], found[3]); len(lacks) > 0 {
				return &UnsafeError{Settings: lacks}
			}
		}
		if err := db.Raw(`SELECT coalesce(bool_or(setting <> ''), false) FROM pg_settings
WHERE name IN ('recovery_target', 'recovery_target_name', 'recovery_target_time', 'recovery_target_xid', 'recovery_target_lsn')`).Scan(&standing.Restored).Error; err != nil {
			return err
		}
		var seen []Lineage
		if err := db.Raw("SELECT system, timeline, replicated FROM invoicer.seen_server").Scan(&seen).Error; err != nil {
			return err
		}
		if len(seen) > 0 {
			standing.Seen = &seen[0]
		}
		var rows []struct {
			Issuer, Series, Period, State string
			FirstNumber, LastNumber       int64
			LastDate                      string
			Version                       int
		}
		if err := db.Raw(`SELECT issuer, series, period, state, first_number, last_number, coalesce(last_date::text, '') AS last_date,
    coalesce((SELECT max(version) FROM invoicer.series v WHERE (v.issuer, v.series) = (c.issuer, c.series)), 0) AS version
FROM invoicer.invoice_series c`).Scan(&rows).Error; err != nil {
			return err
		}
		for _, r := range rows {
			standing.Counters = append(standing.Counters, Counter{
				invoice.SlotKey{Issuer: r.Issuer, Series: r.Series, Period: r.Period}, invoice.SeriesState(r.State), r.FirstNumber, r.LastNumber, r.LastDate, r.Version,
			})
		}
		return db.Raw("SELECT " + whichServer + " FROM (SELECT " + replicated + ") AS waits").Scan(&standing.Server).Error
	})
	return standing, classify(err)
}

// SawLineage remembers a lineage: see [Invoices.Promoted].
func (s *Invoices) SawLineage(ctx context.Context, now Lineage) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout) // as above
	defer cancel()
	s.opener.primaries.promoted(now)
	return classify(s.db.WithContext(ctx).Exec(`INSERT INTO invoicer.seen_server (system, timeline, replicated) VALUES (?, ?, ?)
ON CONFLICT (singleton) DO UPDATE SET system = excluded.system, timeline = excluded.timeline, replicated = excluded.replicated, seen_at = now()
WHERE (seen_server.system, seen_server.timeline, seen_server.replicated) IS DISTINCT FROM (excluded.system, excluded.timeline, excluded.replicated)`,
		now.System, now.Timeline, now.Replicated).Error)
}

// commitsWait is SQL for whether each commit waits for a standby.
const commitsWait = "current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')"

// SeeReplication corrects what is remembered of whether commits wait for a standby, which can be set while a server runs. It changes nothing
// at another server than the one that was seen last: somebody has to look there first.
func (s *Invoices) SeeReplication(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout)
	defer cancel()
	return classify(s.db.WithContext(ctx).Exec(`WITH now AS MATERIALIZED (` + primary.Select + `), waits AS (SELECT ` + commitsWait + ` AS replicated)
UPDATE invoicer.seen_server s SET replicated = waits.replicated FROM now, waits
WHERE s.system = now.system AND s.timeline = now.timeline AND s.replicated <> waits.replicated`).Error)
}

// LostNumbers is how a series is paused whose numbers may have been given out by a database that is lost. Only `invoicer series recover`
// resumes it.
const LostNumbers = "paused, since numbers above its counter may have been given out by a database that is lost"

// ErrSeriesMoved is returned by [Invoices.PauseLost] if a series' settings aren't those any more that the caller has seen.
var ErrSeriesMoved = errors.New("the series was changed meanwhile")

// PauseLost pauses an open series, and says why. It reports whether it did. It returns [ErrSeriesMoved] if the settings aren't of the
// version that the caller has seen, since then somebody may have recovered the series; seen is 0 if the caller has seen none.
func (s *Invoices) PauseLost(ctx context.Context, id invoice.SeriesID, seen int, why string) (paused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.StatementTimeout) // as above
	defer cancel()
	_, err = s.series.Change(ctx, &SeriesChange{
		Issuer: id.Issuer, Name: id.Name, What: LostNumbers, By: "worker " + s.options.Worker, Note: why, lost: true,
		To: func(current *invoice.Series) (invoice.Series, error) {
			if current == nil {
				return invoice.Series{}, invoice.ErrNoSeries
			}
			if current.State == invoice.SeriesClosed {
				return *current, errUnchanged
			}
			if seen > 0 && current.Version != seen {
				return *current, ErrSeriesMoved
			}
			changed := *current
			changed.State = invoice.SeriesPaused
			paused = true
			return changed, nil
		},
	})
	return paused, err
}

// ResumeRecovered resumes a series whose lost numbers are reserved.
func (s *Series) ResumeRecovered(ctx context.Context, id invoice.SeriesID, what, by, note string) (invoice.Series, error) {
	return s.Change(ctx, &SeriesChange{
		Issuer: id.Issuer, Name: id.Name, What: what, By: by, Note: note, recovered: true,
		To: func(current *invoice.Series) (invoice.Series, error) {
			if current == nil {
				return invoice.Series{}, invoice.ErrNoSeries
			}
			changed := *current
			if current.State == invoice.SeriesClosed {
				return changed, errUnchanged
			}
			changed.State = invoice.SeriesOpen
			return changed, nil
		},
	})
}

// MissSeries has no series of this name be made: numbers up to the highest were given out of one that the database doesn't have.
func (s *Invoices) MissSeries(id invoice.SeriesID, highest int64) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.missing[id] = highest
}

// misses returns why a series can't be made, nil if it can.
func (w *serverWatch) misses(id invoice.SeriesID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	highest, ok := w.missing[id]
	if !ok {
		return nil
	}
	return &heldError{cause: fmt.Errorf("series %s isn't in the database, though numbers up to %d were given out of it: open it as it was by `invoicer series open %s`, and run `invoicer series recover %s`", id, highest, id.Args(), id.Args())}
}
