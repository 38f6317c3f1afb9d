package main

import (
	"strings"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// Where there is no psql, the program makes the roles itself: before the tables, and again after each migration. The second needs no more rights than
// migrating does.
func TestRolesAreApplied(t *testing.T) {
	t.Parallel()
	const schema = "invoicer"
	d := rig.OpenDatabase(t, durablePostgres(t).URL, schema)
	s := newSiteOn(t, d.URL, schema, sandboxtest.Redis(t))
	apply := func(s *site, tables bool) {
		t.Helper()
		code, stdout, stderr := s.run(t, "", "roles", "--apply")
		if code != exitOK || stdout != "the roles are made, and have their rights\n" || strings.Contains(stderr, "there are no tables yet") == tables {
			t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
		}
	}
	apply(s, false)
	s.Exec(t, "CREATE ROLE deploy LOGIN IN ROLE invoicer_migrator")
	s.Exec(t, "ALTER ROLE deploy SET role = 'invoicer_migrator'")
	deploy := s.with("INVOICER_DATABASE_URL=" + strings.Replace(d.URL, "user=postgres", "user=deploy", 1))
	if code, _, stderr := deploy.run(t, "", "migrate", "up"); code != exitOK {
		t.Fatal(stderr)
	}
	if s.Is(t, "SELECT has_table_privilege('invoicer_worker', 'invoicer.invoices', 'INSERT')") {
		t.Fatal("the worker has rights before they are given")
	}
	for range 2 {
		apply(deploy, true)
		if !s.Is(t, "SELECT has_table_privilege('invoicer_worker', 'invoicer.invoices', 'INSERT') AND NOT has_table_privilege('invoicer_worker', 'invoicer.invoices', 'DELETE')") {
			t.Error("the worker's rights are others")
		}
	}
	// What went wrong is told, and nothing of it stays.
	reader := s.with("INVOICER_DATABASE_URL=" + strings.Replace(d.URL, "user=postgres", "user=reader", 1))
	s.Exec(t, "CREATE ROLE reader LOGIN IN ROLE invoicer_reader")
	if code, stdout, stderr := reader.run(t, "", "roles", "--apply"); code != exitFailed || stdout != "" || !strings.Contains(stderr, "run the command as invoicer_migrator") {
		t.Errorf("as a reader: exit code %d, %s%s", code, stdout, stderr)
	}
}
