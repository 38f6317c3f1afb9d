package rig

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/migrations"
)

// A Database is a schema of a test's own, with a door that leads past the store.
type Database struct {
	URL, Schema string
	DB          *sql.DB // its tables need no schema before their names
}

// NewDatabase makes a schema with all migrations in the database that tests share. It goes with the test.
func NewDatabase(t testing.TB) *Database {
	t.Helper()
	url, schema := sandboxtest.Schema(t)
	return migrated(t, url, schema)
}

// NewMigratedDatabase is as [NewDatabase], made by the migrations themselves: in a copy of their result, Postgres prints some definitions
// in other words.
func NewMigratedDatabase(t testing.TB) *Database {
	t.Helper()
	url, schema := sandboxtest.Schema(t)
	if err := migrate(t.Context(), url, schema); err != nil {
		t.Fatalf("migrate schema %s: %v", schema, err)
	}
	return OpenDatabase(t, url, schema)
}

// OpenIssuers opens issuers, after which two may have the same ids and numbers.
func (d *Database) OpenIssuers(t testing.TB, codes ...string) {
	t.Helper()
	migrator, err := migrations.New(d.URL, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrator.SeparateIssuers(t.Context(), func(string) {}); err != nil {
		t.Fatalf("separate the issuers of schema %s: %v", d.Schema, err)
	}
	for _, code := range codes {
		d.Exec(t, "INSERT INTO issuers (issuer) VALUES ($1)", code)
	}
}

// KnowQueue makes queues known, as if a producer had named them.
func (d *Database) KnowQueue(t testing.TB, queues ...string) {
	t.Helper()
	for _, queue := range queues {
		d.Exec(t, "INSERT INTO producer_queues (queue, job_id) VALUES ($1, 'of a test')", queue)
	}
}

// DatabaseOn is as [NewDatabase], on a server of the test's own.
func DatabaseOn(t testing.TB, url string) *Database {
	t.Helper()
	return migrated(t, url, "invoicer")
}

func migrated(t testing.TB, url, schema string) *Database {
	t.Helper()
	if err := migratedImage.make(t.Context(), url, schema); err != nil {
		t.Fatalf("migrate schema %s: %v", schema, err)
	}
	return OpenDatabase(t, url, schema)
}

// OpenDatabase takes a schema as it is. It connects at first use.
func OpenDatabase(t testing.TB, url, schema string) *Database {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	d := &Database{URL: url, Schema: schema, DB: stdlib.OpenDB(*config)}
	t.Cleanup(func() { d.DB.Close() }) // its server may be gone
	return d
}

// Count runs a query of one number.
func (d *Database) Count(t testing.TB, query string, args ...any) int {
	t.Helper()
	return ask[int](t, d, query, args)
}

// Text runs a query of one text.
func (d *Database) Text(t testing.TB, query string, args ...any) string {
	t.Helper()
	return ask[string](t, d, query, args)
}

// Is runs a query of yes or no.
func (d *Database) Is(t testing.TB, query string, args ...any) bool {
	t.Helper()
	return ask[bool](t, d, query, args)
}

// ask works also where a test cleans up, when its context has ended.
func ask[T any](t testing.TB, d *Database, query string, args []any) (answer T) {
	t.Helper()
	if err := d.DB.QueryRowContext(context.WithoutCancel(t.Context()), query, args...).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// Exec runs a statement.
func (d *Database) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := d.DB.ExecContext(context.WithoutCancel(t.Context()), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Named is the URL for sessions that are found in pg_stat_activity, by the schema as their application's name.
func (d *Database) Named(t testing.TB) string {
	t.Helper()
	return With(t, d.URL, "application_name", d.Schema)
}

// AwaitBlocked returns once a session of [Database.Named] waits for another one's transaction.
func (d *Database) AwaitBlocked(t testing.TB) {
	t.Helper()
	Eventually(t, "a session that waits for a lock", func() bool {
		return d.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", d.Schema) > 0
	})
}

// With sets a parameter of a URL.
func With(t testing.TB, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // as Postgres reads it
	return u.String()
}
