package sandboxtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/servers"
)

// Replication is a private primary with two standbys, of which one has to confirm each commit.
type Replication struct {
	Primary  *servers.Server
	Standbys [2]*servers.Standby
}

// Replicated starts a primary and its standbys for this test alone. They are closed when the test ends.
func Replicated(t testing.TB) *Replication {
	t.Helper()
	r := &Replication{Primary: PrivatePostgres(t)}
	for i, name := range []string{"standby1", "standby2"} {
		standby, err := servers.StartStandby(t.Context(), r.Primary, name, servers.PostgresOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := standby.Close(); err != nil {
				t.Error(err)
			}
		})
		r.Standbys[i] = standby
	}
	connection := connectTo(t, r.Primary.URL)
	var err error
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby1, standby2)'", "SELECT pg_reload_conf()"} {
		if err == nil {
			_, err = connection.Exec(t.Context(), statement)
		}
	}
	// The server's processes read their new settings one by one: a commit waits once all that wake it have.
	for synchronous := 0; err == nil && synchronous < 2; {
		err = connection.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'").Scan(&synchronous)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func connectTo(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.WithoutCancel(t.Context())) }) // its server may be gone
	return connection
}

// Cut cuts both standbys off: from now on, commits wait.
func (r *Replication) Cut(t testing.TB) { r.each(t, (*servers.Standby).Cut) }

// Join undoes [Replication.Cut].
func (r *Replication) Join(t testing.TB) { r.each(t, (*servers.Standby).Join) }

func (r *Replication) each(t testing.TB, do func(*servers.Standby, context.Context) error) {
	t.Helper()
	for _, standby := range r.Standbys {
		if err := do(standby, t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Promote kills the primary, makes the standby that has got most the new one, and returns its URL.
func (r *Replication) Promote(t testing.TB) string {
	t.Helper()
	if err := r.Primary.Kill(); err != nil {
		t.Fatal(err)
	}
	var best *servers.Standby
	most := int64(-1)
	for _, standby := range r.Standbys {
		var received int64
		err := connectTo(t, standby.URL).QueryRow(t.Context(), "SELECT (coalesce(pg_last_wal_receive_lsn(), '0/0') - '0/0')::bigint").Scan(&received)
		if err != nil {
			t.Fatal(err)
		}
		if received > most {
			best, most = standby, received
		}
	}
	if err := best.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	return best.URL
}
