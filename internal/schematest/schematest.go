// Package schematest gives every test a schema of its own with all migrations applied.
package schematest

import (
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/migrations"
)

// New returns the URL of the tests' database and the name of a fresh, migrated schema, which goes with the test.
func New(t testing.TB) (url, schema string) {
	t.Helper()
	url, schema = sandboxtest.Schema(t)
	migrate(t, url, schema)
	return url, schema
}

// On migrates a schema on a server of the test's own.
func On(t testing.TB, server string) (url, schema string) {
	t.Helper()
	migrate(t, server, "invoicer")
	return server, "invoicer"
}

func migrate(t testing.TB, url, schema string) {
	t.Helper()
	migrator, err := migrations.New(url, schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(t.Context()); err != nil {
		t.Fatalf("migrate schema %s: %v", schema, err)
	}
}
