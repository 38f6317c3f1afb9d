package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// Series keeps the settings of series. Each change is a row that stays for ever.
type Series struct {
	*core

	// The permits to read and to make settings: not all jobs of a new series take a connection for it.
	reading, making chan struct{}

	mu    sync.Mutex
	known map[invoice.SeriesID]knownSeries
	held  map[invoice.SeriesID]struct{} // for which a caller waits
}

func newSeries(c *core) *Series {
	return &Series{
		core: c, known: make(map[invoice.SeriesID]knownSeries), held: make(map[invoice.SeriesID]struct{}), reading: make(chan struct{}, 1), making: make(chan struct{}, 1),
	}
}

// A knownSeries is the settings that a series had at some time. If they don't hold any more, the counter's lock shows it.
type knownSeries struct {
	settings *invoice.Series
	read     time.Time
}

// shutFor is how long a series counts as paused or closed after it was read as such: nobody looks at its counter, which
// would show the contrary.
const shutFor = time.Second

// Origins of settings.
const (
	fromConfiguration = "configuration"
	fromCommand       = "command"
)

// Settings returns the settings of a series as they were at most a moment ago, or [invoice.ErrNoSeries].
func (s *Series) Settings(ctx context.Context, id invoice.SeriesID) (*invoice.Series, error) {
	if known := s.remembered(id); known != nil {
		return known, nil
	}
	if err := take(ctx, s.reading); err != nil {
		return nil, err
	}
	defer func() { <-s.reading }()
	if known := s.remembered(id); known != nil {
		return known, nil // another caller has read them meanwhile
	}
	var rows []report.SeriesVersion
	if err := s.db.WithContext(ctx).Raw(selectSeries+" WHERE issuer = ? AND series = ? ORDER BY version DESC LIMIT 1", id.Issuer, id.Name).Scan(&rows).Error; err != nil {
		return nil, classify(err)
	}
	if len(rows) == 0 {
		return nil, invoice.ErrNoSeries
	}
	return s.learn(settingsOf(&rows[0]))
}

// remembered returns the settings that are known, nil if they have to be read.
func (s *Series) remembered(id invoice.SeriesID) *invoice.Series {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[id]
	if !ok || known.settings.State != invoice.SeriesOpen && time.Since(known.read) >= shutFor {
		return nil
	}
	return known.settings
}

// take takes a permit.
func take(ctx context.Context, permit chan struct{}) error {
	select {
	case permit <- struct{}{}:
		return nil
	case <-ctx.Done():
		return classify(ctx.Err())
	}
}

func (s *Series) learn(settings invoice.Series) (*invoice.Series, error) {
	if err := settings.Resolve(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[settings.ID()]; ok && known.settings.Version > settings.Version {
		return known.settings, nil // another caller has read them since
	}
	s.known[settings.ID()] = knownSeries{&settings, time.Now()}
	return &settings, nil
}

// forget has the settings read again.
func (s *Series) forget(id invoice.SeriesID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// Make stores the first settings of a series and returns them, or returns those that it has already. It returns an
// [*invoice.InvalidError] if the series can't have these settings. If dry, it stores nothing.
func (s *Series) Make(ctx context.Context, first invoice.Series, dry bool) (*invoice.Series, error) {
	if s.isHeld(first.ID()) {
		return nil, &heldError{cause: fmt.Errorf("series %s has no settings yet, and others wait for it", first.ID())}
	}
	made, err := s.make(ctx, first, dry)
	if isCode(err, "55P03") && s.waits(first.ID()) {
		// Somebody holds the series, such as its counter if that is of an earlier release. One caller waits for it; others' series are
		// made meanwhile.
		defer s.waited(first.ID())
		pause := makingPause
		for begun := time.Now(); isCode(err, "55P03") && time.Since(begun) < s.options.LockTimeout; made, err = s.make(ctx, first, dry) {
			select {
			case <-time.After(pause):
				pause = min(2*pause, longestMakingPause)
			case <-ctx.Done():
				return nil, classify(ctx.Err())
			}
		}
	}
	var refused *SeriesError
	switch {
	case errors.As(err, &refused) && refused.otherKind:
		return nil, invoice.OtherKind(first.ID(), first.Kind)
	case errors.As(err, &refused):
		return nil, &invoice.InvalidError{Replayable: true, Problems: []invoice.Problem{{Field: "series", Message: fmt.Sprintf(
			"%s can't be numbered by the configuration's numbering: %s; give it settings of its own by `invoicer series open %s`", first.ID(), refused.Why, first.ID().Args())}}}
	case violates(err, "series_opened"):
		return nil, invoice.NotOpened(first.ID())
	case isCode(err, "55P03"):
		return nil, &heldError{cause: fmt.Errorf("series %s: %w", first.ID(), err)}
	}
	return made, err
}

const (
	// makingWait bounds the wait for a series that somebody holds, since nobody else makes settings meanwhile.
	makingWait = 50 * time.Millisecond
	// makingPause is the time until it is tried again. It doubles, up to longestMakingPause.
	makingPause, longestMakingPause = 100 * time.Millisecond, time.Second
)

// waits reports whether the caller is the one that waits for a held series; waited ends that.
func (s *Series) waits(id invoice.SeriesID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, another := s.held[id]
	s.held[id] = struct{}{}
	return !another
}

func (s *Series) waited(id invoice.SeriesID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
}

// isHeld reports whether a caller waits for a held series.
func (s *Series) isHeld(id invoice.SeriesID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, held := s.held[id]
	return held
}

func (s *Series) make(ctx context.Context, first invoice.Series, dry bool) (*invoice.Series, error) {
	if err := take(ctx, s.making); err != nil {
		return nil, err
	}
	defer func() { <-s.making }()
	if known := s.remembered(first.ID()); known != nil {
		return known, nil // another caller has made them meanwhile
	}
	made, err := s.change(ctx, &SeriesChange{
		Issuer: first.Issuer, Name: first.Name, What: "made at its first use, from the configuration's numbering", By: "worker " + s.options.Worker, origin: fromConfiguration, dry: dry,
		To: func(current *invoice.Series) (invoice.Series, error) {
			if current != nil {
				return *current, errUnchanged
			}
			return first, nil
		},
	})
	if err != nil || dry {
		return &made, err
	}
	return s.learn(made)
}

// A SeriesChange is a new version of a series' settings.
type SeriesChange struct {
	Issuer   string // "" for the one without a name
	Name     string
	What, By string // what is done, which To may still set, and who does it
	Note     string // why; "" if nobody says
	// To returns the new settings. current is nil for a series that has none. An error of To is returned as it is. The state in
	// which a series is opened is invoice.SeriesOpen.
	To func(current *invoice.Series) (invoice.Series, error)

	origin    string
	dry       bool
	lost      bool // it is to say that the series may have lost numbers
	recovered bool // it may resume a series that may have lost numbers
}

// A SeriesError says why a series can't have some settings.
type SeriesError struct {
	Series string
	Why    string

	otherKind bool
}

func (e *SeriesError) Error() string { return "series " + e.Series + ": " + e.Why }

// errUnchanged is returned by a change that has nothing to do.
var errUnchanged = errors.New("unchanged")

// Change stores what the change makes of a series, and returns it. All changes of an installation happen one after the other.
// The new settings hold for all numbers that are given out after Change has returned. It returns a [*SeriesError] or an
// [*invoice.NumberingError] if the series can't have them.
func (s *Series) Change(ctx context.Context, c *SeriesChange) (invoice.Series, error) {
	c.origin = fromCommand
	changed, err := s.change(ctx, c)
	if err == nil {
		s.forget(invoice.SeriesID{Issuer: c.Issuer, Name: c.Name})
	}
	return changed, err
}

func (s *Series) change(ctx context.Context, c *SeriesChange) (changed invoice.Series, err error) {
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if !c.dry {
			if err := lockChanges(tx); err != nil {
				return err
			}
		}
		var all []report.SeriesVersion
		if err := tx.Raw(selectSeries+" WHERE issuer = ? ORDER BY series, version", c.Issuer).Scan(&all).Error; err != nil {
			return err
		}
		var current *invoice.Series
		lost := false // numbers, by the pause that holds
		for i := range all {
			if all[i].Series == c.Name {
				settings := settingsOf(&all[i])
				current = &settings // the last one is the newest
				lost = settings.State == invoice.SeriesPaused && (lost || all[i].Change == LostNumbers)
			}
		}
		if c.lost && lost {
			return errUnchanged
		}
		if changed, err = c.To(current); err != nil {
			return err
		}
		changed.Issuer, changed.Name, changed.Version = c.Issuer, c.Name, 1
		if current != nil {
			changed.Version = current.Version + 1
		}
		if lost && changed.State == invoice.SeriesOpen && !c.recovered {
			return &SeriesError{Series: changed.ID().String(), Why: "it is " + LostNumbers + ": `invoicer series recover " + changed.ID().Args() + "` finds out which, keeps them for their transactions, and resumes it"}
		}
		if err := changed.Check(); err != nil {
			return err
		}
		if err := collision(&changed, all); err != nil {
			return err
		}
		if err := s.fits(tx, &changed, current); err != nil || c.dry {
			return err
		}
		if c.origin == fromConfiguration {
			if err := tx.Exec("SELECT set_config('lock_timeout', ?, true)", milliseconds(makingWait)).Error; err != nil {
				return err
			}
		}
		return tx.Exec(`INSERT INTO invoicer.series (issuer, series, version, kind, format, from_period, from_number, period, first_month, timezone, date, first_number, first_period, state, profile, origin, change, actor, note)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, changed.Issuer, changed.Name, changed.Version, changed.Kind, changed.Format, changed.FromPeriod, changed.FromNumber, changed.Period, changed.FirstMonth,
			changed.Timezone, changed.Date, changed.FirstNumber, changed.FirstPeriod, changed.State, changed.Profile, c.origin, c.What, storable(c.By), nullable(storable(c.Note))).Error
	})
	switch {
	case errors.Is(err, errUnchanged):
		return changed, nil
	case violates(err, "invoice_series_one_kind"):
		return changed, &SeriesError{Series: invoice.SeriesID{Issuer: c.Issuer, Name: c.Name}.String(), Why: "it holds the other kind of document", otherKind: true}
	case isCode(err, "23000") && !violates(err, "series_opened"):
		return changed, &SeriesError{Series: invoice.SeriesID{Issuer: c.Issuer, Name: c.Name}.String(), Why: message(err)}
	}
	return changed, classify(err)
}

// collision returns a [*SeriesError] if another series, or another version of this one, could print the same number.
func collision(s *invoice.Series, all []report.SeriesVersion) error {
	for i := range all {
		other := settingsOf(&all[i])
		if printed, ok := s.Collision(&other); ok {
			which := "series " + other.Name
			if other.Name == s.Name {
				which = fmt.Sprintf("version %d of its own settings", other.Version)
			}
			return &SeriesError{Series: s.ID().String(), Why: fmt.Sprintf("format %s could print %s, which %s could print too, by %s: choose a format that tells them apart", s.Format, printed, which, other.Format)}
		}
	}
	return nil
}

// fits checks the settings against the numbers that are given out already.
func (s *Series) fits(tx *gorm.DB, settings, current *invoice.Series) error {
	var counters []struct {
		Period, Kind string
		LastNumber   int64
		Printed      *string
	}
	err := tx.Raw(`SELECT period, counter.kind, last_number, invoice_number AS printed FROM invoicer.invoice_series counter
LEFT JOIN LATERAL (SELECT invoice_number FROM invoicer.invoices WHERE issuer = counter.issuer AND series = counter.series AND period = counter.period AND number = counter.last_number) last ON true
WHERE counter.issuer = ? AND counter.series = ? ORDER BY period`, settings.Issuer, settings.Name).Scan(&counters).Error
	if err != nil {
		return err
	}
	for _, c := range counters {
		if c.Kind != string(settings.Kind) {
			return &SeriesError{Series: settings.ID().String(), Why: "it holds documents of kind " + c.Kind, otherKind: true}
		}
		if from := settings.FromNumber; from > 0 && from <= c.LastNumber && (current == nil || current.FromNumber != from) {
			return &SeriesError{Series: settings.ID().String(), Why: fmt.Sprintf("number %d is given out already; the next one is %d", from, c.LastNumber+1)}
		}
		if current != nil || c.Printed == nil {
			continue
		}
		if printed := settings.Print(c.Period, c.LastNumber); printed != *c.Printed {
			return &SeriesError{Series: settings.ID().String(), Why: fmt.Sprintf("its number %d is printed %s, and format %s would print %s", c.LastNumber, *c.Printed, settings.Format, printed)}
		}
	}
	return nil
}

const selectSeries = `SELECT issuer, series, version, kind, format, from_period, from_number, period, first_month, timezone, date, first_number, first_period, state, profile, origin, change, changed_at, actor, role, note
FROM invoicer.series`

func settingsOf(v *report.SeriesVersion) invoice.Series {
	return invoice.Series{
		Issuer: v.Issuer, Name: v.Series, Version: v.Version, Kind: invoice.Kind(v.Kind), Format: v.Format, FromPeriod: v.FromPeriod, FromNumber: v.FromNumber, Period: v.Period, FirstMonth: v.FirstMonth,
		Timezone: v.Timezone, Date: invoice.DateRule(v.Date), FirstNumber: v.FirstNumber, FirstPeriod: v.FirstPeriod, State: invoice.SeriesState(v.State), Profile: v.Profile,
	}
}

// History returns all versions of the settings of a series, the first one first.
func (s *Series) History(ctx context.Context, id invoice.SeriesID) ([]report.SeriesVersion, error) {
	versions := []report.SeriesVersion{}
	err := s.db.WithContext(ctx).Raw(selectSeries+" WHERE issuer = ? AND series = ? ORDER BY version", id.Issuer, id.Name).Scan(&versions).Error
	return versions, classify(err)
}

// Configured returns the newest settings of each series that has them from a configuration: nobody has set them by a command.
func (s *Series) Configured(ctx context.Context) ([]report.SeriesVersion, error) {
	var newest []report.SeriesVersion
	err := s.db.WithContext(ctx).Raw(`SELECT * FROM (SELECT DISTINCT ON (issuer, series) * FROM invoicer.series ORDER BY issuer, series, version DESC) newest
WHERE NOT EXISTS (SELECT FROM invoicer.series earlier WHERE earlier.issuer = newest.issuer AND earlier.series = newest.series AND origin = ?)`, fromCommand).Scan(&newest).Error
	return newest, classify(err)
}

// Unsettled returns the names and kinds of series that have counters and no settings: those of the release before.
func (s *Series) Unsettled(ctx context.Context) (kinds map[invoice.SeriesID]invoice.Kind, err error) {
	var rows []struct{ Issuer, Series, Kind string }
	err = s.db.WithContext(ctx).Raw("SELECT DISTINCT issuer, series, kind FROM invoicer.invoice_series WHERE settings = 0").Scan(&rows).Error
	kinds = make(map[invoice.SeriesID]invoice.Kind, len(rows))
	for _, r := range rows {
		kinds[invoice.SeriesID{Issuer: r.Issuer, Name: r.Series}] = invoice.Kind(r.Kind)
	}
	return kinds, classify(err)
}

// Series implements [invoice.SeriesBook]: see [Series.Settings].
func (s *Invoices) Series(ctx context.Context, id invoice.SeriesID) (*invoice.Series, error) {
	return s.series.Settings(ctx, id)
}

// MakeSeries implements [invoice.SeriesBook]: see [Series.Make].
func (s *Invoices) MakeSeries(ctx context.Context, first invoice.Series, dry bool) (*invoice.Series, error) {
	if err := s.server.misses(first.ID()); err != nil {
		return nil, err
	}
	return s.series.Make(ctx, first, dry)
}
