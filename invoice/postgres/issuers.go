package postgres

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// Issuers keeps the legal entities that issue invoices. Each change is a row that stays for ever.
type Issuers struct{ *core }

const selectIssuers = `SELECT issuer, version, name, address, postcode, city, region, country, vat_id, tax_id, register, currency, timezone, change, changed_at, actor, role, note
FROM invoicer.issuers`

// List returns up to limit issuers as they are now, in the order of their codes: of the given ones those that were opened, or of all if
// codes is nil.
func (s *Issuers) List(ctx context.Context, codes []string, limit int) ([]report.Issuer, error) {
	issuers := []report.Issuer{}
	err := s.db.WithContext(ctx).Raw(`SELECT * FROM (SELECT DISTINCT ON (issuer) * FROM (`+selectIssuers+`) versions
    WHERE coalesce(issuer = ANY(?::text[]), true) ORDER BY issuer, version DESC) newest
ORDER BY issuer LIMIT ?`, textsOrNull(codes), limit).Scan(&issuers).Error
	return issuers, classify(err)
}

// mostCodes bounds the issuers among which something is looked for that doesn't say whose it is.
const mostCodes = 1000

// Codes returns the codes of the issuers that were opened, the first 1,000 at most, and "" for the one without a name, which comes first.
func (s *Issuers) Codes(ctx context.Context) ([]string, error) {
	codes := []string{""}
	var opened []string
	err := s.db.WithContext(ctx).Raw("SELECT issuer FROM invoicer.issuers WHERE version = 1 ORDER BY issuer LIMIT ?", mostCodes).Scan(&opened).Error
	return append(codes, opened...), classify(err)
}

// History returns all versions of an issuer, the first one first; none if it wasn't opened.
func (s *Issuers) History(ctx context.Context, code string) ([]report.Issuer, error) {
	versions := []report.Issuer{}
	err := s.db.WithContext(ctx).Raw(selectIssuers+" WHERE issuer = ? ORDER BY version", code).Scan(&versions).Error
	return versions, classify(err)
}

// An IssuerChange is a new version of an issuer.
type IssuerChange struct {
	Code     string
	What, By string // what is done, which To may still set, and who does it
	Note     string // why; "" if nobody says
	// To returns the issuer as it is to be. current is nil if it isn't open yet. An error of To is returned as it is.
	To func(current *report.Issuer) (report.Issuer, error)
}

// ErrNotApart says that ids and numbers are still unique over all issuers, so that none can be opened: see migrations.Migrator.SeparateIssuers.
var ErrNotApart = errors.New("no two issuers may have the same ids and numbers yet")

// Change stores what the change makes of an issuer, and returns it. It returns [ErrNotApart] if no issuer can be opened yet.
func (s *Issuers) Change(ctx context.Context, c *IssuerChange) (changed report.Issuer, err error) {
	err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := lockChanges(tx); err != nil {
			return err
		}
		var newest []report.Issuer
		if err := tx.Raw(selectIssuers+" WHERE issuer = ? ORDER BY version DESC LIMIT 1", c.Code).Scan(&newest).Error; err != nil {
			return err
		}
		var current *report.Issuer
		if len(newest) > 0 {
			current = &newest[0]
		}
		if changed, err = c.To(current); err != nil {
			return err
		}
		changed.Issuer, changed.Version = c.Code, 1
		if current != nil {
			changed.Version = current.Version + 1
		}
		return tx.Exec(`INSERT INTO invoicer.issuers (issuer, version, name, address, postcode, city, region, country, vat_id, tax_id, register, currency, timezone, change, actor, note)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, changed.Issuer, changed.Version, changed.Name, changed.Address, changed.Postcode, changed.City, changed.Region,
			changed.Country, changed.VATID, changed.TaxID, changed.Register, changed.Currency, changed.Timezone, c.What, storable(c.By), nullable(storable(c.Note))).Error
	})
	if violates(err, "issuers_apart") {
		return changed, ErrNotApart
	}
	if isCode(err, "23514") {
		return changed, fmt.Errorf("issuer %s: %s", c.Code, message(err))
	}
	return changed, classify(err)
}

// Timezone returns the time zone that an issuer states, "" if it states none, or [invoice.ErrNoIssuer] if it wasn't opened.
func (s *Issuers) Timezone(ctx context.Context, code string) (string, error) {
	if code == "" {
		return "", nil
	}
	var zones []string
	err := s.db.WithContext(ctx).Raw("SELECT coalesce(timezone, '') FROM invoicer.issuers WHERE issuer = ? ORDER BY version DESC LIMIT 1", code).Scan(&zones).Error
	switch {
	case err != nil:
		return "", classify(err)
	case len(zones) == 0:
		return "", invoice.ErrNoIssuer
	}
	return zones[0], nil
}
