package migrations

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
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

// WithLarge takes tables of so many rows for large ones.
func (m *Migrator) WithLarge(rows int) { m.large = rows }

// With has other migrations than the program's.
func (m *Migrator) With(files fs.FS) *Migrator {
	other := *m
	other.files, other.config = files, m.config.Copy()
	return &other
}

// UpWithoutLock is what a process does that has lost its lock.
func (m *Migrator) UpWithoutLock(ctx context.Context) (err error) {
	db := stdlib.OpenDB(*m.config)
	defer db.Close()
	p, err := m.provider(db)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// OnNotice hands on what the server says.
func (m *Migrator) OnNotice(hear func(*pgconn.Notice)) {
	m.config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { hear(n) }
}

// Set has all sessions begin with a setting.
func (m *Migrator) Set(name, value string) { m.config.RuntimeParams[name] = value }
