package invoice

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Settings decide whether and how jobs become invoices: one version of them. They are facts in the database, so that no two
// workers decide differently.
type Settings struct {
	Version int // 1 for the first

	// Strict says that only series that were opened take documents: a worker makes none at its first use.
	Strict bool

	// Earliest and Latest bound issued_at. Earliest is midnight, UTC, of the first day that is allowed. Latest is how far ahead of
	// the database's clock a document may be dated, in whole seconds.
	Earliest time.Time
	Latest   time.Duration

	// MustCredit says that a credit note has to name what it credits.
	MustCredit bool
	// CreditReplaced says that a document has to be credited in full before another one replaces it.
	CreditReplaced bool
	// IgnoreIssuedAt and IgnorePresentation say that a job is a duplicate although it differs from the invoice in issued_at, or in what is
	// only shown, if its idempotency key is the invoice's.
	IgnoreIssuedAt, IgnorePresentation bool
	// RefuseZero says that no document is made of nothing but zeros.
	RefuseZero bool
	// Profile names the rules by which documents are judged before they get a number, such as xrechnung: those of a series come first. ""
	// and [NoProfile] mean none.
	Profile string
}

// ErrSettingsChanged says that a draft was placed by settings, of its series or of its issuer, that don't hold any
// more. Placing it again is safe.
var ErrSettingsChanged = errors.New("the settings have changed")

// ErrNoIssuer says that an issuer wasn't opened.
var ErrNoIssuer = errors.New("the issuer wasn't opened")

// NoIssuer returns the [*InvalidError] of a job that names an issuer which wasn't opened.
func NoIssuer(code string) error {
	return &InvalidError{Replayable: true, Problems: []Problem{{
		Field: "issuer", Message: fmt.Sprintf("%s isn't known here: send another one, or `invoicer issuer open %[1]s`", code),
	}}}
}

// A SettingsBook keeps the settings of the issuers.
type SettingsBook interface {
	// Settings returns the newest settings of an issuer, or [ErrNoIssuer]. They may be outdated by a moment: [Store.Insert] then returns
	// [ErrSettingsChanged].
	Settings(ctx context.Context, issuer string) (*Settings, error)
}

// CheckDate returns an [*InvalidError] if a document of that date can't be made now, which is the database's time.
func (s *Settings) CheckDate(issuedAt, now time.Time) error {
	var message string
	switch {
	case issuedAt.Before(s.Earliest):
		message = fmt.Sprintf("is before %s, the first day that is allowed: correct it, or set dates.earliest by `invoicer settings set`", s.Earliest.Format(time.DateOnly))
	case issuedAt.After(now.Add(s.Latest)):
		message = fmt.Sprintf("is after %s, the latest that is allowed by the database's clock: correct it, or set dates.latest by `invoicer settings set`",
			now.Add(s.Latest).UTC().Format(time.RFC3339))
	default:
		return nil
	}
	return &InvalidError{Replayable: true, Problems: []Problem{{Field: "issued_at", Message: message}}}
}

// NotOpened returns the [*InvalidError] of a document for a series that wasn't opened.
func NotOpened(id SeriesID) error {
	return &InvalidError{Replayable: true, Problems: []Problem{{
		Field: "series", Message: fmt.Sprintf("%s wasn't opened, and the setting strict allows no other series: send another one, or `invoicer series open %s`", id, id.Args()),
	}}}
}

// OtherKind returns the [*InvalidError] of a document of the given kind for a series that holds the other one.
func OtherKind(series SeriesID, kind Kind) error {
	return &InvalidError{Problems: []Problem{{
		Field:   "series",
		Message: fmt.Sprintf("%s holds the other kind of document, and this is of kind %s; a series holds one kind: send another series", series, kind),
	}}}
}
