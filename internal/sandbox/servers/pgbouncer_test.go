package servers_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/sandbox/servers"
)

// A pooler's sessions are other ones than the server's, and it knows no parameters but a few.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	postgres := startPostgres(t, servers.PostgresOptions{})
	pooler, err := servers.StartPgBouncer(t.Context(), postgres.URL, servers.PgBouncerOptions{Mode: "transaction"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, pooler) })
	check := func(after string) {
		t.Helper()
		connection := connect(t, pooler.URL)
		var backend uint32
		if err := connection.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil || backend == connection.PgConn().PID() {
			t.Errorf("after %s: backend %d, and we were told of %d: %v", after, backend, connection.PgConn().PID(), err)
		}
	}
	check("the start")
	if err := pooler.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pooler.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("a restart")

	config, err := pgconn.ParseConfig(pooler.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = "pg_catalog"
	var refused *pgconn.PgError
	if _, err := pgconn.ConnectConfig(t.Context(), config); !errors.As(err, &refused) || refused.Code != "08P01" {
		t.Errorf("with a search path: %v", err)
	}
}
