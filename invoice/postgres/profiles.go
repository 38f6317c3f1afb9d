package postgres

import (
	"context"
	"database/sql"
	"errors"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

// Lacks implements [invoice.Judge].
func (s *Invoices) Lacks(ctx context.Context, j *invoice.Job, profile string) ([]invoice.Lack, *invoice.KnownIssuer, error) {
	by, err := document.ParseProfile(profile)
	if err != nil {
		return nil, nil, err
	}
	var facts document.Facts
	var known *invoice.KnownIssuer
	if j.Issuer != "" && (j.Terms == nil || j.Terms.Seller == nil) {
		known = &invoice.KnownIssuer{}
		if facts.Seller, known.Version, err = s.seller(ctx, j.Issuer, newest); err != nil {
			return nil, nil, err
		}
	}
	lacks, err := document.Judge(j, facts, by)
	return lacks, known, err
}

// newest stands for the newest version.
const newest = 0

// seller returns what is known of an issuer by a version, and which version that is.
func (s *core) seller(ctx context.Context, issuer string, version int) (*document.Party, int, error) {
	seller, address := document.Party{}, document.Address{}
	err := s.sql.QueryRowContext(ctx, `SELECT version, coalesce(name, ''), coalesce(address, ''), coalesce(postcode, ''), coalesce(city, ''), coalesce(region, ''), coalesce(country, ''),
    coalesce(vat_id, ''), coalesce(tax_id, ''), coalesce(register, '') FROM invoicer.issuers WHERE issuer = $1 AND ($2 = 0 OR version = $2) ORDER BY version DESC LIMIT 1`, issuer, version).Scan(
		&version, &seller.Name, &address.Line1, &address.Postcode, &address.City, &address.Region, &address.Country, &seller.VATID, &seller.TaxID, &seller.LegalID)
	if err != nil {
		return nil, 0, classify(err)
	}
	address.Split()
	if address != (document.Address{}) {
		seller.Address = &address
	}
	return &seller, version, nil
}

// judgedBy returns the profile by which an invoice was judged before it was made: that of the versions of its series and settings under
// which it was made.
func (s *core) judgedBy(ctx context.Context, invoiceID int64) (profile document.Profile, err error) {
	err = s.sql.QueryRowContext(ctx, `SELECT coalesce(
    nullif((SELECT profile FROM invoicer.series s WHERE s.issuer = i.issuer AND s.series = i.series AND s.version = i.series_version), ''),
    (SELECT profile FROM invoicer.settings s WHERE s.issuer = i.issuer AND s.version = i.settings_version), 'none') FROM invoicer.invoices i WHERE id = $1`, invoiceID).Scan(&profile)
	if errors.Is(err, sql.ErrNoRows) {
		return document.None, nil
	}
	return profile, classify(err)
}
