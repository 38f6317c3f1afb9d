package servers_test

import (
	"testing"
	"time"

	"invoicer/internal/sandbox/servers"
)

func TestPostgresIsRestored(t *testing.T) {
	t.Parallel()
	server := startPostgres(t, servers.PostgresOptions{Archive: true})
	conn := connect(t, server.URL)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE TABLE kept AS SELECT 1 AS n")
	if err := server.BackUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO kept VALUES (2)")
	var moment time.Time
	if err := conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&moment); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO kept VALUES (3)")
	exec("SELECT pg_create_restore_point('three')")
	exec("INSERT INTO kept VALUES (4)")
	if err := server.Archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for want, until := range map[int]servers.Moment{2: {Time: moment}, 3: {Name: "three"}} {
		restored, err := servers.StartRestored(t.Context(), server, until, servers.PostgresOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeServer(t, restored) })
		got := 0
		if err := connect(t, restored.URL).QueryRow(t.Context(), "INSERT INTO kept SELECT max(n) FROM kept RETURNING n").Scan(&got); err != nil || got != want {
			t.Errorf("restored up to %d, %v; want %d", got, err, want)
		}
		if err := restored.Restart(t.Context()); err != nil {
			t.Errorf("restart: %v", err)
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Errorf("the old one doesn't start: %v", err)
	}
	if _, err := servers.StartRestored(t.Context(), server, servers.Moment{Name: "never"}, servers.PostgresOptions{}); err == nil {
		t.Error("restored to a moment that never was")
	}
}
