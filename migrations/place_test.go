package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/migrations"
)

// dropped are the parameters that PgBouncer is told to drop, as every guide to it says.
const dropped = "extra_float_digits, search_path, statement_timeout, lock_timeout, idle_in_transaction_session_timeout"

// Behind a pooler, whatever it does with a search path, each company's tables are in its own schema.
func TestPoolersChangeNoSchema(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction"} {
		for name, o := range map[string]servers.PgBouncerOptions{
			"as it comes":              {},
			"drops the search path":    {Settings: map[string]string{"ignore_startup_parameters": dropped}},
			"sessions used by another": {ConnectQuery: "SET search_path = public", Settings: map[string]string{"server_round_robin": "1"}},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				t.Parallel()
				a, b := setup(t), setup(t)
				o.Mode = mode
				pooler := sandboxtest.PgBouncer(t, a.URL, o)
				before := inPublic(t, a)
				for _, one := range []*bundle{&a, &b} {
					var err error
					if one.Migrator, err = migrations.New(pooler.URL, one.Schema); err != nil {
						t.Fatal(err)
					}
					one.up(t)
					if err := one.Check(t.Context()); err != nil {
						t.Error(err)
					}
				}
				b.downTo(t, known[len(known)-3])
				if b.up(t); len(b.tables(t)) != len(a.tables(t)) || len(a.tables(t)) == 0 {
					t.Errorf("tables %v and %v", a.tables(t), b.tables(t))
				}
				for _, one := range []bundle{a, b} {
					if one.Is(t, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = $1)", one.LockID()) {
						t.Error("a session of the server's still has the lock")
					}
				}
				for name := range inPublic(t, a) {
					if !before[name] {
						t.Errorf("%s is in public", name)
					}
				}
				if stray := a.Count(t, `SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
					AND NOT coalesce(array_to_string(proconfig, ' ') ~ ('search_path="?' || current_schema()), prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql'))`); stray > 0 {
					t.Errorf("%d functions look into another schema", stray)
				}
			})
		}
	}
}

func inPublic(t *testing.T, b bundle) map[string]bool {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(), "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all[name] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A name that has to be quoted is one schema, not a path of them.
func TestQuotedSchema(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "DROP SCHEMA "+b.Schema)
	for _, name := range []string{"Company-B ", "two.parts ", "it's "} {
		schema := name + b.Schema
		m, err := migrations.New(b.URL, schema)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := b.DB.ExecContext(context.WithoutCancel(t.Context()), fmt.Sprintf("DROP SCHEMA %q CASCADE", schema)); err != nil {
				t.Error(err)
			}
		})
		for _, want := range []int{len(known), 0} {
			if applied, err := m.Up(t.Context()); err != nil || len(applied) != want {
				t.Errorf("%s: applied %v, %v", schema, applied, err)
			}
		}
		if err := m.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", schema, err)
		}
		if undone, err := m.Down(t.Context()); err != nil || undone.Version != newest {
			t.Errorf("%s: %v, %v", schema, undone, err)
		}
	}
}

// Without a transaction a search path doesn't hold, so nothing is made there.
func TestOutOfATransactionIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "CREATE TABLE t (n int)")
	_, err := b.With(fstest.MapFS{"00001_index.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY ON t (n);\n")}}).Up(t.Context())
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "3F000" {
		t.Errorf("Up: %v; want a refusal", err)
	}
	oneLineAbout(t, err, "migration 00001_index.sql", "the tables belong into "+b.Schema)
}

// Whoever has lost the lock, as an administrator ended the session that held it, applies nothing that another one has.
func TestNothingIsAppliedTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// It does no harm when it is done twice: nothing but the guard refuses it.
	m := b.With(fstest.MapFS{
		"00001_slow.sql": {Data: []byte("-- +goose Up\nSELECT pg_sleep(0.3);\nCREATE TABLE IF NOT EXISTS t (n int);\nINSERT INTO t VALUES (1);\n-- +goose Down\nDROP TABLE t;\n")},
	})
	b.Exec(t, `CREATE TABLE goose_db_version (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, version_id bigint NOT NULL,
		is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now()); INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true)`)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return m.UpWithoutLock(t.Context()) })
	}
	if err := group.Wait(); err != nil {
		oneLineAbout(t, errors.Unwrap(err), "has been applied by another process meanwhile")
	}
	var done, noted int
	if err := b.DB.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM goose_db_version WHERE version_id = 1)").Scan(&done, &noted); err != nil || done != 1 || noted != 1 {
		t.Errorf("done %d times, noted %d times: %v", done, noted, err)
	}
}
