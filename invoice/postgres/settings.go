package postgres

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// Settings keeps what decides whether and how jobs become invoices. Each change is a row that stays for ever.
type Settings struct {
	*core

	reading chan struct{} // the permit to read: not every job takes a connection for it

	mu    sync.Mutex
	known map[string]knownSettings // by issuer
}

type knownSettings struct {
	settings *invoice.Settings
	read     time.Time
}

func newSettings(c *core) *Settings {
	return &Settings{core: c, known: make(map[string]knownSettings), reading: make(chan struct{}, 1)}
}

// settingsFor is how long settings count as the newest after they were read. What they allow is checked again in the write; what they
// forbid isn't.
const settingsFor = time.Second

// Current returns the settings of an issuer as they were at most a moment ago, or [invoice.ErrNoIssuer].
func (s *Settings) Current(ctx context.Context, issuer string) (*invoice.Settings, error) {
	if known := s.remembered(issuer); known != nil {
		return known, nil
	}
	if err := take(ctx, s.reading); err != nil {
		return nil, err
	}
	defer func() { <-s.reading }()
	if known := s.remembered(issuer); known != nil {
		return known, nil // another caller has read them meanwhile
	}
	newest, err := newestSettings(s.db.WithContext(ctx), issuer)
	if err != nil {
		return nil, classify(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[issuer] = knownSettings{&newest, time.Now()}
	return &newest, nil
}

// remembered returns the settings that are known, nil if they have to be read.
func (s *Settings) remembered(issuer string) *invoice.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known[issuer]
	if time.Since(known.read) >= settingsFor {
		return nil
	}
	return known.settings
}

// forget has the settings read again.
func (s *Settings) forget(issuer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, issuer)
}

const selectSettings = "SELECT issuer, version, strict, dates_earliest::text AS dates_earliest, dates_latest_seconds, credit_notes, zero, replaces, array_to_string(ignore, ',') AS ignore, profile, change, changed_at, actor, role, note FROM invoicer.settings WHERE issuer = ?"

// SettingsIn returns the settings of a version.
func SettingsIn(v *report.SettingsVersion) (invoice.Settings, error) {
	earliest, err := time.Parse(time.DateOnly, v.DatesEarliest)
	return invoice.Settings{
		Version: v.Version, Strict: v.Strict, Earliest: earliest, Latest: time.Duration(v.DatesLatestSeconds) * time.Second,
		MustCredit: v.CreditNotes == "must_credit", RefuseZero: v.Zero == "refuse", CreditReplaced: v.Replaces == "must_credit",
		IgnoreIssuedAt: strings.Contains(v.Ignore, "issued_at"), IgnorePresentation: strings.Contains(v.Ignore, "presentation"),
		Profile: v.Profile,
	}, err
}

var errNoSettings = errors.New("the database has no settings: run `invoicer audit`")

func newestSettings(db *gorm.DB, issuer string) (invoice.Settings, error) {
	var rows []report.SettingsVersion
	if err := db.Raw(selectSettings+" ORDER BY version DESC LIMIT 1", issuer).Scan(&rows).Error; err != nil {
		return invoice.Settings{}, err
	}
	switch {
	case len(rows) == 0 && issuer != "":
		return invoice.Settings{}, invoice.ErrNoIssuer
	case len(rows) == 0:
		return invoice.Settings{}, errNoSettings
	}
	return SettingsIn(&rows[0])
}

// A SettingsChange is a new version of the settings.
type SettingsChange struct {
	Issuer   string // "" for the one without a name
	What, By string // what is done, which To may still set, and who does it
	Note     string // why; "" if nobody says
	// To returns the new settings. An error of To is returned as it is.
	To func(current invoice.Settings) (invoice.Settings, error)
}

// Change stores what the change makes of the settings, and returns it. All changes of an installation happen one after the other.
// The new settings hold for all invoices that are committed after Change has returned.
func (s *Settings) Change(ctx context.Context, c *SettingsChange) (invoice.Settings, error) {
	defer s.forget(c.Issuer)
	for until := time.Now().Add(s.options.LockTimeout); ; {
		changed, err := s.change(ctx, c)
		if !isCode(err, "55P03") || time.Now().After(until) {
			return changed, classify(err)
		}
		select {
		case <-time.After(settingsPause):
		case <-ctx.Done():
			return invoice.Settings{}, classify(ctx.Err())
		}
	}
}

const (
	// settingsWait bounds the wait for those who write invoices. Whoever wants to write one meanwhile waits behind the change.
	settingsWait = 50 * time.Millisecond
	// settingsPause is the time until it is tried again.
	settingsPause = 100 * time.Millisecond
)

func (s *Settings) change(ctx context.Context, c *SettingsChange) (changed invoice.Settings, err error) {
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := lockChanges(tx); err != nil {
			return err
		}
		current, err := newestSettings(tx, c.Issuer)
		if err != nil {
			return err
		}
		if changed, err = c.To(current); err != nil {
			return err
		}
		changed.Version = current.Version + 1
		if err := tx.Exec("SELECT set_config('lock_timeout', ?, true)", milliseconds(settingsWait)).Error; err != nil {
			return err
		}
		creditNotes, zero, replaces := "free", "number", "free"
		if changed.MustCredit {
			creditNotes = "must_credit"
		}
		if changed.RefuseZero {
			zero = "refuse"
		}
		if changed.CreditReplaced {
			replaces = "must_credit"
		}
		var ignore array
		for field, ignored := range map[string]bool{"issued_at": changed.IgnoreIssuedAt, "presentation": changed.IgnorePresentation} {
			if ignored {
				ignore.text(field)
			}
		}
		return tx.Exec(`INSERT INTO invoicer.settings (issuer, version, strict, dates_earliest, dates_latest_seconds, credit_notes, zero, replaces, ignore, profile, change, actor, note)
VALUES (?, ?, ?, ?::date, ?, ?, ?, ?, ?::text[], ?, ?, ?, ?)`, c.Issuer, changed.Version, changed.Strict, changed.Earliest.Format(time.DateOnly), int64(changed.Latest/time.Second),
			creditNotes, zero, replaces, &ignore, cmp.Or(changed.Profile, invoice.NoProfile), c.What, storable(c.By), nullable(storable(c.Note))).Error
	})
	return changed, err
}

// lockChanges has changes of series and of settings happen one after the other, until the transaction ends.
func lockChanges(tx *gorm.DB) error {
	return tx.Exec("SELECT pg_advisory_xact_lock(hashtextextended('invoicer.series', 0))").Error
}

// History returns all versions of the settings of an issuer, the first one first.
func (s *Settings) History(ctx context.Context, issuer string) ([]report.SettingsVersion, error) {
	versions := []report.SettingsVersion{}
	err := s.db.WithContext(ctx).Raw(selectSettings+" ORDER BY version", issuer).Scan(&versions).Error
	return versions, classify(err)
}

// Settings implements [invoice.SettingsBook]: see [Settings.Current].
func (s *Invoices) Settings(ctx context.Context, issuer string) (*invoice.Settings, error) {
	return s.settings.Current(ctx, issuer)
}
