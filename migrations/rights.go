package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const insufficientPrivilege = "42501"

// CheckAccept is [Migrator.Check] for a program that only accepts jobs. Its role needs no more than USAGE on the
// schema and EXECUTE on its function accept. If the role may not read the table of versions, it is enough that the
// function exists.
func (m *Migrator) CheckAccept(ctx context.Context) error {
	err := m.Check(ctx)
	if !forbidden(err) {
		return err
	}
	db := m.open(ctx)
	defer db.Close()
	var allowed sql.NullBool
	asked := db.QueryRowContext(ctx, `
SELECT bool_or(has_schema_privilege(pronamespace, 'USAGE') AND has_function_privilege(pg_proc.oid, 'EXECUTE'))
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE nspname = $1 AND proname = 'accept'`, m.schema).Scan(&allowed)
	switch {
	case asked != nil:
		return asked
	case allowed.Valid && allowed.Bool:
		return nil
	case allowed.Valid:
		return err
	}
	return &MissingError{Schema: m.schema, Needed: acceptVersion}
}

// acceptVersion is the migration that adds the function accept.
const acceptVersion = 3

func forbidden(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == insufficientPrivilege
}

// createSchema creates the schema only if it doesn't exist: CREATE SCHEMA IF NOT EXISTS requires the right to create
// schemas even if it does.
func createSchema(ctx context.Context, db *sql.DB, schema string) error {
	var found bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&found)
	if err != nil || found {
		return err
	}
	_, err = db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	if forbidden(err) {
		return fmt.Errorf("schema %q cannot be created by this role: grant CREATE on the database, or create it as its owner: %w", schema, err)
	}
	return err
}

// refusalCode is the SQLSTATE of refusals by this project's SQL.
const refusalCode = "23000"

// A refusal is an error raised by a migration. Its message needs no code.
type refusal struct{ *pgconn.PgError }

func (e *refusal) Error() string { return e.Message }
func (e *refusal) Unwrap() error { return e.PgError }
