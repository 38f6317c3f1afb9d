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
	migrator, err := migrations.New(url, schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(t.Context()); err != nil {
		t.Fatalf("migrate schema %s: %v", schema, err)
	}
	return url, schema
}
