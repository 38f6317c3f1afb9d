package postgres

import (
	"context"
	"strings"

	"invoicer/invoice"
)

// An UnsafeSetting is a setting with which the server may lose what it has committed.
type UnsafeSetting struct {
	Name  string // as the server spells it
	Value string
	// What says in a few words what may be lost, and when.
	What string
	// Remedy says what to set.
	Remedy string
}

// String returns the setting as in: fsync off.
func (u UnsafeSetting) String() string { return u.Name + " " + u.Value }

// An UnsafeError refuses a server that may lose what it has committed.
type UnsafeError struct{ Settings []UnsafeSetting }

func (e *UnsafeError) Error() string {
	var names, remedies []string
	for _, s := range e.Settings {
		names, remedies = append(names, s.Name+" is "+s.Value), append(remedies, s.Remedy)
	}
	return "it may lose what it has committed, as " + strings.Join(names, ", and ") + ": " + strings.Join(remedies, "; ") +
		". Or set allow_unsafe to true, where the invoices may get lost"
}

// Is reports that a job that meets it is kept.
func (e *UnsafeError) Is(target error) bool { return target == invoice.ErrUnavailable }

// durability selects the settings that decide what the server may lose, for [unsafe].
const durability = "SELECT pg_catalog.current_setting('fsync'), pg_catalog.current_setting('full_page_writes'), pg_catalog.current_setting('synchronous_commit'), " +
	"pg_catalog.current_setting('synchronous_standby_names')"

// Unsafe returns the settings with which the server may lose what it has committed, as a worker's session has them: a database, a role
// or the URL may set synchronous_commit. Behind a pooler it is one of the sessions that workers get.
func (s *DB) Unsafe(ctx context.Context) ([]UnsafeSetting, error) {
	var fsync, pages, commit, standbys string
	if err := s.sql.QueryRowContext(ctx, durability).Scan(&fsync, &pages, &commit, &standbys); err != nil {
		return nil, classify(err)
	}
	return unsafe(fsync, pages, commit, standbys), nil
}

// RefuseUnsafe has each connection that is opened from now on refused with an [*UnsafeError] if its server may lose what it commits: after
// a failover that may be another one than before. Where a pooler is in between, numbers wait for the same.
func (s *DB) RefuseUnsafe() { s.opener.refusesUnsafe.Store(true) }

func unsafe(fsync, pages, commit, standbys string) []UnsafeSetting {
	var unsafe []UnsafeSetting
	if fsync != "on" {
		unsafe = append(unsafe, UnsafeSetting{
			Name: "fsync", Value: fsync, What: "a power failure, or a crash of the system, destroys what was committed",
			Remedy: "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();",
		})
	}
	if pages != "on" {
		unsafe = append(unsafe, UnsafeSetting{
			Name: "full_page_writes", Value: pages, What: "a power failure in the middle of a write to the disk destroys what was committed",
			Remedy: "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();",
		})
	}
	const set = "set synchronous_commit to on for the server, the database and the role (SELECT * FROM pg_db_role_setting shows the latter two)"
	switch {
	case commit == "off":
		unsafe = append(unsafe, UnsafeSetting{
			Name: "synchronous_commit", Value: commit, What: "a crash of the server loses the transactions that it has confirmed last", Remedy: set,
		})
	case commit == "local" && standbys != "":
		unsafe = append(unsafe, UnsafeSetting{
			Name: "synchronous_commit", Value: commit, What: "no commit waits for the standbys of synchronous_standby_names: a failover loses what they haven't got yet",
			Remedy: set,
		})
	}
	return unsafe
}
