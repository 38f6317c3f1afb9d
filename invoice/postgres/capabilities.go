package postgres

import (
	"context"

	"gorm.io/gorm"
)

// identifiersCapability is the name under which it is on record that jobs of version 1 are taken which the release before refuses.
const identifiersCapability = "identifiers"

// TakesIdentifiers reports whether it is on record that no worker lives which refuses what this release takes in jobs of version 1: see
// [invoice.Read].
func (s *Ledger) TakesIdentifiers(ctx context.Context) (bool, error) {
	var known bool
	err := s.sql.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM invoicer.capabilities WHERE name = $1)", identifiersCapability).Scan(&known)
	return known, classify(err)
}

// TakeIdentifiers puts on record that no such worker lives. It stays on record for ever.
func (s *Ledger) TakeIdentifiers(ctx context.Context) error {
	return classify(s.autocommit(ctx, func(tx *gorm.DB) error {
		return tx.Exec("INSERT INTO invoicer.capabilities (name) VALUES (?) ON CONFLICT DO NOTHING", identifiersCapability).Error
	}))
}
