package migrations

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// versions is goose's table of the applied versions. It is in the schema that it describes.
const versions = "goose_db_version"

func (m *Migrator) table() string { return pgx.Identifier{m.schema, versions}.Sanitize() }

// provider returns a goose provider for the schema, which works on no other schema, whatever the session's search
// path.
func (m *Migrator) provider(db *sql.DB) (*goose.Provider, error) {
	store, err := database.NewStore(database.DialectPostgres, m.table())
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, db, placed{FS: m.files, schema: m.schema}, goose.WithStore(versionStore{Store: store, m: m}))
}

// A versionStore finds the table of versions even if its name is quoted.
type versionStore struct {
	database.Store
	m *Migrator
}

// TableExists is called by goose before it creates the table.
func (s versionStore) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	return s.m.hasTable(ctx, db)
}

// A rowReader is a [*sql.DB], or goose's view of one.
type rowReader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// hasTable reports whether the schema has its table of versions. For a schema that the role may not use it returns
// Postgres's error, since the table may or may not exist.
func (m *Migrator) hasTable(ctx context.Context, db rowReader) (bool, error) {
	var found bool
	err := db.QueryRowContext(ctx, "SELECT pg_catalog.to_regclass($1) IS NOT NULL", m.table()).Scan(&found)
	return found, err
}

// placed adds a guard to each migration, which sets the search path in the migration's transaction and checks that it
// took effect. A pooler may drop the search path that a session asks for: unqualified names would then be created in
// another schema.
type placed struct {
	fs.FS
	schema string
}

// Open opens a migration with its guards, or the directory.
func (p placed) Open(name string) (fs.File, error) {
	file, err := p.FS.Open(name)
	if err != nil || path.Ext(name) != ".sql" {
		return file, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return &placedFile{Reader: bytes.NewReader(p.place(text, name)), info: info}, nil
}

// place inserts the guard at the beginning of both directions.
func (p placed) place(text []byte, name string) []byte {
	version, _, _ := strings.Cut(name, "_")
	var placed []byte
	for line := range bytes.Lines(text) {
		placed = append(placed, line...)
		switch strings.TrimSpace(string(line)) {
		case "-- +goose Up":
			placed = append(placed, p.guard("EXISTS", version, "has been applied by another process meanwhile")...)
		case "-- +goose Down":
			placed = append(placed, p.guard("NOT EXISTS", version, "has been reverted by another process meanwhile")...)
		}
	}
	return placed
}

// lockWait bounds how long a migration waits for a table that another transaction uses. Every later transaction queues behind that
// wait. After it, the migration is rolled back and tried again after lockPause, so that the queue can proceed.
const (
	lockWait  = "300ms"
	lockPause = time.Second
)

// guard returns the statements with which a migration begins. It refuses to run outside of a transaction, where its
// search path would last for one statement only. If the advisory lock is lost, as when an administrator ends its
// session, the lock on the table keeps two processes from running the same migration.
func (p placed) guard(refused, version, because string) string {
	identifier := pgx.Identifier{p.schema}.Sanitize()
	return fmt.Sprintf(`
SELECT pg_catalog.set_config('search_path', %[1]s, true);
-- +goose StatementBegin
DO $guard$ BEGIN
    IF pg_catalog.current_schema() IS DISTINCT FROM %[2]s THEN
        RAISE EXCEPTION 'refused: this session is in schema %%, and the tables belong into %%', coalesce(quote_ident(pg_catalog.current_schema()), 'none'), quote_ident(%[2]s)
            USING ERRCODE = 'invalid_schema_name';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()) THEN
        RAISE EXCEPTION 'refused: this session of the server''s has temporary tables of another client''s, which hide others of the same name: run it again'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    LOCK TABLE %[3]s IN SHARE ROW EXCLUSIVE MODE;
    IF %[4]s (SELECT FROM %[3]s WHERE version_id = %[5]s AND is_applied) THEN
        RAISE EXCEPTION 'refused: it %[6]s' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $guard$;
-- +goose StatementEnd
SELECT pg_catalog.set_config('lock_timeout', '`+lockWait+`', true);
`, literal(identifier), literal(p.schema), pgx.Identifier{p.schema, versions}.Sanitize(), refused, strings.TrimLeft(version, "0"), because)
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// A placedFile is a migration with its guards.
type placedFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *placedFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *placedFile) Close() error               { return nil }
