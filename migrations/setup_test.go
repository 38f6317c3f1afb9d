package migrations_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/migrations"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

// names are this program's migrations, known are their versions, and newest is the one that it needs.
var (
	names  = migrationNames()
	known  = versionsOf(names)
	newest = known[len(known)-1]
)

func migrationNames() []string {
	files, err := filepath.Glob("[0-9]*_*.sql")
	if err != nil || len(files) < 12 {
		panic(fmt.Sprintf("%d migrations: %v", len(files), err))
	}
	return files
}

func versionsOf(names []string) (versions []int64) {
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(err)
		}
		versions = append(versions, version)
	}
	return versions
}

type bundle struct {
	*migrations.Migrator
	*rig.Database
}

func setup(t *testing.T) bundle {
	t.Helper()
	url, schema := sandboxtest.Schema(t)
	m, err := migrations.New(url, schema)
	if err != nil {
		t.Fatal(err)
	}
	return bundle{Migrator: m, Database: rig.OpenDatabase(t, url, schema)}
}

// tables are those that the schema has, but for goose's own.
func (b bundle) tables(t *testing.T) []string {
	t.Helper()
	return strings.Fields(b.Text(t, `SELECT coalesce(string_agg(tablename, ' ' ORDER BY tablename), '') FROM pg_tables
WHERE schemaname = current_schema() AND tablename <> 'goose_db_version'`))
}

func (b bundle) up(t *testing.T) []int64 {
	t.Helper()
	// A migration gives way to whoever uses its tables, for as long as that takes.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	applied, err := b.Up(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return versions(applied)
}

// eventually asks until the answer is yes.
func (b bundle) eventually(t *testing.T, what, question string) {
	t.Helper()
	rig.Eventually(t, what, func() bool { return b.Is(t, question) })
}

func versions(list []migrations.Migration) []int64 {
	var versions []int64
	for _, one := range list {
		versions = append(versions, one.Version)
	}
	return versions
}

func (b bundle) down(t *testing.T) int64 {
	t.Helper()
	undone, err := b.Down(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if undone == nil {
		return 0
	}
	return undone.Version
}

// downTo takes back whatever is newer than the version.
func (b bundle) downTo(t *testing.T, version int64) {
	t.Helper()
	for _, one := range slices.Backward(known) {
		if one <= version {
			return
		}
		if undone := b.down(t); undone != one {
			t.Fatalf("Down took back %d, want %d", undone, one)
		}
	}
}

func oneLineAbout(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one about %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q doesn't contain %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than a line: %q", err)
	}
}
