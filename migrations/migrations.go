// Package migrations holds the database's schema as append-only SQL and applies it.
//
// A migration only adds; what it replaces is removed a release later. So workers of two releases can run side by side
// on the newer schema: [Migrator.Check] accepts any schema that is at least as new as the code.
//
// The lock that lets one process migrate at a time is this package's own. goose's session lock stays behind in a pooler's
// session. goose's table lock is a lease: a process that dies blocks the others until the lease is over, a process that
// stalls for longer continues beside its successor, and the lock's table must lie outside the schema, which is only created
// under the lock.
package migrations

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"invoicer/internal/primary"
)

//go:embed *.sql
var files embed.FS

// A Migration is one step of the schema.
type Migration struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`       // "" if only a newer program knows the migration
	AppliedAt *time.Time `json:"applied_at"` // nil while pending
}

// A MissingError says that the schema is older than the code.
type MissingError struct {
	Schema          string
	Current, Needed int64 // Current: the newest version up to which no migration is missing
}

func (e *MissingError) Error() string {
	if e.Current == 0 {
		return fmt.Sprintf("schema %q is not migrated (it needs version %d): run `invoicer migrate up`", e.Schema, e.Needed)
	}
	return fmt.Sprintf("schema %q is at version %d, this program needs %d: run `invoicer migrate up`", e.Schema, e.Current, e.Needed)
}

// A NewerError says that the schema has a migration that this program doesn't know and so can't revert.
type NewerError struct {
	Schema  string
	Version int64
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("schema %q is at version %d, which this program doesn't know: take it back with the invoicer that applied it",
		e.Schema, e.Version)
}

// A Migrator applies the migrations to one schema of one database.
type Migrator struct {
	// Waits, if set, is called with the name of a migration that is tried again because other transactions use its tables. A migration
	// waits 0.3 s for a table and then gives way, so that it doesn't block writers for longer.
	Waits func(name string)

	config *pgx.ConnConfig
	chosen *sync.Once // of several hosts, the one that counts
	schema string
	files  fs.FS
	large  int // see largeTable
}

// New returns a Migrator without opening a connection. The URL is a connection string that pgx accepts.
func New(url, schema string) (*Migrator, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	delete(config.RuntimeParams, "search_path")
	// A pooler may give each transaction another of the server's sessions, so no prepared statement may outlive a
	// transaction.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	return &Migrator{config: config, chosen: new(sync.Once), schema: schema, files: files, large: largeTable}, nil
}

// open returns connections to the primary that was promoted last, where the URL has several hosts.
func (m *Migrator) open(ctx context.Context) *sql.DB {
	m.chosen.Do(func() { primary.Choose(ctx, &m.config.Config) })
	return stdlib.OpenDB(*m.config)
}

// Up creates the schema if it is missing, and applies every pending migration. Any number of processes may call it at
// once: one works, the others wait for it. Up returns the migrations that it has applied, even if it also returns an
// error: those stay applied.
func (m *Migrator) Up(ctx context.Context) ([]Migration, error) {
	var applied []Migration
	err := m.exclusively(ctx, true, func(p *goose.Provider) error {
		for {
			results, err := m.upAhead(ctx, p)
			if err == nil {
				var last []*goose.MigrationResult
				last, err = p.Up(ctx)
				results = append(results, last...)
			}
			partial := new(goose.PartialError)
			if errors.As(err, &partial) {
				results = append(results, partial.Applied...)
			}
			for _, r := range results {
				applied = append(applied, Migration{Version: r.Source.Version, Name: name(r.Source)})
			}
			if partial.Err == nil {
				if err == nil {
					err = m.adopt(ctx)
				}
				return err
			}
			if again, err := m.lockedOut(ctx, partial); !again {
				return err
			}
		}
	})
	return applied, err
}

// lockedOut reports whether a migration failed because somebody has used a table for too long, and can be tried again, after a pause.
// Else it returns the migration's error.
func (m *Migrator) lockedOut(ctx context.Context, partial *goose.PartialError) (bool, error) {
	if pg := new(pgconn.PgError); !errors.As(partial.Err, &pg) || pg.Code != "55P03" {
		return false, failed(partial)
	}
	if m.Waits != nil {
		m.Waits(name(partial.Failed.Source))
	}
	select {
	case <-time.After(lockPause):
		return true, nil
	case <-ctx.Done():
		return false, errors.Join(ctx.Err(), failed(partial))
	}
}

// Down reverts the newest migration and returns it, or nil if there is none. The database refuses if that would
// delete invoices or recorded jobs. Down returns a [*NewerError] if only a newer program can revert the migration.
func (m *Migrator) Down(ctx context.Context) (*Migration, error) {
	var undone *Migration
	err := m.exclusively(ctx, false, func(p *goose.Provider) error {
		result, err := p.Down(ctx)
		partial := new(goose.PartialError)
		for again := true; errors.As(err, &partial) && again; {
			if again, _ = m.lockedOut(ctx, partial); again {
				partial = new(goose.PartialError)
				result, err = p.Down(ctx)
			}
		}
		switch {
		case errors.Is(err, goose.ErrNoNextVersion):
			return nil
		case errors.Is(err, goose.ErrVersionNotFound):
			version, err := p.GetDBVersion(ctx)
			if err != nil {
				return err
			}
			return &NewerError{Schema: m.schema, Version: version}
		case errors.As(err, &partial):
			return failed(partial)
		case err != nil:
			return err
		}
		undone = &Migration{Version: result.Source.Version, Name: name(result.Source)}
		return nil
	})
	return undone, err
}

// Status returns every migration that this program knows or the schema has, the oldest first.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	var list []Migration
	db := m.open(ctx)
	defer db.Close()
	ready, err := m.hasTable(ctx, db)
	if err != nil {
		return nil, err
	}
	applied := map[int64]time.Time{}
	if ready {
		rows, err := db.QueryContext(ctx, "SELECT version_id, max(tstamp) FROM "+m.table()+" WHERE is_applied GROUP BY version_id") //nolint:gosec // a quoted name
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var version int64
			var at time.Time
			if err := rows.Scan(&version, &at); err != nil {
				return nil, err
			}
			applied[version] = at
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	p, err := m.provider(db)
	if err != nil {
		return nil, err
	}
	for _, s := range p.ListSources() {
		one := Migration{Version: s.Version, Name: name(s)}
		if at, ok := applied[s.Version]; ok {
			one.AppliedAt = &at
			delete(applied, s.Version)
		}
		list = append(list, one)
	}
	delete(applied, 0) // goose's entry for an empty schema
	for version, at := range applied {
		list = append(list, Migration{Version: version, AppliedAt: &at})
	}
	slices.SortFunc(list, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	return list, nil
}

// Check returns nil if the schema is at least as new as this program, else a [*MissingError].
func (m *Migrator) Check(ctx context.Context) error {
	list, err := m.Status(ctx)
	if err != nil {
		return err
	}
	var current, needed int64
	missing := false
	for _, one := range list {
		if one.Name == "" {
			continue
		}
		needed = one.Version
		if one.AppliedAt == nil {
			missing = true
		} else if !missing {
			current = one.Version
		}
	}
	if missing {
		return &MissingError{Schema: m.schema, Current: current, Needed: needed}
	}
	return nil
}

// exclusively runs f while no other process migrates this schema. The lock belongs to a transaction that stays open
// all the time, since a pooler may change the session between two transactions. If the process dies, the lock is
// freed.
func (m *Migrator) exclusively(ctx context.Context, create bool, f func(*goose.Provider) error) (err error) {
	db := m.open(ctx)
	defer func() { err = errors.Join(err, db.Close()) }()
	guard, err := m.lock(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ended(guard.Rollback())) }()
	if create {
		if err := createSchema(ctx, db, m.schema); err != nil {
			return err
		}
	}
	if ready, err := m.hasTable(ctx, db); err != nil || !ready && !create {
		return err
	}
	p, err := m.provider(db)
	if err != nil {
		return err
	}
	return f(p)
}

// ended returns the error of a transaction's end, or nil if its context had ended the transaction before.
func ended(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// lock returns a transaction that holds the lock until its end. It polls: a wait inside pg_advisory_xact_lock would
// keep a snapshot open, for which another process's CREATE INDEX CONCURRENTLY would wait in turn, a deadlock that
// Postgres doesn't detect. Between two tries it has no transaction, and so occupies no session of a pooler.
func (m *Migrator) lock(ctx context.Context, db *sql.DB) (*sql.Tx, error) {
	for {
		guard, err := m.tryLock(ctx, db)
		if err != nil || guard != nil {
			return guard, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryLock returns nil if another process holds the lock.
func (m *Migrator) tryLock(ctx context.Context, db *sql.DB) (*sql.Tx, error) {
	guard, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}) // no snapshot is kept between statements
	if err != nil {
		return nil, err
	}
	var mine bool
	err = guard.QueryRowContext(ctx, "SELECT pg_catalog.pg_try_advisory_xact_lock($1)", m.lockID()).Scan(&mine)
	if err == nil && mine {
		// The transaction is idle while migrations run, however long they take. Only newer servers know all of these
		// settings.
		_, err = guard.ExecContext(ctx, `SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')`)
		if err == nil {
			return guard, nil
		}
	}
	return nil, errors.Join(err, ended(guard.Rollback()))
}

func (m *Migrator) lockID() int64 {
	h := fnv.New64a()
	h.Write([]byte("invoicer/migrate/" + m.schema))
	return int64(h.Sum64())
}

// failed returns an error with the migration's name and the database's message, without the statement's text.
func failed(e *goose.PartialError) error {
	cause := e.Err
	if pg := new(pgconn.PgError); errors.As(e.Err, &pg) {
		cause = pg
		if pg.Code == refusalCode {
			cause = &refusal{pg}
		}
	}
	return fmt.Errorf("migration %s: %w", name(e.Failed.Source), cause)
}

func name(s *goose.Source) string { return s.Path }
