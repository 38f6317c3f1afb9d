package migrations

import (
	"context"

	"github.com/pressly/goose/v3"
)

// LockID lets tests hold what a migrating process holds.
func (m *Migrator) LockID() int64 { return m.lockID() }

// UpTo stops at a version, as a program of that release does.
func (m *Migrator) UpTo(ctx context.Context, version int64) error {
	return m.exclusively(ctx, true, func(p *goose.Provider) error {
		_, err := p.UpTo(ctx, version)
		return err
	})
}
